"""How the search itself and each baseline come to a network at one operating point."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from search.baselines import uniform_magnitude
from search.baselines.near import best_near
from search.baselines.random_draw import draw
from search.baselines.uniform_int8 import only_int8
from search.budget import Budget, Indices
from search.evidence import Evidence
from search.network import Network
from search.report.compared import SEARCHED


class Learnt(NamedTuple):
    """What a finished search has: the worth of every choice, and the network of one choice a layer with the weights
    that the job's training starts from; the seed is for new ones.
    """

    evidence: Evidence
    start: Callable[[Indices, int], Network]


Method = Callable[[Learnt, Sequence[Budget], int], Network]  # within the budgets, near them; the seed is for draws


def _searched(learnt: Learnt, budgets: Sequence[Budget], seed: int) -> Network:
    return learnt.start(best_near(learnt.evidence.worth, budgets).indices, seed)


def _random(learnt: Learnt, budgets: Sequence[Budget], seed: int) -> Network:
    return learnt.start(draw(budgets, seed), seed)


def _uniform_magnitude(learnt: Learnt, budgets: Sequence[Budget], seed: int) -> Network:
    evidence = learnt.evidence
    return learnt.start(uniform_magnitude.choose(evidence.space, evidence.worth, budgets), seed)


def _uniform_int8(learnt: Learnt, budgets: Sequence[Budget], seed: int) -> Network:
    evidence = learnt.evidence
    return learnt.start(best_near(only_int8(evidence.space, evidence.worth), budgets).indices, seed)


METHODS: dict[str, Method] = {
    SEARCHED: _searched,
    "random": _random,
    "uniform-magnitude": _uniform_magnitude,
    "uniform-int8": _uniform_int8,
}
