"""Theta's precisions start from sensitivities: on a scale that is told, in any form, the same through a crash."""

from pathlib import Path

import pytest
import torch

from search import state
from search.choices import Choices, Sparsity
from search.datasets.data import ImageData
from search.given import space_of
from search.searcher import Searcher
from search.spec import Search
from search.supernet import Supernet
from search.supernet.warm_start import logits_of
from tests.search.builders import tiny_space, tiny_spec, weight_budget

BITS = Choices(precision=("w2a2", "fp32", "w8a8"), width=(1, 0.5), width_multiple=4, sparsity=Sparsity(levels=(0, 0.5)))


def start(digits: ImageData, **search: object) -> Searcher:
    space = tiny_space().offering(BITS)
    settings = Search.model_validate(
        {"epochs": 2, "warmup_epochs": 1, "batch_size": 16, "warm_start": "hawq", "theta_lr": 1e-6, **search}
    )
    return Searcher(space, data=digits, budgets=[weight_budget(space, 0.9)], settings=settings, seed=0)


@pytest.mark.parametrize("form", ["shared", "reference"])
def test_behind_the_warm_up_fewer_bits_are_less_likely_by_one_in_the_mean(form: str, digits: ImageData) -> None:
    searcher = start(digits, supernet=form)
    before = searcher.supernet.theta.logits["precision"].clone()
    for report in searcher:
        logits = searcher.supernet.theta.logits["precision"].detach()
        if report.data["epoch"] == 1:
            assert torch.equal(logits, before)
    assert (logits[:, 1] >= logits[:, 2]).all()
    assert (logits[:, 2] > logits[:, 0]).all()
    assert (logits.amax(1) - logits.amin(1)).mean().item() == pytest.approx(1.0, abs=1e-3)
    assert logits.mean(1).abs().max() < 1e-3


def test_layers_that_mind_more_start_surer_and_one_without_bits_starts_even() -> None:
    space = tiny_space(candidates=["k3_e1", "skip"]).offering(Choices(precision=("fp32", "w4a4")))
    supernet = Supernet(space)
    by_layer = [(0.0, 3.0), (0.0, 9.0), None]
    omega_LK = []
    for layer, pair in zip(space.layers, by_layer, strict=True):
        of_block = {"fp32": 0.0, "w4a4": 0.0} if pair is None else dict(zip(("fp32", "w4a4"), pair, strict=True))
        is_own = [choice.candidate.kernel > 0 for choice in layer.choices]
        row = [
            of_block[c.precision.name] if own else float("inf") for c, own in zip(layer.choices, is_own, strict=True)
        ]
        omega_LK.append(row)
    logits = logits_of(supernet, omega_LK)
    torch.testing.assert_close(logits, torch.tensor([[0.375, -0.375], [1.125, -1.125], [0.0, 0.0]]))


def test_a_search_killed_around_the_warm_start_goes_on_bit_for_bit(digits: ImageData, tmp_path: Path) -> None:
    calm = start(digits)
    for _ in calm:
        pass
    first = next(n for n, step in enumerate(calm.plan) if step.epoch == 1)
    for stop in (first, first + 1):
        searcher = start(digits)
        for report in searcher:
            if report.step == stop:
                break
        state.save(searcher.state_dict(), tmp_path / "state")
        again = start(digits)
        again.load_state_dict(state.load(tmp_path / "state"))
        for _ in again:
            pass
        assert all(map(torch.equal, again.supernet.state_dict().values(), calm.supernet.state_dict().values()))


def test_a_warm_start_without_a_choice_of_bits_is_refused(digits: ImageData) -> None:
    space, wanted = tiny_space(), tiny_spec(warm_start="hawq")
    with pytest.raises(ValueError, match=r"search\.warm_start: there is one precision alone"):
        space_of(wanted, space)
    with pytest.raises(ValueError, match=r"search\.warm_start: needs a classifier and more than one precision"):
        Searcher(space, data=digits, budgets=[weight_budget(space, 0.9)], settings=wanted.search, seed=0)
