"""Which graphs are timed: every operator alone, and random chains of them from one end of a network to the other.

An operator alone pays for what a network does not: bringing pictures into the runtime's own memory layout and back.
Chains show what it costs among neighbours. They need the list of operators only: what one gives, the next takes.
"""

import hashlib
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from latency.graph import shapes_of
from latency.operator import BASE, Kind, Operator
from latency.profiler.errors import ProfilerError

Chain = tuple[Operator, ...]
Shape = tuple[int, int, int]
Neighbours = Mapping[Shape, Sequence[Operator]]
OCCURRENCES = 30  # of an operator in chains, on average: what that buys is in docs/concepts/latency-tables.md
LONGEST = 60  # operators of a chain; spaces whose shapes come back would walk for ever


class Plan(NamedTuple):
    """What to time: `operators` alone (the base first), then `chains`. `graphs` are both in this order."""

    operators: tuple[Operator, ...]
    chains: tuple[Chain, ...]

    @property
    def graphs(self) -> tuple[Chain, ...]:
        """Every graph to time, once."""
        return *((operator,) for operator in self.operators), *self.chains

    def fingerprint(self, *facts: object) -> str:
        """Equal for plans that time the same graphs under the same `facts`."""
        return hashlib.sha256(repr((self, facts)).encode()).hexdigest()[:16]


def make_plan(operators: Sequence[Operator], *, seed: int) -> Plan:
    """Plans for distinct `operators`; an identity costs nothing and is left away. Raises ProfilerError."""
    timed = [o for o in dict.fromkeys(operators) if o != BASE and not o.is_identity]
    if not timed:
        raise ProfilerError("there are no operators to time")
    for operator in timed:
        refuse_untimed(operator)
    return Plan((BASE, *timed), tuple(dict.fromkeys(_chains(timed, random.Random(seed)))))


def refuse_untimed(operator: Operator) -> None:
    """Raises ProfilerError on an operator whose graph would not be what a device ships."""
    if min(operator.weight_bits, operator.activation_bits) < 32:
        raise ProfilerError(
            f"{operator.key}: its rounding is simulated in float, which says nothing about integer kernels: "
            "profile fp32 operators only, and upload rows of fewer bits that the device itself measured"
        )
    if operator.sparsity:
        raise ProfilerError(f"{operator.key}: only dense operators can be timed")
    try:
        shapes_of(operator)
    except ValueError as error:
        raise ProfilerError(f"{error}: it cannot be timed") from error


def _chains(operators: Sequence[Operator], rng: random.Random) -> Iterable[Chain]:
    before: defaultdict[Shape, list[Operator]] = defaultdict(list)
    after: defaultdict[Shape, list[Operator]] = defaultdict(list)
    for operator in operators:
        if operator.kind != "stem":
            after[_takes(operator)].append(operator)
        if operator.kind != "head":
            before[_gives(operator)].append(operator)
    used = Counter[Operator]()
    while used.total() < OCCURRENCES * len(operators):
        start = _rare(operators, used, rng)
        head = _walk(start, "stem", before, _takes, used, rng)
        tail = _walk(start, "head", after, _gives, used, rng)
        chain = (*reversed(head), start, *tail)
        used.update(chain)
        yield chain


def _walk(
    start: Operator,
    end: Kind,
    neighbours: Neighbours,
    side: Callable[[Operator], Shape],
    used: Counter[Operator],
    rng: random.Random,
) -> Chain:
    """Operators from `start` on, to the side where an `end` stands, until nothing fits any more."""
    walk = [start]
    while walk[-1].kind != end and len(walk) < LONGEST and (fitting := neighbours.get(side(walk[-1]))):
        staying = [o for o in fitting if o.keeps_shape and o.kind == "mbconv"]
        going = [o for o in fitting if not (o.keeps_shape and o.kind == "mbconv")]
        stay = bool(staying) and (not going or rng.random() < 0.5)
        if stay and not going and rng.random() < 0.5:
            break
        walk.append(_rare(staying if stay else going, used, rng))
    return tuple(walk[1:])


def _rare(operators: Sequence[Operator], used: Counter[Operator], rng: random.Random) -> Operator:
    """The less used of two taken at random: chains stay random, and no operator is left out."""
    return min(rng.choice(operators), rng.choice(operators), key=lambda o: used[o])


def _takes(operator: Operator) -> Shape:
    return operator.h, operator.w, operator.c_in


def _gives(operator: Operator) -> Shape:
    return *operator.out_hw, operator.c_out
