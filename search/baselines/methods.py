"""How the search itself and each baseline come to a network at one operating point."""

from collections.abc import Callable

from search.baselines import uniform_magnitude
from search.baselines.magnitude import by_gradient, by_magnitude
from search.baselines.near import best_near
from search.baselines.proposals.bits import Bits
from search.baselines.proposals.gates import Gates
from search.baselines.proposals.noise import Noise
from search.baselines.proposals.ticket import Ticket
from search.baselines.random_draw import draw
from search.baselines.setting import Learnt, Method, Proposal, Setting
from search.baselines.uniform_int8 import only_int8
from search.network import Network
from search.report.compared import SEARCHED
from search.spec import Finish, Pruning

__all__ = ["METHODS", "PROPOSALS", "Learnt", "Setting", "finish_of"]


def _searched(setting: Setting) -> Network:
    return setting.learnt.start(setting.indices, setting.seed)


def _random(setting: Setting) -> Network:
    return setting.learnt.start(draw(setting.budgets, setting.seed), setting.seed)


def _uniform_magnitude(setting: Setting) -> Network:
    evidence = setting.learnt.evidence
    chosen = uniform_magnitude.choose(evidence.space, evidence.worth, setting.budgets)
    return setting.learnt.start(chosen, setting.seed)


def _uniform_int8(setting: Setting) -> Network:
    evidence = setting.learnt.evidence
    chosen = best_near(only_int8(evidence.space, evidence.worth), setting.budgets)
    return setting.learnt.start(chosen.indices, setting.seed)


def _scratch(setting: Setting) -> Network:
    return setting.learnt.scratch(setting.indices, setting.seed)


METHODS: dict[str, Method] = {
    SEARCHED: _searched,
    "random": _random,
    "uniform-magnitude": _uniform_magnitude,
    "uniform-int8": _uniform_int8,
    "magnitude-global": by_magnitude,
    "magnitude-gradient": by_gradient,
    "scratch": _scratch,
    "scratch-2x": _scratch,
}
PROPOSALS: dict[str, Callable[[Setting], Proposal]] = {
    "hawq": Bits,
    "variational-dropout": Noise,
    "hard-concrete": Gates,
    "lottery-ticket": Ticket,
}
OWN_MASKS = ("magnitude-gradient", "lottery-ticket")  # which no pruning by today's magnitudes may replace


def finish_of(method: str, finish: Finish) -> Finish:
    """How the network of a method is trained: as the job's own, but for what the method is about."""
    return finish.model_copy(update={"pruning": Pruning(schedule="one-shot")}) if method in OWN_MASKS else finish
