"""Lines between networks: ends and barriers are those of the definition, and the control shows that there are any."""

import copy

import pytest
import torch
from torch import nn

from search.compression.connectivity import Line, instability, line
from search.compression.training import Recipe, error
from search.datasets.data import ImageData, load_digits
from tests.search.compression.builders import convolutional, loss_on, perceptron, trained


def test_the_barrier_is_the_greatest_error_above_the_mean_of_the_ends() -> None:
    assert Line((0.1, 0.5, 0.4, 0.2)).barrier == pytest.approx(0.35)


def test_the_line_runs_from_one_network_to_the_other(digits: ImageData) -> None:
    first, second = trained(perceptron(16), digits), trained(perceptron(16, seed=1), digits, seed=1)
    found = line(first, second, lambda m: error(m, digits), points=5)
    assert (found.errors[0], found.errors[-1]) == (error(first, digits), error(second, digits))
    middle = copy.deepcopy(first)
    with torch.no_grad():
        for parameter, other in zip(middle.parameters(), second.parameters(), strict=True):
            parameter.copy_((parameter + other) / 2)
    assert found.errors[2] == error(middle, digits)


def test_a_line_through_basins_of_permuted_neurons_has_a_barrier_that_undoing_them_takes_away() -> None:
    digits = load_digits()
    first = trained(perceptron(48), digits, Recipe(epochs=8, batch_size=64, lr=0.05))
    second = copy.deepcopy(first)
    assert isinstance(second, nn.Sequential)
    hidden, out = second[1], second[3]
    assert isinstance(hidden, nn.Linear)
    assert isinstance(out, nn.Linear)
    order = torch.randperm(48, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        hidden.weight.copy_(hidden.weight[order])
        hidden.bias.copy_(hidden.bias[order])
        out.weight.copy_(out.weight[:, order])
    assert error(second, digits) == error(first, digits)
    assert line(first, second, lambda m: error(m, digits), points=5).barrier > 0.05
    assert line(first, first, lambda m: error(m, digits), points=5).barrier == 0


def test_running_statistics_are_taken_anew_at_every_point(digits: ImageData) -> None:
    first, second = trained(convolutional(), digits), trained(convolutional(seed=1), digits, seed=1)
    with pytest.raises(ValueError, match="running statistics"):
        line(first, second, lambda m: error(m, digits))
    x = torch.tensor(digits.x_train).float() / 255
    seen = list[float]()

    def see(model: nn.Module) -> float:
        norm = model[1]  # type: ignore[index]
        with torch.no_grad():
            y = model[0](x)  # type: ignore[index]
        assert torch.allclose(norm.running_mean, y.mean((0, 2, 3)), atol=1e-5)
        seen.append(loss_on(digits)(model).item())
        return error(model, digits)

    line(first, second, see, points=4, calibration=lambda: iter([x]))
    assert len(set(seen)) == 4


def test_what_parts_late_is_stable_and_what_never_met_is_not() -> None:
    digits = load_digits()
    recipe = Recipe(epochs=10, batch_size=64, lr=0.05, shift=(1, 1))
    found = instability(perceptron(48), data=digits, recipe=recipe, seed=0, step=150, points=9)
    assert found.is_stable
    assert found.line.barrier < 0.02 < 0.05 < found.control.barrier
