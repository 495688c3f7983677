"""Uniform magnitude pruning (ShrinkBench: Blalock 2020, sec. 6): one block, precision, share of zeros and width factor
in every layer. Channels and weights that stay are those of the greatest magnitude, as the supernet sorts them.

Skip is none of the blocks: pruning takes no layer out. Torch-free.
"""

from collections.abc import Iterator, Sequence

from search.budget import NEAR, Budget, Indices, Matrix, spent, worth_of
from search.choices import Candidate, Choice, Level, Precision
from search.points import Point
from search.space import Layer, Space


def misfit(space: Space, points: Sequence[Point]) -> str | None:
    """Why there is no such network at every point."""
    networks = list(uniform(space))
    if not networks:
        return f"no block is offered in every layer of {space.name} at one width factor: offer it a candidate that is"
    for point in points:
        if not any(_holds(indices, point.budgets) for indices in networks):
            least = (f"{b.name}: {min(map(b.total, networks)):.6g} of {b.maximum:.6g}" for b in point.budgets)
            return (
                "no network of the same block, precision, zeros and width in every layer holds the budgets at share "
                f"{point.share:g} (the least, each alone: {'; '.join(least)}): offer narrower widths, compare at fewer "
                "points, or raise the constraint"
            )
    return None


def choose(space: Space, worth_LK: Matrix, budgets: Sequence[Budget]) -> Indices:
    """Of the uniform networks that spend as much of the budgets as the one nearest to them, or NEAR of it, the one of
    most worth. There is one where `misfit` says so.
    """
    spends = {indices: spent(indices, budgets) for indices in uniform(space) if _holds(indices, budgets)}
    enough = NEAR * max(spends.values())
    return max((ix for ix, share in spends.items() if share >= enough), key=lambda ix: worth_of(worth_LK, ix))


def uniform(space: Space) -> Iterator[Indices]:
    """Every uniform network, once."""
    names = dict.fromkeys(block.candidate for layer in space.layers for block in layer.blocks if block.candidate.kernel)
    found = dict[Indices, None]()
    for candidate in names:
        for width in space.choices.width:
            for precision in space.choices.precisions:
                for level in space.choices.levels:
                    ways = [_index(space, layer, candidate, width, precision, level) for layer in space.layers]
                    if None not in ways:
                        found[tuple(way for way in ways if way is not None)] = None
    yield from found


def _index(
    space: Space, layer: Layer, candidate: Candidate, width: float, precision: Precision, level: Level
) -> int | None:
    """The choice of `layer` that is `candidate` at `width`; where rounding leaves no narrower block, at full width."""
    (alone,) = space.choices.model_copy(update={"width": (width,)}).blocks((candidate,), layer.c_in)
    for block in layer.blocks:  # a narrow block has the name of the narrowest candidate that holds it
        found = block.candidate
        if (found.kernel, found.groups, block.c_mid) == (candidate.kernel, candidate.groups, alone.c_mid):
            return layer.choices.index(Choice(block, precision, level))
    return None


def _holds(indices: Indices, budgets: Sequence[Budget]) -> bool:
    return all(budget.total(indices) <= budget.maximum for budget in budgets)
