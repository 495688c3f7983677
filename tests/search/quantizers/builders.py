"""A network trained a little on the first real digits, and its rounded twins."""

from collections.abc import Sequence
from copy import deepcopy
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from search.architecture import Architecture
from search.batches import pixels
from search.choices import Choices
from search.datasets.data import load_digits
from search.finish import Trainer
from search.network import Network
from search.quantizers.grids import calibrate_grids
from search.spec import Finish
from tests.search.builders import tiny_digits, tiny_space

DIGITS, REST = tiny_digits(train=600, test=200), load_digits()
CANDIDATES = ("k3_e6", "k5_e1_g2", "k3_e3")


def calibration_batches(count: int = 4, size: int = 64) -> list[Tensor]:
    """Pixels of training pictures."""
    return [pixels(torch.tensor(DIGITS.x_train[i * size : (i + 1) * size])) for i in range(count)]


@cache
def _trained(candidates: Sequence[str]) -> Network:
    torch.manual_seed(0)
    network = Network(Architecture.of(tiny_space(), candidates))
    trainer = Trainer(network, data=DIGITS, settings=Finish(epochs=8, batch_size=32), seed=0)
    assert list(trainer)
    trainer.settle()
    return network


def trained(candidates: Sequence[str] = CANDIDATES) -> Network:
    """A float network of your own, in evaluation mode."""
    return deepcopy(_trained(tuple(candidates)))


def rounded_twin(network: Network, precision: str, batches: Sequence[Tensor]) -> Network:
    """The same weights and statistics, rounded; its grids calibrated on `batches`."""
    document = network.architecture.model_dump()
    document["space"]["choices"] = Choices(precision=(precision,), ends=precision).model_dump()
    for layer in document["layers"]:
        layer["precision"] = "fp32" if layer["candidate"] == "skip" else precision
    twin = Network(Architecture.model_validate(document)).eval()
    found = twin.load_state_dict(network.state_dict(), strict=False)
    assert not found.unexpected_keys
    calibrate_grids(twin, batches)
    return twin


def loss_of(network: Network) -> float:
    """Cross-entropy over all real digits that it was not trained on: over few of them luck decides."""
    x_NCHW, y_N = np.concatenate([REST.x_train[600:], REST.x_test]), np.concatenate([REST.y_train[600:], REST.y_test])
    with torch.no_grad():
        return float(F.cross_entropy(network.eval()(pixels(torch.tensor(x_NCHW))), torch.tensor(y_N)))
