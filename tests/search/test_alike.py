"""Floats and 8 bits are as accurate as each other: a search has both where a mix of them holds more than one alone."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from latency.operator import Operator
from search.alike import needed
from search.architecture import Architecture
from search.budgets import sum_budget
from search.choices import FP32, Choices, Sparsity
from search.costs import macs
from search.datasets.data import ImageData
from search.derive import Budget, can_be_held, reach
from search.finalists import EIGHT
from search.run import SearchRun
from search.space import Space
from search.spec import SearchSpec
from search.strategies.differentiable import Differentiable
from tests.search.builders import mixed_space, tiny_space, tiny_spec

Cost = Callable[[Operator], float]
BOTH = ("fp32", "w8a8")
COMPUTING = ("mbconv", "stem", "head", "skip")


def offering(*precisions: str, ends: str = "w8a8") -> Space:
    return tiny_space(choices=Choices(precision=precisions, width=(1.0, 0.5), ends=ends))


def int8_takes(share: float, *, change: float = 0.0, early: float | None = None) -> Cost:
    """Microseconds of an operator: of integers a share of what floats take, in the first layer another."""

    def cost(operator: Operator) -> float:
        if operator.kind == "boundary":
            return change
        if operator.kind not in COMPUTING or operator.is_identity:
            return 0.0
        taken = share if early is None or operator.c_out > 8 else early
        return (1.0 + macs(operator) / 2000) * (taken if operator.is_integer else 1.0)

    return cost


def within(space: Space, cost: Cost, share: float = 0.5) -> list[Budget]:
    """`share` of the way from the least to the greatest."""
    least, greatest = reach(sum_budget("pi4", space, cost, 1e9))
    return [sum_budget("pi4", space, cost, least + share * (greatest - least))]


@pytest.mark.parametrize(
    ("cost", "kept"),
    [
        (int8_takes(0.4), ("w8a8",)),
        (int8_takes(2.0), ("fp32",)),
        (int8_takes(1.0), ("fp32",)),
        (int8_takes(1.015), ("fp32",)),
        (int8_takes(0.4, early=2.5), BOTH),
        (int8_takes(0.4, early=2.5, change=1e6), ("w8a8",)),
    ],
    ids=["int8 takes less", "more", "as much", "hardly more", "more in the first layer", "and a change takes long"],
)
def test_both_are_searched_where_a_mix_holds_larger_networks_alone(cost: Cost, kept: tuple[str, ...]) -> None:
    space = offering(*BOTH)
    part = needed(space, within(space, cost))
    assert part.space.choices.precision == kept
    assert set(part.left_out) == {*BOTH} - {*kept}


@pytest.mark.parametrize("share", [0.35, 0.45])
def test_a_mix_that_saves_less_than_tables_err_by_is_none(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    space, cost = offering(*BOTH), int8_takes(0.4, early=1.02)
    budgets = within(space, cost, share)
    assert needed(space, budgets).left_out == ("fp32",)
    monkeypatch.setattr("search.alike.ERROR", 0.0)
    assert needed(space, budgets).left_out == ()


def test_budgets_that_only_a_mix_holds_keep_both() -> None:
    """Floats alone hold one that is larger by less than tables err by."""
    space = tiny_space(candidates=("k3_e1", "k3_e3", "k5_e3"), choices=Choices(precision=BOTH, ends="w8a8"))
    cost = int8_takes(2.0, early=0.9)
    (budget,) = within(space, cost, 0.0)
    tight = replace(budget, maximum=budget.maximum * 1.001)
    part = needed(space, [tight])
    assert (part.left_out, can_be_held([part.budget(tight)])) == ((), True)


def test_zeros_count_for_nothing_where_networks_are_as_large() -> None:
    """Else floats of which three quarters are zeros would do for dense integers."""
    levels = Sparsity(levels=(0.0, 0.5, 0.75))
    space = tiny_space(choices=Choices(precision=BOTH, ends="w8a8", sparsity=levels))

    def cost(operator: Operator) -> float:
        return int8_takes(0.5)(operator) * (1 - operator.sparsity)

    dense = space.offering(Choices(precision=("w8a8",), ends="w8a8"))
    greatest = reach(sum_budget("pi4", dense, cost, 1e9)).greatest
    assert needed(space, [sum_budget("pi4", space, cost, greatest)]).left_out == ("fp32",)


def test_few_bits_that_pay_for_a_change_beside_floats_keep_8_bits() -> None:
    """w4a8 computes integers: beside floats it pays for what beside w8a8 is free. It is slow in the first layer."""

    def cost(operator: Operator) -> float:
        if operator.kind == "boundary":
            return 5.0
        four = 3.0 if operator.c_out <= 8 else 0.7
        share = four if operator.weight_bits == 4 else 0.9 if operator.is_integer else 1.0
        return int8_takes(1.0)(operator) * share

    space, without = offering("fp32", "w8a8", "w4a8", ends="fp32"), offering("fp32", "w8a8", ends="fp32")
    (budget,) = within(without, cost, 0.6)
    assert needed(without, [budget]).left_out == ("w8a8",)
    assert needed(space, [sum_budget("pi4", space, cost, budget.maximum)]).left_out == ()


def test_precisions_of_few_bits_stay_and_so_does_a_space_with_nothing_else_to_choose() -> None:
    space = offering("w4a8", "fp32", "w2a2", "w8a8")
    assert needed(space, within(space, int8_takes(0.4))).space.choices.precision == ("w4a8", "w2a2", "w8a8")
    few = offering("fp32", "w4a4")
    assert needed(few, within(few, int8_takes(0.4))).space == few
    given = tiny_space(candidates=("k3_e3",), choices=Choices(precision=BOTH, ends="w8a8"))
    assert needed(given, within(given, int8_takes(0.4))).space == given


@pytest.mark.parametrize("ends", ["fp32", "w8a8"])
@pytest.mark.parametrize("share", [0.4, 2.5])
def test_a_budget_over_the_part_is_that_over_the_whole_with_its_changes_of_format(share: float, ends: str) -> None:
    space, rng = mixed_space(ends), random.Random(0)
    budgets = within(space, int8_takes(share, change=0.1), 0.7)
    part = needed(space, budgets)
    assert len(part.left_out) == 1
    (own,) = map(part.budget, budgets)
    for _ in range(50):
        indices = tuple(rng.randrange(len(layer.choices)) for layer in part.space.layers)
        whole = part.of_whole(indices)
        assert own.total(indices) == budgets[0].total(whole)
        assert part.own(whole) == indices
        named = Architecture.from_indices(part.space, indices), Architecture.from_indices(space, whole)
        assert named[0].layers == named[1].layers


def searched(
    data: ImageData, precisions: tuple[str, ...], folder: Path, *, leave_out: bool = True
) -> tuple[SearchRun, list[bytes]]:
    """A run that is done, and what it derived and trained."""
    space, cost = offering(*precisions), int8_takes(0.4, change=0.1)
    (maximum,) = (budget.maximum for budget in within(offering(*BOTH), cost, 0.2))
    budgets, spec = [sum_budget("pi4", space, cost, maximum)], tiny_spec(leave_out=leave_out)
    run = SearchRun(spec, space=space, data=data, budgets=budgets)
    for _ in run:
        pass
    result = run.export(folder, onnx=False)
    state = run.trainer.network.state_dict() if run.trainer else {}
    return run, [repr(result.architecture.layers).encode(), *(value.numpy().tobytes() for value in state.values())]


def test_a_search_that_needs_no_floats_is_bit_for_bit_the_search_of_int8(digits: ImageData, tmp_path: Path) -> None:
    both, int8 = (searched(digits, names, tmp_path) for names in (BOTH, ("w8a8",)))
    assert both[1] == int8[1]
    assert both[0].architecture.space == offering(*BOTH)
    assert both[0].strategy.notes()[0].startswith("fp32 was left out of the search: in w8a8 alone")
    assert int8[0].strategy.notes() == ()


def test_evidence_and_reports_of_such_a_search_are_over_the_whole_space(digits: ImageData, tmp_path: Path) -> None:
    run, _ = searched(digits, BOTH, tmp_path)
    evidence, layers = run.strategy.evidence, offering(*BOTH).layers
    assert evidence is not None
    assert evidence.space == offering(*BOTH)
    assert evidence.note.endswith("; nothing was scored in fp32, taken for as accurate as w8a8")
    for layer, row in zip(layers, evidence.worth, strict=True):
        worth = dict(zip(layer.choices, row, strict=True))
        floats = [choice for choice in layer.choices if choice.precision == FP32 and choice.candidate.kernel]
        apart = {worth[choice._replace(precision=EIGHT)] - worth[choice] for choice in floats}
        assert all(0 < behind < 0.01 * (max(row) - min(row) + 0.1) for behind in apart)
    own = run.strategy.evidence_of_own
    assert own is not None
    assert {layer.precision for layer in own.derive(run.budgets)[0].layers} == {"w8a8"}
    assert {layer.precision for layer in evidence.derive(run.budgets)[0].layers} == {"w8a8"}
    fresh = SearchRun(run.spec, space=run.space, data=digits, budgets=run.budgets)
    shares = next(report.distribution for report in fresh if report.distribution)
    assert shares["precision"] == [[0.0, 1.0]] * len(layers)


def test_baselines_of_such_a_search_are_given_what_it_left_out_at_its_worth(digits: ImageData, tmp_path: Path) -> None:
    """Behind all else an int8 block would lose to every skip where floats were kept."""
    space = tiny_space(choices=Choices(precision=BOTH))
    spec = SearchSpec.model_validate({**tiny_spec().model_dump(), "baselines": ["uniform-int8"]})
    run = SearchRun(spec, space=space, data=digits, budgets=within(space, int8_takes(1.0)))
    for report in run:
        if report.phase == "derive":
            break
    assert isinstance(run.strategy, Differentiable)
    assert run.strategy.part.left_out == ("w8a8",)
    assert run.strategy.evidence is not None
    learnt = run.comparing().learnt
    assert learnt.evidence == run.strategy.evidence
    assert learnt.evidence_of_own == run.strategy.evidence_of_own != learnt.evidence


def test_a_network_in_what_was_left_out_inherits_the_same_weights(digits: ImageData, tmp_path: Path) -> None:
    run, _ = searched(digits, BOTH, tmp_path)
    space = run.space
    blocks = [layer.choices[index].block for layer, index in zip(space.layers, run.architecture.indices, strict=True)]
    indices = tuple(
        next(number for number, choice in enumerate(layer.choices) if choice.block == block)
        for layer, block in zip(space.layers, blocks, strict=True)
    )
    floats, int8 = run.strategy.inherit(indices), run.strategy.inherit(run.architecture.indices)
    assert floats.architecture.indices == indices
    assert {layer.precision for layer in floats.architecture.layers} == {"fp32"}
    mine, theirs = floats.state_dict(), int8.state_dict()
    assert set(mine) < set(theirs)
    assert all(torch.equal(value, theirs[name]) for name, value in mine.items())


def test_a_job_may_want_all_of_them_searched(digits: ImageData, tmp_path: Path) -> None:
    run, _ = searched(digits, BOTH, tmp_path, leave_out=False)
    assert run.searcher.space == run.space
    assert run.strategy.notes() == ()


def test_nothing_is_left_out_where_budgets_may_be_tightened_or_weights_have_to_fit_others(digits: ImageData) -> None:
    space = offering(*BOTH)
    given: dict[str, Any] = {"space": space, "data": digits, "budgets": within(space, int8_takes(0.4))}
    kept = [
        SearchRun(tiny_spec(), **given, measure=lambda _: {"pi4": 1.0}),
        SearchRun(tiny_spec(supernet="reference"), **given),
        SearchRun(tiny_spec(warm_start="hawq"), **given),
    ]
    assert [run.searcher.space for run in kept] == [space] * 3
    assert SearchRun(tiny_spec(), **given).searcher.space == offering("w8a8")
