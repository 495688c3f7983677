"""Which graphs are timed: every operator alone, and random chains of them from one end of a network to the other.

An operator alone pays for what a network does not: bringing pictures into the runtime's own memory layout and back.
Chains show what it costs among neighbours. They need the list of operators only: what one gives, the next takes.
"""

import hashlib
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from latency.operator import BASE, Kind, Operator, OperatorError, boundary, with_boundaries
from latency.profiler.errors import ProfilerError
from latency.weights import shapes_of

Chain = tuple[Operator, ...]
Shape = tuple[int, int, int]
Neighbours = Mapping[Shape, Sequence[Operator]]
OCCURRENCES = 30  # of an operator in chains, on average: what that buys is in docs/concepts/latency-tables.md
IN_ONE_FORMAT = 0.5  # of the chains; in the others floats and integers are neighbours as it comes
LEAST_MET = 10  # chains with a boundary that the space needs
LONGEST = 60  # operators of a chain; spaces whose shapes come back would walk for ever


class Plan(NamedTuple):
    """What to time: `operators` alone (the base first), then `chains`. `boundaries` stand in chains, never alone."""

    operators: tuple[Operator, ...]
    boundaries: tuple[Operator, ...]
    chains: tuple[Chain, ...]

    @property
    def graphs(self) -> tuple[Chain, ...]:
        """Every graph to time, once: those of operators alone, then those of chains, in their order."""
        return *((operator,) for operator in self.operators), *self.chains

    @property
    def rows(self) -> tuple[Operator, ...]:
        """What gets a row in the table."""
        return *self.operators, *self.boundaries

    def fingerprint(self, *facts: object) -> str:
        """Equal for plans that time the same graphs under the same `facts`."""
        return hashlib.sha256(repr((self, facts)).encode()).hexdigest()[:16]


def make_plan(operators: Sequence[Operator], *, seed: int) -> Plan:
    """Plans for distinct `operators`; an identity costs nothing and is left away. Raises ProfilerError."""
    wanted = [o for o in dict.fromkeys(operators) if o != BASE and not o.is_identity]
    timed = [operator for operator in wanted if operator.kind != "boundary"]
    if not timed:
        raise ProfilerError("there are no operators to time")
    for operator in timed:
        try:
            if operator.kernel and operator.kernel % 2 == 0:
                raise OperatorError("kernel", f"{operator.kernel} of {operator.key} is even, as in no network here")
            if operator.sparsity and operator.kind != "mbconv":
                raise OperatorError("sparsity", f"{operator.key} has no zeros, only an mbconv may have some")
            shapes_of(operator)
        except ValueError as error:
            raise ProfilerError(f"{error}: it cannot be timed") from error
    boundaries = [operator for operator in wanted if operator.kind == "boundary"]
    chains = tuple(dict.fromkeys(_Chains(timed, random.Random(seed)).drawn(boundaries)))
    met = {o for chain in chains for o in with_boundaries(chain) if o.kind == "boundary"}
    return Plan((BASE, *timed), (*boundaries, *sorted(met - set(boundaries))), chains)


def paid(chain: Chain) -> Iterator[Operator]:
    """The rows that the graph of `chain` pays for, the base left away: it takes floats and gives floats, so where
    it starts or ends in integers in the middle of a network there are boundaries too.
    """
    first, last = chain[0], chain[-1]
    if first.is_integer and first.kind != "stem":
        yield boundary(first)
    yield from with_boundaries(chain)
    if last.is_integer and last.kind != "head":
        yield Operator("boundary", *last.out_hw, last.c_out)


class _Chains:
    """Random chains of `operators`, each of them used about equally often."""

    def __init__(self, operators: Sequence[Operator], rng: random.Random) -> None:
        self.operators, self.rng, self.used = operators, rng, Counter[Operator]()
        self.before: defaultdict[Shape, list[Operator]] = defaultdict(list)
        self.after: defaultdict[Shape, list[Operator]] = defaultdict(list)
        for operator in operators:
            if operator.kind != "stem":
                self.after[_takes(operator)].append(operator)
            if operator.kind != "head":
                self.before[_gives(operator)].append(operator)

    def drawn(self, boundaries: Sequence[Operator]) -> Iterator[Chain]:
        """Enough of them; each of `boundaries` in a few at least. Raises ProfilerError where no neighbours need it."""
        met = Counter[Operator]()
        while self.used.total() < OCCURRENCES * len(self.operators):
            start = _rare(self.operators, self.used, self.rng)
            chain = self._through((start,), stays=self.rng.random() < IN_ONE_FORMAT)
            met.update(with_boundaries(chain))
            yield chain
        for wanted in boundaries:
            pairs = self._neighbours(wanted)
            if not pairs:
                raise ProfilerError(f"{wanted.key}: no two of the operators to time need it between them")
            for _ in range(LEAST_MET - met[wanted]):
                yield self._through(self.rng.choice(pairs), stays=False)

    def _neighbours(self, wanted: Operator) -> list[Chain]:
        shape = _takes(wanted)
        return [
            (left, right)
            for left in self.before[shape]
            for right in self.after[shape]
            if boundary(right) == wanted and left.is_integer != right.is_integer
        ]

    def _through(self, middle: Chain, *, stays: bool) -> Chain:
        """A chain with `middle` in it."""
        head = self._walk(middle[0], "stem", self.before, _takes, stays=stays)
        tail = self._walk(middle[-1], "head", self.after, _gives, stays=stays)
        chain = (*reversed(head), *middle, *tail)
        self.used.update(chain)
        return chain

    def _walk(
        self, start: Operator, end: Kind, neighbours: Neighbours, side: Callable[[Operator], Shape], *, stays: bool
    ) -> Chain:
        """Operators from `start` on, to the side where an `end` stands, until nothing fits any more; those of one
        format where it `stays` in that and they fit.
        """
        walk = [start]
        while walk[-1].kind != end and len(walk) < LONGEST and (fitting := neighbours.get(side(walk[-1]))):
            alike = [o for o in fitting if o.is_integer == start.is_integer] if stays else []
            fitting = alike or fitting
            staying = [o for o in fitting if o.keeps_shape and o.kind == "mbconv"]
            going = [o for o in fitting if not (o.keeps_shape and o.kind == "mbconv")]
            stay = bool(staying) and (not going or self.rng.random() < 0.5)
            if stay and not going and self.rng.random() < 0.5:
                break
            walk.append(_rare(staying if stay else going, self.used, self.rng))
        return tuple(walk[1:])


def _rare(operators: Sequence[Operator], used: Counter[Operator], rng: random.Random) -> Operator:
    """The less used of two taken at random: chains stay random, and no operator is left out."""
    return min(rng.choice(operators), rng.choice(operators), key=lambda o: used[o])


def _takes(operator: Operator) -> Shape:
    return operator.h, operator.w, operator.c_in


def _gives(operator: Operator) -> Shape:
    return *operator.out_hw, operator.c_out
