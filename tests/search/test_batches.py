"""Batches are a function of seed, epoch and number: who loads them, and in which order, does not matter."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from search.batches import Batches, calibration, pixels, shifted, split_for_search
from tests.search.builders import tiny_digits


def loaded(batches: Batches, workers: int) -> list[Tensor]:
    """An epoch's shifted pictures, its last batch asked for first."""
    order = batches.order(3)

    def load(number: int) -> Tensor:
        return shifted(batches.batch(order, number)[0], (2, 2), batches.seed, number)

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(load, reversed(range(len(batches)))))[::-1]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_any_number_of_workers_loads_the_same_batches(workers: int) -> None:
    weights, theta = split_for_search(tiny_digits(), sides=(112, 48), batch_size=16, seed=4)
    for batches in (weights, theta):
        one_by_one = [
            shifted(batches.batch(batches.order(3), n)[0], (2, 2), batches.seed, n) for n in range(len(batches))
        ]  # fmt: skip
        assert all(map(torch.equal, loaded(batches, workers), one_by_one))


@pytest.mark.parametrize(("count", "sizes"), [(1, [1]), (500, [500]), (501, [251, 250]), (2000, [500] * 4)])
def test_batches_of_a_calibration_differ_by_one_picture_at_most(count: int, sizes: list[int]) -> None:
    x_NCHW = torch.arange(count).remainder(251).to(torch.uint8).view(-1, 1, 1, 1)
    found = list(calibration(x_NCHW))
    assert [len(batch) for batch in found] == sizes
    assert torch.equal(torch.cat(found), pixels(x_NCHW))


def test_weights_and_theta_learn_from_different_pictures() -> None:
    weights, theta = split_for_search(tiny_digits(), sides=(80, 20), batch_size=16, seed=4)
    assert (len(weights.y_N), len(theta.y_N)) == (80, 20)
    seen = {picture.numpy().tobytes() for picture in weights.x_NCHW}
    assert not seen & {picture.numpy().tobytes() for picture in theta.x_NCHW}
