"""HAWQ-V2 (Dong 2020): how much a loss minds that weights or activations get few bits, without training anything.

    Omega_l(b) = Tr(H_l) / n_l * ||Q_b(W_l) - W_l||^2      (eq. 5 there)

H_l is the Hessian of the loss by the n_l weights of layer l, Q_b our blocks' own grid (search.kernels.grids). The trace
is Hutchinson's: the mean of v' H v over vectors v of random signs. One double backward gives H v for all layers, and
the products between layers have mean 0. For activations H_l is by what layer l reads, in the mean over pictures (sec.
3.3 there).
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from search.choices import DENSE, Level
from search.compression.layers import Loss, inputs_seen, weighted
from search.compression.plain import plain
from search.kernels import Grids, on_grids, rounded_rows
from search.norms import ONLY_GRID
from search.randomness import generator
from search.sparsity import survivors


class Precise(NamedTuple):
    """When the estimates are good enough: every layer's standard error is at most `relative` of its trace, or `floor`
    of all traces together: what is small beside the others needs no digits. At most `most_vectors` are spent.
    """

    relative: float = 0.05
    floor: float = 0.005
    least_vectors: int = 16
    most_vectors: int = 1000


class Trace(NamedTuple):
    """An estimated trace, its standard error, of how many values, from how many vectors. `settled` is false where the
    vectors ran out before the error was small enough.
    """

    trace: float
    error: float
    size: int
    vectors: int
    settled: bool

    @property
    def mean(self) -> float:
        """Tr(H) / n. Below 0, as estimates of next to nothing may be, it counts as 0: no perturbation is a gain."""
        return max(0.0, self.trace / self.size)


PRECISE = Precise()


def weight_traces(model: nn.Module, loss: Loss, *, seed: int = 0, precise: Precise = PRECISE) -> dict[str, Trace]:
    """The trace of each layer's weights. `model` in evaluation mode; a network of ours is taken in fp32, dense
    (search.compression.plain). `loss` is the mean over some pictures, the same at each call.
    """
    return _traces(weight_curvature(model, loss, seed=seed), precise)


def weight_curvature(model: nn.Module, loss: Loss, *, seed: int = 0) -> "Curvature":
    """That of each layer's weights, as `weight_traces` takes it."""
    model = plain(model)
    points = {name: layer.weight for name, layer in weighted(model).items()}
    return Curvature(loss(model), points, {name: point.numel() for name, point in points.items()}, seed)


def activation_traces(model: nn.Module, loss: Loss, *, seed: int = 0, precise: Precise = PRECISE) -> dict[str, Trace]:
    """The trace by what each layer reads, of one picture in the mean over those of `loss`: pictures do not meet in
    evaluation mode, so the Hessian of a mean loss is made of theirs, each divided by their number.
    """
    return _traces(activation_curvature(model, loss, seed=seed), precise)


def activation_curvature(model: nn.Module, loss: Loss, *, seed: int = 0) -> "Curvature":
    """That of what each layer reads, as `activation_traces` takes it."""
    model, points = plain(model), dict[str, Tensor]()

    def perturbed(name: str, read: Tensor) -> Tensor:
        points[name] = torch.zeros_like(read, requires_grad=True)
        return read + points[name]

    with inputs_seen(model, perturbed):
        value = loss(model)
    return Curvature(value, points, {name: point[0].numel() for name, point in points.items()}, seed)


class Curvature:
    """The Hessian of `loss` by each of `points`, asked by vectors of random signs. `row(n)` is the same whenever it is
    asked for, so that what was interrupted goes on with the next; `sizes` are the numbers of values by name.
    """

    def __init__(self, loss: Tensor, points: Mapping[str, Tensor], sizes: Mapping[str, int], seed: int) -> None:
        self.points, self.sizes, self.seed = list(points.values()), dict(sizes), seed
        self.gradients = torch.autograd.grad(loss, self.points, create_graph=True)

    def row(self, number: int) -> Tensor:
        """v' H v of each point for vector `number`, (L,), float64."""
        signs = _signs(self.points, self.seed, number)
        products = torch.autograd.grad(self.gradients, self.points, signs, retain_graph=True, materialize_grads=True)
        return torch.stack([(v * p).double().sum() for v, p in zip(signs, products, strict=True)]).detach()


def _traces(curvature: Curvature, precise: Precise) -> dict[str, Trace]:
    rows = list[Tensor]()
    for number in range(precise.most_vectors):
        rows.append(curvature.row(number))
        if number + 1 >= precise.least_vectors and bool(_settled(torch.stack(rows), precise).all()):
            break
    return estimates(torch.stack(rows), curvature.sizes, precise)


def _signs(points: Sequence[Tensor], seed: int, number: int) -> list[Tensor]:
    source = generator(seed, "hutchinson", number)
    return [torch.randint(0, 2, point.shape, generator=source).to(point) * 2 - 1 for point in points]


def _settled(products_VL: Tensor, precise: Precise) -> Tensor:
    trace_L = products_VL.mean(0).abs()
    return _errors(products_VL) <= torch.maximum(precise.relative * trace_L, precise.floor * trace_L.sum())


def _errors(products_VL: Tensor) -> Tensor:
    return products_VL.std(0) / math.sqrt(len(products_VL))


def estimates(products_VL: Tensor, sizes: Mapping[str, int], precise: Precise = PRECISE) -> dict[str, Trace]:
    """Traces by name from v' H v of at least two vectors."""
    columns = zip(
        sizes.items(),
        products_VL.mean(0).tolist(),
        _errors(products_VL).tolist(),
        _settled(products_VL, precise).tolist(),
        strict=True,
    )
    vectors = len(products_VL)
    return {name: Trace(trace, error, size, vectors, settled) for (name, size), trace, error, settled in columns}


def weight_omegas(model: nn.Module, traces: Mapping[str, Trace], bits: Sequence[int]) -> dict[str, list[float]]:
    """Omega of each layer's weights at each of `bits`, 32 among them at no loss."""
    layers = weighted(model)
    return {name: [trace.mean * moved(layers[name].weight, b) for b in bits] for name, trace in traces.items()}


def moved(weight: Tensor, bits: int, level: Level = DENSE) -> float:
    """||Q_b(W) - W||^2, with what `level` makes zero counted as moved."""
    rows = weight.detach().flatten(1)
    kept = rows if bits == 32 else rounded_rows(rows, bits)
    if level.sparsity:
        kept = kept * survivors(rows, level)
    return (kept - rows).double().square().sum().item()


def activation_omegas(
    model: nn.Module, traces: Mapping[str, Trace], loss: Loss, bits: Sequence[int]
) -> dict[str, list[float]]:
    """Omega of what each layer reads, at each of `bits`, in the mean over the pictures of `loss`."""
    model, found = plain(model), dict[str, list[float]]()

    def see(name: str, read: Tensor) -> None:
        found[name] = [traces[name].mean * _moved_activations(read, b) for b in bits]

    with torch.no_grad(), inputs_seen(model, see):
        loss(model)
    return found


def _moved_activations(read: Tensor, bits: int) -> float:
    """||Q_b(a) - a||^2 of a picture, on the grid that blocks would have after these pictures."""
    if bits == 32:
        return 0.0
    grids = Grids((bits,), ONLY_GRID, signed=bool(read.min() < 0), rms=read.square().mean().sqrt().item())
    return (on_grids(read, grids) - read).double().square().sum().item() / len(read)
