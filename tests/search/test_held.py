"""The last steps of a training that rounds are done on the statistics that ship."""

from typing import Any

import pytest
import torch
from torch import nn

from search.choices import Choices, Sparsity
from search.finish import Trainer
from search.finish.held import held_from
from search.network import Network
from search.norms import Rounding
from tests.search.test_finish import network_of, trainer

SPARSE = Choices(precision=("w4a4",), sparsity=Sparsity(levels=(0.6,)), ends="w8a8")
FEW_BITS = Choices(precision=("w4a4",), ends="w8a8")
STEPS = 20  # four epochs of five


def rounding(**finish: Any) -> Trainer:
    return trainer(network_of(FEW_BITS), epochs=4, **finish)


def statistics(network: Network) -> dict[str, torch.Tensor]:
    found = dict[str, torch.Tensor]()
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d | Rounding):
            found |= {f"{name}.{key}": value.clone() for key, value in module.named_buffers(recurse=False)}
    return found


def is_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    assert one.keys() == other.keys()
    return all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("quantizer", ["statistics", "lsq", "pact"])
def test_the_last_tenth_of_the_steps_trains_weights_on_statistics_that_stay_and_ship(quantizer: str) -> None:
    run = rounding(quantizer=quantizer)
    seen, weights = list[dict[str, torch.Tensor]](), list[torch.Tensor]()
    for _ in run:
        seen.append(statistics(run.network))
        weights.append(next(iter(run.network.parameters())).detach().clone())
    assert run.held_from == STEPS - 2
    assert not is_same(seen[STEPS - 4], seen[STEPS - 3])
    assert is_same(seen[STEPS - 2], seen[STEPS - 1])
    assert not torch.equal(weights[STEPS - 2], weights[STEPS - 1])
    run.settle()
    assert is_same(seen[STEPS - 1], statistics(run.network))
    assert not any(module.training for module in run.network.modules())


@pytest.mark.parametrize("quantizer", ["statistics", "lsq", "pact"])
def test_a_training_stopped_at_any_held_step_goes_on_bit_for_bit(quantizer: str) -> None:
    calm = rounding(quantizer=quantizer)
    for _ in calm:
        pass
    calm.settle()
    for stop in (STEPS - 2, STEPS - 1):
        first, second = rounding(quantizer=quantizer), rounding(quantizer=quantizer)
        for report in first:
            if report.step == stop:
                break
        second.load_state_dict(first.state_dict())
        for _ in second:
            pass
        second.settle()
        for name, value in calm.network.state_dict().items():
            assert torch.equal(value, second.network.state_dict()[name]), name


def test_what_learns_in_float_or_is_averaged_has_its_statistics_taken_when_all_is_done() -> None:
    averaged, plain = rounding(ema=0.9), trainer(network_of(), epochs=4)
    assert [averaged.held_from, plain.held_from] == [STEPS, STEPS]
    assert rounding(post_training={}).held_from == STEPS
    assert held_from(network_of(FEW_BITS), None, plain.settings, 4) == 4  # a tenth of them is no step


def test_zeros_are_all_in_before_statistics_are_held() -> None:
    for end, first in ((0.75, STEPS - 2), (0.92, STEPS - 1), (1.0, STEPS)):
        run = trainer(network_of(SPARSE), epochs=4, pruning={"schedule": "gradual", "end": end, "every": 1})
        assert run.held_from == first
