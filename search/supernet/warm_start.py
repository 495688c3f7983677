"""Theta's precisions start from HAWQ's Omega (search.sensitivity) instead of all alike.

The largest path of the supernet is taken in float, as it is behind the warm-up. Logits are minus its Omegas, over the
mean of the layers' spreads between their least and greatest: so the worst precision of an average layer starts exp(1)
times less likely than its best, a layer that minds more starts surer, and the search can still turn either round.
"""

import math

import torch
from torch import Tensor

from search.batches import Batches, evaluation
from search.budget import Matrix
from search.network import recalibrate
from search.sensitivity import Sensitivity
from search.supernet.network import Supernet
from search.task import Task
from search.unrounded import float_copy

SPREAD = 1.0  # of the logits of an average layer
PICTURES, VECTORS = 256, 32


@torch.no_grad()
def start_from_omega(supernet: Supernet, batches: Batches, *, seed: int, task: Task) -> None:
    """Sets the logits of the precisions by pictures of `batches`."""
    theta = supernet.theta
    indices = theta.per_choice(theta.largest()).argmax(1).tolist()
    network = float_copy(supernet.inherit(indices), task.head, dense=True)
    chosen = batches.order(0)[:PICTURES]
    x_NCHW, y_N = batches.x_NCHW[chosen], batches.y_N[chosen]
    recalibrate(network, evaluation(x_NCHW))
    sensitivity = Sensitivity(network, x_NCHW=x_NCHW, y_N=y_N, vectors=VECTORS, seed=seed, task=task)
    with torch.enable_grad():
        for _ in sensitivity:
            pass
    theta.logits["precision"].copy_(logits_of(supernet, sensitivity.omegas(supernet.space, indices)))


def logits_of(supernet: Supernet, omega_LK: Matrix) -> Tensor:
    """(L, P) of mean 0 in each layer, from Omega of each choice. Layers whose block chooses no bits stay at 0."""
    rows = []
    for layer, omegas in zip(supernet.space.layers, omega_LK, strict=True):
        known = {
            choice.precision: omega
            for choice, omega in zip(layer.choices, omegas, strict=True)
            if math.isfinite(omega) and not choice.level.sparsity and not layer.operator(choice).is_identity
        }
        rows.append([known.get(precision, 0.0) for precision in supernet.axes.precisions])
    omega_LP = torch.tensor(rows)
    spread = (omega_LP.amax(1) - omega_LP.amin(1)).mean().clamp_min(1e-30)
    return -SPREAD * (omega_LP - omega_LP.mean(1, keepdim=True)) / spread
