"""Which architectures are looked at after a search: those that theta thinks best within the budgets, those whose
choices scored best in others, and of each kind of bits alone the best. Exact, and torch-free.

Theta learns on mixtures: where one choice is cheap and another good, a share of both is worth more than it will be as
one of them. Scores of single paths do not err so, but a regression over them holds choices for independent of each
other. So both name finalists.

Theta and scores on the supernet order networks of like bits well. Between bits they err: few lose less under the
supernet's weights than after a training of their own. So each precision of few bits keeps a place, in what is scored
and in what is tried, and so do 8 bits and more, which are of one kind: between them there is no such loss.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

from search.budget import Budget, Indices, Matrix, binding
from search.choices import Precision
from search.derive import Unreachable, solve_best
from search.space import Layer, Space

EIGHT = Precision(8, 8)
SPENT, POOL = 0.97, 4  # a finalist spends this share of a budget; so many times their number are looked at


def finalists(space: Space, worths: Sequence[Matrix], budgets: Sequence[Budget], count: int) -> list[Indices]:
    """At most `count` architectures that hold every budget: as many by each of the `worths`, one more by the first
    where that is odd, and by the first where they agree. Where the space offers several kinds of bits, and two
    finalists or more for each, up to half of the places are for each of them alone. Raises Unreachable.
    """
    found = dict[Indices, None]()
    for number, (worth_LK, places) in enumerate(zip(worths, _shares(count, len(worths)), strict=True)):
        if places:
            found |= dict.fromkeys(_of_one(space, worth_LK, budgets, places, _alone(space, count, number, len(worths))))
    if len(found) < count:
        found |= dict.fromkeys(_best(worths[0], budgets, count))
    return list(found)[:count]


def _shares(count: int, among: int) -> list[int]:
    """`count` in parts that are as equal as can be, the greater ones first."""
    return [count // among + (number < count % among) for number in range(among)]


def _alone(space: Space, count: int, number: int, among: int) -> dict[Precision, int]:
    """How many of `count` places each kind alone has by worth `number` of so many. What is odd goes to another of them
    kind by kind: each keeps places for what mixes.
    """
    kinds = list(dict.fromkeys(map(kind, space.choices.precisions)))
    if len(kinds) < 2:
        return {}
    shares = _shares(count // (2 * len(kinds)), among)
    return {alone: shares[(number + place) % among] for place, alone in enumerate(kinds)}


def _of_one(
    space: Space, worth_LK: Matrix, budgets: Sequence[Budget], count: int, alone: Mapping[Precision, int]
) -> list[Indices]:
    """Those of most `worth_LK`, best first; then so many of each kind `alone`; where those are among the first or not
    to be had, the next best.
    """
    likely = _best(worth_LK, budgets, count)
    found = dict.fromkeys(likely[: count - sum(alone.values())])
    for of_kind, places in alone.items():
        try:
            found |= dict.fromkeys(_best(_only(space, worth_LK, of_kind), budgets, places) if places else ())
        except Unreachable:
            continue  # it alone exceeds them
    return list(found | dict.fromkeys(likely))[:count]


def to_try(space: Space, ranked: Iterable[Indices], count: int) -> list[Indices]:
    """`count` of `ranked`, best first, in that order: half of them those that come first; then, as far as they go, the
    first that mixes kinds of bits and the first of each alone.
    """
    ranked = list(ranked)
    firsts = {kind_of(space, indices): indices for indices in reversed(ranked)}.values()
    ahead = ranked[: (count + 1) // 2]
    chosen = list(dict.fromkeys([*ahead, *sorted(firsts, key=ranked.index), *ranked]))[:count]
    return sorted(chosen, key=ranked.index)


def kind(precision: Precision) -> Precision:
    """A precision of few bits itself; w8a8 for all others."""
    return precision if precision.has_few_bits else EIGHT


def kind_of(space: Space, indices: Sequence[int]) -> Precision | None:
    """The one kind of bits of all layers that choose some; None where there are several, or no such layer."""
    found = {
        kind(layer.choices[index].precision)
        for layer, index in zip(space.layers, indices, strict=True)
        if _chooses_precision(layer, index)
    }
    return found.pop() if len(found) == 1 else None


def _best(worth_LK: Matrix, budgets: Sequence[Budget], count: int) -> list[Indices]:
    """Where a budget binds, those that spend it come first: scores on the supernet tell neighbours apart less well than
    the latency they leave unused.
    """
    found = solve_best(worth_LK, budgets, POOL * count)
    if found[0] == tuple(row.index(max(row)) for row in worth_LK):
        return found[:count]
    bind = binding(budgets)
    spends = [any(b.total(indices) >= SPENT * b.maximum for b in bind) for indices in found]
    return sorted(found, key=lambda indices: not spends[found.index(indices)])[:count]


def _only(space: Space, worth_LK: Matrix, of_kind: Precision) -> Matrix:
    """Worth with every choice of another kind forbidden."""
    return [
        [
            value if kind(choice.precision) == of_kind or not _chooses_precision(layer, index) else -math.inf
            for index, (choice, value) in enumerate(zip(layer.choices, row, strict=True))
        ]
        for layer, row in zip(space.layers, worth_LK, strict=True)
    ]


def _chooses_precision(layer: Layer, index: int) -> bool:
    """Whether bits apply to this choice: an identity has none, and stands once."""
    block = layer.choices[index].block
    return len({choice.precision for choice in layer.choices if choice.block == block}) > 1
