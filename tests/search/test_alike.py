"""Floats and 8 bits are as accurate as each other: a search has both where a mix of them holds more than one alone."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from latency.operator import Operator
from search.alike import needed
from search.architecture import Architecture
from search.budgets import sum_budget
from search.choices import Choices
from search.costs import macs
from search.datasets.data import ImageData
from search.derive import Budget, reach
from search.run import SearchRun
from search.space import Space
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
    for layer, row in zip(layers, evidence.worth, strict=True):
        worth = dict(zip(layer.choices, row, strict=True))
        assert all(value == worth[choice._replace(precision=layer.choices[0].precision)] or not choice.candidate.kernel
                   for choice, value in worth.items())  # fmt: skip
    fresh = SearchRun(run.spec, space=run.space, data=digits, budgets=run.budgets)
    shares = next(report.distribution for report in fresh if report.distribution)
    assert shares["precision"] == [[0.0, 1.0]] * len(layers)


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
