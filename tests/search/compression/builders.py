"""Small networks and pictures that the tests of compression share."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search.architecture import Architecture
from search.batches import pixels
from search.compression.training import Recipe, Training
from search.datasets.data import ImageData
from search.network import Network
from search.randomness import seeded
from tests.search.builders import tiny_space

SHORT = Recipe(epochs=6, batch_size=32, lr=0.1)


def perceptron(*hidden: int, seed: int = 0) -> nn.Module:
    """Linear layers with ReLU between them, over digits."""
    sizes, layers = (64, *hidden, 10), list[nn.Module]([nn.Flatten()])
    with seeded(seed, "perceptron"):
        for before, after in pairwise(sizes):
            layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def convolutional(seed: int = 0) -> nn.Module:
    """Two convolutions, one of them in groups, BatchNorm, a linear layer."""
    with seeded(seed, "convolutional"):
        return nn.Sequential(
            nn.Conv2d(1, 8, 3, stride=2, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 12, 3, padding=1, groups=4, bias=False),
            nn.BatchNorm2d(12),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(12, 10),
        )


def tiny_network(*names: str, seed: int = 0) -> Network:
    """Of three layers, in float."""
    with seeded(seed, "tiny network"):
        return Network(Architecture.of(tiny_space(), names or ("k3_e3", "k5_e1", "k3_e1_g2")))


def trained(model: nn.Module, data: ImageData, recipe: Recipe = SHORT, seed: int = 0) -> nn.Module:
    """The same module, trained."""
    Training(model, data=data, recipe=recipe, seed=seed).run()
    return model.eval()


def loss_on(data: ImageData, count: int = 100) -> Callable[[nn.Module], Tensor]:
    """Mean cross-entropy on the first training pictures."""
    x_NCHW, y_N = pixels(torch.tensor(data.x_train[:count])), torch.tensor(data.y_train[:count])
    return lambda model: F.cross_entropy(model(x_NCHW), y_N)
