"""The space that a job searches: the one it names, with the job's choices, or with one given block a layer where its
strategy leaves blocks alone. Torch-free.

Errors:
    NotOffered (ValueError)   the space has not what the job asks for; `.field` of the job says where
"""

from collections.abc import Sequence

from search.axes import Axes
from search.choices import Candidate
from search.space import Layer, Space
from search.spec import Hawq, SearchSpec


class NotOffered(ValueError):
    """The space has not what `field` of a job asks for."""

    def __init__(self, field: str, wrong: str) -> None:
        super().__init__(f"{field}: {wrong}")
        self.field = field


def space_of(spec: SearchSpec, space: Space) -> Space:
    """What `spec` searches of `space`. Raises NotOffered, and ValueError where it cannot offer the job's choices."""
    offered = space.offering(spec.choices)
    if spec.search.warm_start and len(offered.choices.precisions) == 1:
        told = "there is one precision alone, so bits are no choice: offer more in choices.precision, or leave it out"
        raise NotOffered("search.warm_start", told)
    return only(offered, (spec.hawq or Hawq()).candidates) if spec.strategy == "hawq" else offered


def only(space: Space, candidates: Sequence[str] = ()) -> Space:
    """`space` with one block a layer, at full width: those named, or where none is the largest candidates (by channels,
    then by kernel). Raises NotOffered where they are not one for each layer, or not offered there.
    """
    space = space.offering(space.choices.model_copy(update={"width": (1.0,)}))
    names = tuple(candidates) or tuple(map(_largest, space.layers, [Axes(space)] * len(space.layers)))
    if len(names) != len(space.layers):
        told = f"{len(names)} of them for the {len(space.layers)} layers of {space.name}"
        raise NotOffered("hawq.candidates", told)
    stages = []
    for layer, name in zip(space.layers, names, strict=True):
        offered = dict.fromkeys(block.candidate.name for block in layer.blocks)
        if name not in offered:
            raise NotOffered(f"hawq.candidates[{layer.number}]", f"{name!r} is none of {', '.join(offered)}")
        stages.append({"channels": layer.c_out, "layers": 1, "stride": layer.stride, "candidates": (name,)})
    return Space.model_validate({**space.model_dump(), "stages": stages})


def _largest(layer: Layer, axes: Axes) -> str:
    ranks = axes.largeness.block[layer.number]
    largest: Candidate = max(layer.blocks, key=lambda block: ranks[layer.blocks.index(block)]).candidate
    return largest.name
