"""Rows of `seeds`: a published or once measured figure, what comes out here, and whether that holds. The short ones
stand here: sensitivities, the exact allocation, closed forms.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy import integrate, stats
from torch import Tensor, nn
from torch.autograd.functional import hessian
from torch.func import functional_call
from torch.nn import functional as F

from search.architecture import Architecture
from search.batches import pixels
from search.budget import Budget
from search.compression import hard_concrete, variational
from search.compression.allocation import allocate, at_fraction
from search.compression.hawq import Precise, weight_omegas, weight_traces
from search.compression.layers import weighted
from search.compression.plain import plain
from search.compression.training import Recipe, Training
from search.datasets import ImageData
from search.datasets.data import load_digits
from search.kernels import rounded_rows
from search.network import Network
from search.randomness import seeded
from search.space import Head, Input, Space, Stage, Stem

EXACT_BITS = (2, 3, 4, 5)
GATES = {-3.0: 0.1976, -1.0: 0.6453, 0.0: 0.8318, 1.0: 0.9308, 3.0: 0.9900}
COLUMNS = {"modelsize": "size_{}bit", "bops": "bops_{}bit", "latency": "latency_{}bit_ms"}


class Row(NamedTuple):
    """`got` within `tolerance` of `expected`; `way` says on which side it may be: "both", "least" or "most"."""

    name: str
    expected: float
    got: float
    tolerance: float = 0.0
    way: str = "both"

    @property
    def holds(self) -> bool:
        """Whether what came out is what was expected."""
        if self.way == "least":
            return self.got >= self.expected - self.tolerance
        if self.way == "most":
            return self.got <= self.expected + self.tolerance
        return abs(self.got - self.expected) <= self.tolerance

    def figures(self) -> dict[str, object]:
        """As JSON."""
        return {
            "name": self.name, "expected": self.expected, "got": round(self.got, 5), "tolerance": self.tolerance,
            "way": self.way, "holds": self.holds,
        }  # fmt: skip


def closed_forms() -> list[Row]:
    """Gates' probabilities, and the divergence against the integral it stands for."""
    found = hard_concrete.probability(torch.tensor(list(GATES))).tolist()
    gates = max(abs(a - b) for a, b in zip(found, GATES.values(), strict=True))
    grid = np.linspace(-8, 8, 65)
    approximate = variational.divergence(torch.tensor(grid)).tolist()
    worst = max(abs(a - exact_divergence(x)) for a, x in zip(approximate, grid.tolist(), strict=True))
    return [
        Row("l0: P(z > 0) off the table, at most", 0.0, gates, 5e-5, "most"),
        Row("variational dropout: KL off the integral, at most", 0.0, worst, 0.012, "most"),
    ]


def exact_divergence(log_alpha: float) -> float:
    """E log |z + 1 / sqrt(alpha)| - E log |z| over a Gaussian z, by quadrature."""
    mean = math.exp(-log_alpha / 2)

    def integrand(x: float) -> float:
        return float(math.log(abs(x)) * stats.norm.pdf(x, mean))

    parts = ((mean - 12, 0.0), (0.0, mean + 12)) if mean < 12 else ((mean - 12, mean + 12),)
    return sum(integrate.quad(integrand, *part, limit=400)[0] for part in parts) + (np.euler_gamma + math.log(2)) / 2


def published_allocations(folder: Path) -> list[Row]:
    """HAWQ-V3's nine instances for ResNet18."""
    published = json.loads((folder / "hawq_v3_resnet18.json").read_text())
    moved = zip(published["perturbation_8bit"], published["perturbation_4bit"], strict=True)
    omega = [[t * p for p in pair] for t, pair in zip(published["hessian_trace"], moved, strict=True)]
    same = 0
    for case in published["published"]:
        rows = zip(*(published[COLUMNS[case["metric"]].format(bits)] for bits in (8, 4)), strict=True)
        budget = at_fraction(Budget(case["metric"], list(rows), 0.0, 1.0), case["fraction"])
        found = allocate(omega, [budget], tied=published["tied"])
        same += [(8, 4)[index] for index in found] == case["bits"]
    return [Row("hawq-v3: published allocations that come out exactly", 9, same)]


def sensitivities() -> list[Row]:
    """On digits: traces of a small perceptron against its whole Hessian, and the order of Omega on our network."""
    data = load_digits()
    with seeded(0, "seeds perceptron"):
        small = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    Training(small, data=data, recipe=Recipe(epochs=10, batch_size=64, lr=0.05), seed=0).run()
    network = digits_network()
    Training(network, data=data, recipe=Recipe(epochs=12, batch_size=64, lr=0.05), seed=0).run()
    return [
        Row("hawq-v2: worst error of a trace", 0.0, worst_trace(small.eval(), data), 0.03, "most"),
        Row("hawq-v2: Spearman of Omega with the loss", 0.9, rank_of_omega(network.eval(), data), 0.0, "least"),
    ]


def digits_network() -> Network:
    """Three blocks, a stem and a head: twelve weights."""
    space = Space(
        name="seeds", input=Input(channels=1, height=8, width=8), classes=10, stem=Stem(channels=8),
        stages=(Stage(channels=8, layers=1), Stage(channels=12, layers=2, stride=2)), head=Head(channels=16),
    )  # fmt: skip
    with seeded(0, "seeds network"):
        return Network(Architecture.of(space, ("k3_e3", "k5_e1", "k3_e1")))


class OnPictures:
    """Mean cross-entropy on the first training pictures."""

    def __init__(self, data: ImageData, count: int) -> None:
        self.x_NCHW, self.y_N = pixels(torch.tensor(data.x_train[:count])), torch.tensor(data.y_train[:count])

    def __call__(self, model: nn.Module) -> Tensor:
        """A scalar."""
        return F.cross_entropy(model(self.x_NCHW), self.y_N)


def worst_trace(model: nn.Module, data: ImageData) -> float:
    """The greatest relative error of a layer's trace."""
    loss, errors = OnPictures(data, 200), list[float]()
    found = weight_traces(model, loss, precise=Precise(relative=0.01, floor=0.0, most_vectors=20_000))
    for name, layer in weighted(model).items():

        def of_weight(w: Tensor, key: str = f"{name}.weight") -> Tensor:
            return F.cross_entropy(functional_call(model, {key: w}, (loss.x_NCHW,)), loss.y_N)

        whole = hessian(of_weight, layer.weight.detach())  # type: ignore[no-untyped-call]
        exact = whole.reshape(layer.weight.numel(), -1).diagonal().sum().item()
        errors.append(abs(found[name].trace / exact - 1))
    return max(errors)


def rank_of_omega(network: Network, data: ImageData, bits: Sequence[int] = EXACT_BITS) -> float:
    """Spearman's correlation over all (layer, bits) with what the loss gains when that layer alone is rounded."""
    loss, twin = OnPictures(data, 1000), plain(network).eval()
    traces = weight_traces(network, loss, precise=Precise(relative=0.1, floor=0.01, most_vectors=100))
    omegas, expected, real = weight_omegas(network, traces, bits), list[float](), list[float]()
    with torch.no_grad():
        before = loss(twin).item()
        for name, layer in weighted(twin).items():
            kept = layer.weight.detach().clone()
            for b, omega in zip(bits, omegas[name], strict=True):
                layer.weight.copy_(rounded_rows(kept.flatten(1), b).view_as(kept))
                expected.append(omega)
                real.append(loss(twin).item() - before)
            layer.weight.copy_(kept)
    return float(stats.spearmanr(expected, real).statistic)
