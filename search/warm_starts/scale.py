"""From what options cost, in any unit, to logits. Legend: L layers, O options of one categorical."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

SPREAD = 1.0  # of the logits of an average layer


def logits_of(cost_LO: Sequence[Sequence[float]]) -> Tensor:
    """(L, O) of mean 0 in each layer: minus the costs, over the mean of the layers' spreads between their least and
    greatest. So the worst option of an average layer starts exp(1) times less likely than its best, a layer that minds
    more starts surer, and the search can still turn either round. An option of unknown cost (NaN) is taken for average.
    """
    rows = []
    for costs in cost_LO:
        known = [cost for cost in costs if not math.isnan(cost)]
        mean = sum(known) / len(known) if known else 0.0
        rows.append([0.0 if math.isnan(cost) else cost - mean for cost in costs])
    away_LO = torch.tensor(rows)
    spread = (away_LO.amax(1) - away_LO.amin(1)).mean().clamp_min(1e-30)
    return -SPREAD * away_LO / spread
