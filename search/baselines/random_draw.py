"""A random network of the same cost: what a search that learnt nothing would give.

Drawn evenly among all architectures that hold the budgets and spend NEAR of one that binds. Where each layer is drawn
evenly nearly none does, and those that do come from one corner of the space. So a walk starts at one such architecture
and draws some layers anew at each step, staying where that leads out: its proposals are symmetric and reach every
architecture, so in the long run it is as often at each (Metropolis 1953).
"""

import math
import random
from collections.abc import Sequence

from search.baselines.near import best_near
from search.budget import Budget, Indices, binding
from search.randomness import generator

STEPS_PER_LAYER = 500
REDRAWN = (1, 1, 1, 2, 2, 2, 3, math.inf)  # layers that a step draws anew, one of these


def draw(budgets: Sequence[Budget], seed: int) -> Indices:
    """The architecture of `seed`. Where none spends NEAR of a budget, it spends as much as `best_near` found one to.
    Raises Unreachable where none holds the budgets.
    """
    rng = random.Random(generator(seed, "random baseline").initial_seed())
    tight = binding(budgets)
    options = [range(len(row)) for row in budgets[0].costs_LK]
    current, share = best_near([[rng.gauss(0.0, 1.0) for _ in row] for row in options], budgets)

    def belongs(indices: Sequence[int]) -> bool:
        if any(budget.total(indices) > budget.maximum for budget in budgets):
            return False
        return not tight or any(budget.total(indices) >= share * budget.maximum for budget in tight)

    for _ in range(STEPS_PER_LAYER * len(options)):
        proposed = list(current)
        for layer in rng.sample(range(len(options)), int(min(rng.choice(REDRAWN), len(options)))):
            proposed[layer] = rng.choice(options[layer])
        if belongs(proposed):
            current = tuple(proposed)
    return current
