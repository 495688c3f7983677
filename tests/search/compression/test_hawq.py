"""Sensitivities: estimated traces are the exact ones, networks of ours have the Hessian of their twin, and Omega ranks
what rounding really costs.
"""

from collections.abc import Callable

import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.autograd.functional import hessian
from torch.func import functional_call

from search.compression.hawq import (
    Precise,
    activation_omegas,
    activation_traces,
    weight_omegas,
    weight_traces,
)
from search.compression.layers import Loss, weighted
from search.compression.plain import Plain, plain
from search.compression.training import Recipe
from search.datasets.data import ImageData, load_digits
from search.kernels import rounded_rows
from tests.search.builders import mixed_space, pictures, tiny_space
from tests.search.compression.builders import convolutional, loss_on, perceptron, tiny_network, trained
from tests.search.test_learnt_steps import mixed_network

FINE = Precise(relative=0.01, floor=0.0, most_vectors=20_000)


def exact_trace(model: nn.Module, name: str, loss: Loss) -> float:
    """From the whole Hessian of one layer's weight."""
    weight = dict(model.named_parameters())[f"{name}.weight"].detach()

    class With(nn.Module):
        def __init__(self, w: Tensor) -> None:
            super().__init__()
            self.w = w

        def forward(self, x: Tensor) -> Tensor:
            return functional_call(model, {f"{name}.weight": self.w}, (x,))

    whole = hessian(lambda w: loss(With(w)), weight)  # type: ignore[no-untyped-call]
    found = whole.reshape(weight.numel(), weight.numel())
    return found.diagonal().sum().item()


def test_estimated_traces_are_those_of_the_whole_hessian_within_three_percent(digits: ImageData) -> None:
    model, loss = trained(perceptron(12), digits), loss_on(digits)
    for name, trace in weight_traces(model, loss, precise=FINE).items():
        assert trace.settled
        assert trace.trace == pytest.approx(exact_trace(model, name, loss), rel=0.03)


@pytest.mark.parametrize("make", [convolutional, lambda: tiny_network("k3_e1", "k3_e1", "skip")])
def test_convolutions_have_the_traces_of_their_hessian_within_the_error_told(
    make: Callable[[], nn.Module], digits: ImageData
) -> None:
    """Through the compiled kernels of our networks second derivatives would be 0."""
    model, loss = trained(make(), digits, Recipe(epochs=30, batch_size=32, lr=0.05)), loss_on(digits)
    for name, trace in weight_traces(model, loss, precise=Precise(most_vectors=60)).items():
        assert 0 < trace.error < trace.trace
        if trace.size < 100:
            assert abs(trace.trace - exact_trace(plain(model), name, loss)) < 3.5 * trace.error


def test_activation_traces_are_those_of_each_picture_in_the_mean(digits: ImageData) -> None:
    """After the hidden layer the Hessian of a softmax is W' (diag p - p p') W, whatever the labels."""
    model = trained(perceptron(12), digits)
    x = torch.tensor(digits.x_train[:100]).float().div(255)
    last = weighted(model)["3"].weight.detach().double()
    p_NK = torch.softmax(model(x).detach().double(), 1)
    gram = last @ last.T
    exact = ((p_NK * gram.diagonal()).sum(1) - torch.einsum("nk,kj,nj->n", p_NK, gram, p_NK)).mean().item()
    found = activation_traces(model, loss_on(digits), precise=FINE)
    assert found["3"].size == 12
    assert found["3"].trace == pytest.approx(exact, rel=0.03)


def test_the_plain_twin_computes_what_the_network_does(digits: ImageData) -> None:
    network = tiny_network("k3_e3", "k5_e1_g2", "skip")
    trained(network, digits)
    x_NCHW = torch.from_numpy(pictures(16, tiny_space()))
    twin = Plain(network)
    assert dict(twin.named_parameters()).keys() == dict(network.named_parameters()).keys()
    torch.testing.assert_close(twin(x_NCHW), network(x_NCHW), rtol=1e-4, atol=1e-5)


def test_rounded_networks_are_refused_by_name() -> None:
    assert mixed_network().architecture.space == mixed_space("w8a8")
    with pytest.raises(ValueError, match="stem: is rounded or masked"):
        weight_traces(mixed_network(), lambda model: torch.zeros(()))


def test_estimation_stops_by_the_standard_error_and_says_when_it_ran_out(digits: ImageData) -> None:
    model, loss = trained(perceptron(12), digits), loss_on(digits)
    rough = weight_traces(model, loss, precise=Precise(relative=0.2, floor=0.0))
    fine = weight_traces(model, loss, precise=Precise(relative=0.05, floor=0.0))
    cut_off = weight_traces(model, loss, precise=Precise(relative=0.001, floor=0.0, most_vectors=20))
    assert rough["1"].vectors < fine["1"].vectors
    assert all(trace.settled and trace.error <= 0.05 * trace.trace for trace in fine.values())
    assert {(trace.vectors, trace.settled) for trace in cut_off.values()} == {(20, False)}
    again = weight_traces(model, loss, precise=Precise(relative=0.2, floor=0.0))
    assert again == rough


def test_omega_ranks_the_layers_and_bits_as_the_loss_does() -> None:
    digits, bits = load_digits(), (2, 3, 4, 5, 6, 8)
    model = trained(perceptron(64, 48), digits, Recipe(epochs=20, batch_size=64, lr=0.05))
    loss = loss_on(digits, 1000)
    omegas = weight_omegas(model, weight_traces(model, loss, precise=Precise(relative=0.1)), bits)
    assert stats.spearmanr(*increases(model, loss, omegas, bits)).statistic >= 0.9


def increases(
    model: nn.Module, loss: Loss, omegas: dict[str, list[float]], bits: tuple[int, ...]
) -> tuple[list[float], list[float]]:
    """Omega and what the loss really gains where one layer alone is rounded."""
    expected, real = [], []
    with torch.no_grad():
        before = loss(model).item()
        for name, layer in weighted(model).items():
            kept = layer.weight.detach().clone()
            for b, omega in zip(bits, omegas[name], strict=True):
                layer.weight.copy_(rounded_rows(kept.flatten(1), b).view_as(kept))
                expected.append(omega)
                real.append(loss(model).item() - before)
            layer.weight.copy_(kept)
    return expected, real


def test_activations_mind_fewer_bits_more(digits: ImageData) -> None:
    model, loss = trained(tiny_network(), digits), loss_on(digits, 30)
    omegas = activation_omegas(
        model, activation_traces(model, loss, precise=Precise(most_vectors=30)), loss, (2, 4, 8, 32)
    )
    assert set(omegas) == set(weighted(model))
    for at_2, at_4, at_8, at_32 in omegas.values():
        assert at_2 >= at_4 >= at_8 >= at_32 == 0
    assert sum(row[0] for row in omegas.values()) > 0
