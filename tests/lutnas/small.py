"""Things to time that take tens of microseconds a call."""

import numpy as np

from latency import tflite
from latency.graph import chain
from latency.operator import Operator
from latency.weights import Weights, random_weights
from search.space import Input, Space, preset

NETWORK = [
    Operator("stem", 8, 8, 1, 0, 8, 1, 3),
    Operator("mbconv", 8, 8, 8, 8, 8, 1, 3, 1),
    Operator("head", 8, 8, 8, 16, 4),
]


def tiny() -> Space:
    """A space whose networks are small."""
    return preset("fbnet-mini").resized(name="tiny-calibrated", input=Input(channels=1, height=8, width=8), classes=4)


def tiniest() -> Space:
    """A space of few operators: they settle within seconds, also where other work runs beside."""
    return Space.model_validate(
        {
            "name": "tiniest", "input": {"channels": 1, "height": 8, "width": 8}, "classes": 4, "stem": {"channels": 8},
            "candidates": ["k3_e1", "k3_e3"], "stages": [{"channels": 8, "layers": 2}], "head": {"channels": 16},
        }
    )  # fmt: skip


NAMES = ["stem", "layer", "head"]


def model() -> bytes:
    """An exported network."""
    exported: bytes = chain(NETWORK, _weights(), NAMES, batch="N").SerializeToString()
    return exported


def model_tflite() -> bytes:
    """The same, for LiteRT."""
    return tflite.chain(NETWORK, _weights(), NAMES)


def _weights() -> list[Weights]:
    rng = np.random.default_rng(0)
    return [random_weights(operator, rng) for operator in NETWORK]
