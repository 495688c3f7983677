"""Tickets: rewinding gives the weights of step k, controls differ in what they say, and a stopped search goes on."""

import copy
from pathlib import Path

import pytest
import torch

from search.compression.layers import weighted
from search.compression.magnitude import density, sparsities
from search.compression.tickets import Tickets, shuffled
from search.compression.training import Recipe, Training, error
from search.datasets.data import ImageData, load_digits
from search.state import load, save
from tests.search.compression.builders import perceptron

RECIPE = Recipe(epochs=3, batch_size=32, lr=0.1)


def tickets(digits: ImageData, rounds: int = 3, rewind_step: int = 4) -> Tickets:
    return Tickets(
        perceptron(24), data=digits, recipe=RECIPE, seed=5, rounds=rounds, rewind_step=rewind_step, share=0.3
    )


def test_a_ticket_is_the_weights_of_step_k_under_the_mask(digits: ImageData) -> None:
    one = tickets(digits)
    reports = list(one)
    assert [report.step for report in reports] == list(range(1, reports[-1].steps + 1))
    assert density(one.masks) == pytest.approx(0.7**3, abs=0.001)
    at_k = Training(perceptron(24), data=digits, recipe=RECIPE, seed=5)
    at_k.run(until=4)
    ticket = one.training()
    assert ticket.step == 4
    for name, layer in weighted(ticket.model).items():
        expected = weighted(at_k.model)[name].weight.detach() * one.masks[name]
        assert torch.equal(layer.weight.detach(), expected)


def test_controls_keep_the_number_of_weights_and_change_one_thing(digits: ImageData) -> None:
    one = tickets(digits)
    for _ in one:
        pass
    other, new = one.training("shuffled mask", seed=1), one.training("new weights", seed=1)
    assert other.masks is not None
    assert new.masks is one.masks
    assert sparsities(other.masks) == sparsities(one.masks)
    assert not torch.equal(other.masks["1"], one.masks["1"])
    assert (other.step, new.step) == (4, 0)
    kept = one.masks["1"]
    assert not torch.equal(weighted(new.model)["1"].weight[kept], weighted(one.training().model)["1"].weight[kept])
    assert torch.equal(shuffled(one.masks, 1)["1"], other.masks["1"])


@pytest.mark.parametrize("stop", [2, 9, 25])
def test_a_stopped_search_for_tickets_goes_on_bit_for_bit(stop: int, digits: ImageData, tmp_path: Path) -> None:
    whole, first, second = tickets(digits), tickets(digits), tickets(digits)
    for _ in whole:
        pass
    for number, _ in enumerate(first, 1):
        if number == stop:
            break
    save(first.state_dict(), tmp_path / "state")
    second.load_state_dict(load(tmp_path / "state"))
    for _ in second:
        pass
    assert all(torch.equal(whole.masks[name], second.masks[name]) for name in whole.masks)
    ours, theirs = whole.training().model.state_dict(), second.training().model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_tickets_beat_their_shuffled_mask() -> None:
    digits = load_digits()
    recipe = Recipe(epochs=8, batch_size=64, lr=0.05)
    one = Tickets(perceptron(64, 32), data=digits, recipe=recipe, seed=0, rounds=6, share=0.4)
    for _ in one:
        pass

    def finished(training: Training) -> float:
        training.run()
        return error(copy.deepcopy(training.model), digits)

    assert finished(one.training()) < finished(one.training("shuffled mask")) - 0.02
