"""The space that a job searches: the one it names, with the job's choices, or with one given block a layer where its
strategy leaves blocks alone. Torch-free.
"""

from collections.abc import Sequence

from search.axes import Axes
from search.choices import Candidate
from search.space import Layer, Space
from search.spec import Hawq, SearchSpec


def space_of(spec: SearchSpec, space: Space) -> Space:
    """What `spec` searches of `space`. Raises ValueError where it cannot offer what the job asks for."""
    offered = space.offering(spec.choices)
    if spec.search.warm_start and len(offered.choices.precisions) == 1:
        raise ValueError(
            "search.warm_start: there is one precision alone, so bits are no choice: offer more in choices.precision, "
            "or leave it out"
        )
    return only(offered, (spec.hawq or Hawq()).candidates) if spec.strategy == "hawq" else offered


def only(space: Space, candidates: Sequence[str] = ()) -> Space:
    """`space` with one block a layer, at full width: those named, or where none is the largest candidates (by channels,
    then by kernel). Raises ValueError where they are not one for each layer, or not offered there.
    """
    space = space.offering(space.choices.model_copy(update={"width": (1.0,)}))
    names = tuple(candidates) or tuple(map(_largest, space.layers, [Axes(space)] * len(space.layers)))
    if len(names) != len(space.layers):
        raise ValueError(f"hawq.candidates: {len(names)} of them for the {len(space.layers)} layers of {space.name}")
    stages = []
    for layer, name in zip(space.layers, names, strict=True):
        offered = dict.fromkeys(block.candidate.name for block in layer.blocks)
        if name not in offered:
            raise ValueError(f"hawq.candidates[{layer.number}]: {name!r} is none of {', '.join(offered)}")
        stages.append({"channels": layer.c_out, "layers": 1, "stride": layer.stride, "candidates": (name,)})
    return Space.model_validate({**space.model_dump(), "stages": stages})


def _largest(layer: Layer, axes: Axes) -> str:
    ranks = axes.largeness.block[layer.number]
    largest: Candidate = max(layer.blocks, key=lambda block: ranks[layer.blocks.index(block)]).candidate
    return largest.name
