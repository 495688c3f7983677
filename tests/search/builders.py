"""Small real things that several tests of the engine share."""

import numpy as np

from search.choices import Choices
from search.datasets.data import ImageData, load_digits
from search.derive import Budget, reach
from search.space import Head, Input, Space, Stage, Stem
from search.spec import SearchSpec


def tiny_space(**changes: object) -> Space:
    """Three layers of all nine candidates over 8x8 pictures: an identity skip, a projecting one, a strided layer."""
    space = Space(
        name="tiny",
        input=Input(channels=1, height=8, width=8),
        classes=10,
        stem=Stem(channels=8),
        stages=(Stage(channels=8, layers=1), Stage(channels=12, layers=2, stride=2)),
        head=Head(channels=16),
    )
    return Space.model_validate({**space.model_dump(), **changes})


def mixed_space(ends: str = "fp32") -> Space:
    """Float, integer, simulated and identity choices, several of each."""
    return tiny_space(
        stages=({"channels": 8, "layers": 2}, {"channels": 12, "layers": 3, "stride": 2}),
        candidates=("k3_e1", "k5_e3", "skip"),
        choices=Choices(precision=("fp32", "w8a8", "w4a4"), ends=ends),
    )


def weight_budget(space: Space, share: float, name: str = "pi4") -> Budget:
    """A made-up latency, larger for larger blocks, of which `share` of the greatest is allowed."""
    costs = [
        [
            0.0 if operator.kind == "skip" and operator.keeps_shape else 2.0 + operator.c_mid * operator.h / 40
            for operator in map(layer.operator, layer.choices)
        ]
        for layer in space.layers
    ]
    budget = Budget(name, costs, 5.0, 1.0)
    return Budget(name, costs, 5.0, share * reach(budget).greatest)


def tiny_digits(train: int = 160, test: int = 60) -> ImageData:
    """The first of the real digits."""
    digits = load_digits()
    return ImageData(
        "digits", digits.x_train[:train], digits.y_train[:train], digits.x_test[:test], digits.y_test[:test], 10
    )


def tiny_spec(seed: int = 0, **search: object) -> SearchSpec:
    """Two epochs of search, two of training."""
    return SearchSpec.model_validate(
        {
            "space": "tiny",
            "dataset": "digits",
            "seed": seed,
            "constraints": [{"device": "pi4", "max_us": 1000.0}],
            "search": {"epochs": 2, "warmup_epochs": 1, "batch_size": 16, "evidence_samples": 16, **search},
            "finish": {"epochs": 2, "batch_size": 32},
            "finalists": 4,
            "trials": {"finalists": 3},
        }
    )


def pictures(count: int, space: Space, seed: int = 0) -> np.ndarray:
    """Random pixels in [0, 1] of the space's input."""
    shape = (count, space.input.channels, space.input.height, space.input.width)
    return np.random.default_rng(seed).random(shape, dtype=np.float32)
