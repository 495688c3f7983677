"""The training that compression methods are tried with: its rate."""

import pytest

from search.compression.training import Recipe, Training
from search.datasets.data import ImageData
from tests.search.compression.builders import perceptron


def test_the_rate_falls_as_a_cosine_or_stays(digits: ImageData) -> None:
    falling, constant = Recipe(lr=0.2), Recipe(lr=0.2, schedule="constant")
    assert [falling.rate(step, 10) for step in (0, 5, 10)] == pytest.approx([0.2, 0.1, 0.0])
    assert {constant.rate(step, 10) for step in (0, 5, 10)} == {0.2}
    training = Training(perceptron(), data=digits, recipe=constant._replace(epochs=1, batch_size=64), seed=0)
    training.run()
    assert {group["lr"] / group["speed"] for group in training.optimizer.param_groups} == {0.2}
