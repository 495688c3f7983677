"""What a step costs is judged by two steps of one round, and memory counted once."""

import pytest
from torch import nn

from benchmarks.supernet_step import LATE, Step, ratio, supernet_step
from search.choices import Choices
from search.machine import use_threads
from search.supernet import Supernet
from tests.search.builders import tiny_space

BATCH = 4


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    use_threads(1)


def test_a_ratio_is_the_median_of_those_of_the_same_round() -> None:
    assert ratio([2.0, 30.0, 8.0], [1.0, 10.0, 2.0]) == 3.0


def test_what_is_saved_for_the_backward_pass_is_counted_once() -> None:
    space = tiny_space()
    pixels = BATCH * 8 * 8
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    step = Step(network, network, space, BATCH)
    step.x_NCHW.requires_grad_(True)
    linear = 4 * (pixels + 64 * 10)  # what it reads, and its weight
    assert linear <= step.saved_bytes() <= linear + 4 * 4 * BATCH * 10  # beside them those of the loss


def test_a_late_step_has_few_options_open_and_each_step_moves_theta() -> None:
    space = tiny_space().offering(Choices(precision=("fp32", "w8a8"), width=(1, 0.5)))
    for late in (False, True):
        step = supernet_step(space, BATCH, late=late)
        supernet = step.network
        assert isinstance(supernet, Supernet)
        step()
        for axis, logits in supernet.theta.logits.items():
            assert logits.grad is not None
            assert bool((logits.grad[supernet.theta.opened(axis)] != 0).all()) or logits.shape[1] == 1
        most = int(supernet.theta.opened("block").sum(1).max())
        assert most == LATE if late else most > LATE
