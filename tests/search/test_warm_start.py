"""Theta starts from what a method proposes: on a scale that is told, in any form, the same through a crash."""

import math
from pathlib import Path

import pytest
import torch

from search import state
from search.choices import Choices, Sparsity
from search.datasets.data import ImageData
from search.forecast import workload
from search.given import space_of
from search.reports import StepReport
from search.searcher import Searcher
from search.spec import Search
from search.supernet.theta import Theta
from search.warm_starts.gates import Gates
from search.warm_starts.omega import by_precision
from search.warm_starts.scale import logits_of
from search.warm_starts.situation import PHASE
from tests.search.builders import tiny_space, tiny_spec, weight_budget

CHOICES = Choices(
    precision=("w2a2", "fp32", "w8a8"), width=(1, 0.5), width_multiple=4, sparsity=Sparsity(levels=(0, 0.5, 0.9))
)
AXES = {"hawq": "precision", "variational-dropout": "level", "hard-concrete": "block"}
NAMES = list(AXES)


def start(digits: ImageData, name: str = "hawq", **search: object) -> Searcher:
    space = tiny_space().offering(CHOICES)
    settings = Search.model_validate(
        {"epochs": 2, "warmup_epochs": 1, "batch_size": 16, "warm_start": name, "theta_lr": 1e-6, **search}
    )
    return Searcher(space, data=digits, budgets=[weight_budget(space, 0.5)], settings=settings, seed=0)


def first_step(searcher: Searcher) -> int:
    """Steps of the warm-up."""
    return next(number for number, step in enumerate(searcher.plan) if step.epoch == 1)


def go(searcher: Searcher, until: int | None = None) -> list[StepReport]:
    """Up to so many reports."""
    reports = []
    for report in searcher:
        reports.append(report)
        if len(reports) == until:
            break
    return reports


@pytest.mark.parametrize("form", ["shared", "reference"])
@pytest.mark.parametrize("name", NAMES)
def test_only_its_own_categorical_moves_and_the_worst_option_is_less_likely_by_one_in_the_mean(
    name: str, form: str, digits: ImageData
) -> None:
    searcher = start(digits, name, supernet=form)
    theta, ahead = searcher.supernet.theta, searcher.warm_start_left
    before = {axis: logits.clone() for axis, logits in theta.logits.items()}
    reports = go(searcher)
    told = [report for report in reports if report.phase == PHASE]
    assert len(told) == told[-1].step == told[-1].steps == ahead
    assert searcher.warm_start_left == 0
    for axis, logits in theta.logits.items():
        assert torch.allclose(logits, before[axis], atol=1e-3) == (axis != AXES[name])
    logits = theta.logits[AXES[name]].detach()
    assert (logits.amax(1) - logits.amin(1)).mean().item() == pytest.approx(1.0, abs=1e-3)
    assert logits.mean(1).abs().max() < 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_theta_stays_as_it_is_until_the_warm_start_has_ended(name: str, digits: ImageData) -> None:
    searcher = start(digits, name)
    axis = AXES[name]
    go(searcher, first_step(searcher) + searcher.warm_start_left)
    assert not searcher.supernet.theta.logits[axis].any()
    go(searcher, 1)
    assert searcher.supernet.theta.logits[axis].any()


def test_fewer_bits_are_less_likely(digits: ImageData) -> None:
    searcher = start(digits)
    go(searcher)
    logits = searcher.supernet.theta.logits["precision"].detach()
    assert (logits[:, 1] >= logits[:, 2]).all()
    assert (logits[:, 2] > logits[:, 0]).all()


def test_levels_are_likelier_the_nearer_they_are_to_the_zeros_of_variational_dropout(digits: ImageData) -> None:
    searcher = start(digits, "variational-dropout")
    count = first_step(searcher) + searcher.warm_start_left
    go(searcher, count)
    learnt = searcher.warm_start.learnt  # type: ignore[union-attr]  # a Noise
    shares = [learnt.of(layer)[0] for layer in searcher.space.layers]
    go(searcher, 1)
    logits = searcher.supernet.theta.logits["level"].detach()
    levels = torch.tensor([level.sparsity for level in searcher.supernet.axes.levels])
    nearest = (levels - torch.tensor(shares)[:, None]).abs().argmin(1)
    assert torch.equal(logits.argmax(1), nearest)


def test_gates_hold_what_an_even_draw_within_the_budgets_has_and_skips_start_even(digits: ImageData) -> None:
    searcher = start(digits, "hard-concrete")
    go(searcher, first_step(searcher) + 1)
    gates = searcher.warm_start
    assert isinstance(gates, Gates)
    assert gates.learnt.target is not None
    wide = start(digits, "hard-concrete")
    wide.paths = Theta(wide.supernet.axes)
    go(wide, first_step(wide) + 1)
    without_budgets = wide.warm_start
    assert isinstance(without_budgets, Gates)
    assert 0 < gates._density() < without_budgets._density() < 1
    go(searcher)
    logits = searcher.supernet.theta.logits["block"].detach()
    for layer in searcher.space.layers:
        for number, block in enumerate(layer.blocks):
            if not block.candidate.kernel:
                assert logits[layer.number, number].item() == pytest.approx(0.0, abs=1e-4)


def test_layers_that_mind_more_start_surer_and_one_without_bits_starts_even() -> None:
    space = tiny_space(candidates=["k3_e1", "skip"]).offering(Choices(precision=("fp32", "w4a4")))
    by_layer = [(0.0, 3.0), (0.0, 9.0), None]
    omega_LK = []
    for layer, pair in zip(space.layers, by_layer, strict=True):
        of_block = {"fp32": 0.0, "w4a4": 0.0} if pair is None else dict(zip(("fp32", "w4a4"), pair, strict=True))
        is_own = [choice.candidate.kernel > 0 and pair is not None for choice in layer.choices]
        row = [of_block[c.precision.name] if own else math.inf for c, own in zip(layer.choices, is_own, strict=True)]
        omega_LK.append(row)
    logits = logits_of(by_precision(space, omega_LK))
    torch.testing.assert_close(logits, torch.tensor([[0.375, -0.375], [1.125, -1.125], [0.0, 0.0]]))


@pytest.mark.parametrize("name", NAMES)
def test_a_search_killed_around_the_warm_start_goes_on_bit_for_bit(
    name: str, digits: ImageData, tmp_path: Path
) -> None:
    calm = start(digits, name)
    first, steps = first_step(calm), calm.warm_start_left
    go(calm)
    for stop in (first, first + 1, first + steps // 2, first + steps, first + steps + 1):
        searcher = start(digits, name)
        go(searcher, stop)
        state.save(searcher.state_dict(), tmp_path / "state")
        again = start(digits, name)
        again.load_state_dict(state.load(tmp_path / "state"))
        assert again.warm_start_left == searcher.warm_start_left == steps - min(steps, stop - first)
        go(again)
        assert all(map(torch.equal, again.supernet.state_dict().values(), calm.supernet.state_dict().values()))


@pytest.mark.parametrize(
    ("name", "told"), [("hawq", "one precision alone"), ("variational-dropout", "one level of zeros alone"),
                       ("hard-concrete", "at several widths")],
)  # fmt: skip
def test_a_warm_start_that_the_space_leaves_nothing_to_say_is_refused(name: str, told: str, digits: ImageData) -> None:
    space, wanted = tiny_space(candidates=["k3_e1", "k5_e1", "skip"]), tiny_spec(warm_start=name)
    with pytest.raises(ValueError, match=rf"search\.warm_start: .*{told}"):
        space_of(wanted, space)
    with pytest.raises(ValueError, match=rf"search\.warm_start: .*{told}"):
        Searcher(space, data=digits, budgets=[weight_budget(space, 0.9)], settings=wanted.search, seed=0)


@pytest.mark.parametrize("name", NAMES)
def test_a_forecast_counts_a_warm_start(name: str) -> None:
    space = tiny_space().offering(CHOICES)
    plain, warm = (
        workload(tiny_spec(warm_start=given), space, examples=160, test_examples=60) for given in (None, name)
    )
    assert plain.warm_start_macs == 0 < warm.warm_start_macs
    assert plain.search_steps == warm.search_steps
