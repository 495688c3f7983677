"""Hard concrete gates: closed forms, draws that follow them, and a density that is held."""

import pytest
import torch

from search.compression.hard_concrete import Gates, Target, densities, expected_density, gated, probability
from search.compression.layers import weighted
from search.compression.training import Recipe, Training, error
from search.datasets.data import ImageData, load_digits
from tests.search.compression.builders import perceptron, tiny_network

PUBLISHED = {-3.0: 0.1976, -1.0: 0.6453, 0.0: 0.8318, 1.0: 0.9308, 3.0: 0.9900}


def test_the_probability_of_an_open_gate_is_that_of_the_closed_form() -> None:
    found = probability(torch.tensor(list(PUBLISHED)))
    assert found.tolist() == pytest.approx(list(PUBLISHED.values()), abs=5e-5)


def test_drawn_gates_are_open_as_often_as_the_closed_form_says() -> None:
    torch.manual_seed(0)
    for log_alpha, expected in PUBLISHED.items():
        gates = Gates(20_000).train()
        gates.log_alpha.data.fill_(log_alpha)
        drawn = gates()
        assert (drawn > 0).double().mean().item() == pytest.approx(expected, abs=0.01)
        assert 0 <= drawn.min() <= drawn.max() <= 1


def test_evaluation_knows_no_beta_and_draws_nothing() -> None:
    gates = Gates(4, group=2).eval()
    gates.log_alpha.data.copy_(torch.tensor([-2.5, 0.0]))
    assert gates().tolist() == pytest.approx([0.0, 0.0, 0.5, 0.5])
    assert gates.open().tolist() == [False, False, True, True]


def test_first_gates_are_open_with_the_probability_asked() -> None:
    assert probability(Gates(3, kept=0.7).log_alpha).tolist() == pytest.approx([0.7] * 3)


def test_groups_and_names_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="64 channels are no whole number of groups of 10"):
        gated(perceptron(8), {"1": 10})
    with pytest.raises(ValueError, match="'conv' is no layer"):
        gated(perceptron(8), {"conv": 1})


def test_the_target_is_held_and_the_network_still_works() -> None:
    digits = load_digits()
    model = gated(perceptron(64), {"1": 4, "3": 4})
    target = Target(model, 0.4, ramp=600)
    recipe = Recipe(epochs=60, batch_size=64, lr=0.01, optimizer="adam")
    Training(model, data=digits, recipe=recipe, seed=0, penalty=target.penalty).run()
    assert expected_density(model).item() == pytest.approx(0.4, abs=0.05)
    assert error(model, digits) < 0.15
    assert all(0 < kept < 1 for kept in densities(model).values())


def test_closed_channels_of_a_network_of_ours_can_be_cut_out(digits: ImageData) -> None:
    model = gated(tiny_network("k3_e3", "k3_e1", "skip"), {"layers.0.project": 8}).eval()
    gates = model.get_submodule("layers.0.project.gates")
    assert isinstance(gates, Gates)
    gates.log_alpha.data.copy_(torch.tensor([9.0, -9.0, 9.0]))
    x = torch.tensor(digits.x_train[:8]).float() / 255
    before = model(x)
    with torch.no_grad():
        weighted(model)["layers.0.project.layer"].weight[:, 8:16] = 100.0
    assert torch.equal(model(x), before)
    assert densities(model) == {"layers.0.project": pytest.approx(2 / 3)}
