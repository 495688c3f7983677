"""Eight bits everywhere: the best blocks and widths by what the search learnt, every layer w8a8. Torch-free."""

import math
from collections.abc import Sequence

from search.budget import Matrix
from search.choices import Precision
from search.points import Point
from search.space import Space

INT8 = Precision(8, 8)


def misfit(space: Space, points: Sequence[Point]) -> str | None:
    """Why there is no such network at every point."""
    from search.derive import Unreachable, cheapest  # loads scipy, which most requests do not need

    if INT8 not in space.choices.precisions:
        return f"{INT8.name} is no choice of the space {space.name}: add it to choices.precision"
    flat_LK = [[0.0] * len(layer.choices) for layer in space.layers]
    for point in points:
        try:
            cheapest(point.budgets, worth_LK=only_int8(space, flat_LK))
        except Unreachable:
            return (
                f"no network of {INT8.name} alone holds the budgets at share {point.share:g}: compare at fewer points, "
                "or raise the constraint"
            )
    return None


def only_int8(space: Space, worth_LK: Matrix) -> Matrix:
    """`worth_LK` with every choice forbidden that computes in another precision; an identity computes nothing."""
    return [
        [
            worth if choice.precision == INT8 or layer.operator(choice).is_identity else -math.inf
            for worth, choice in zip(row, layer.choices, strict=True)
        ]
        for row, layer in zip(worth_LK, space.layers, strict=True)
    ]
