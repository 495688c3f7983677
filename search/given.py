"""The space that a job searches: the one it names, with the job's choices, or with one given block a layer where its
strategy leaves blocks alone. Torch-free.

Errors:
    NotOffered (ValueError)   the space has not what the job asks for; `.field` of the job says where, `.wrong` what
"""

from collections.abc import Mapping, Sequence
from itertools import zip_longest

from search.architecture import Architecture
from search.axes import Axes
from search.choices import Candidate
from search.space import Layer, Space
from search.spec import Hawq, SearchSpec
from search.warm_starts import misfit


class NotOffered(ValueError):
    """The space has not what `field` of a job asks for: `wrong` says why."""

    def __init__(self, field: str, wrong: str) -> None:
        super().__init__(f"{field}: {wrong}")
        self.field = field
        self.wrong = wrong


def space_of(spec: SearchSpec, space: Space, given: Architecture | None = None) -> Space:
    """What `spec` searches of `space`; `given` is what the job of `hawq.architecture` derived. Raises NotOffered,
    and ValueError where the space cannot offer the job's choices or `given` is missing.
    """
    offered = space.offering(spec.choices)
    if spec.search.warm_start and (reason := misfit(spec.search.warm_start, offered)):
        raise NotOffered("search.warm_start", reason)
    if spec.strategy != "hawq":
        return offered
    hawq = spec.hawq or Hawq()
    if hawq.architecture is None:
        return only(offered, hawq.candidates)
    if given is None:
        raise ValueError(f"hawq.architecture: pass what {hawq.architecture} derived as `given`")
    return as_derived(offered, given)


def only(space: Space, candidates: Sequence[str] = ()) -> Space:
    """`space` with one block a layer, at full width: those named, or where none is the largest candidates (by channels,
    then by kernel). Raises NotOffered where they are not one for each layer, or not offered there.
    """
    space = _at_full_width(space)
    names = tuple(candidates) or tuple(map(_largest, space.layers, [Axes(space)] * len(space.layers)))
    if len(names) != len(space.layers):
        told = f"names {len(names)}, and {space.name} has {len(space.layers)} layers: name one for each"
        raise NotOffered("hawq.candidates", told)
    pairs = zip(space.layers, names, strict=True)
    return _of_stages(space, [_stage(layer, name, f"hawq.candidates[{layer.number}]") for layer, name in pairs])


def as_derived(space: Space, given: Architecture) -> Space:
    """`space` with one block a layer: those of `given`, at their widths, whichever widths the space offers. Raises
    NotOffered where layers lead from and to other channels, or are not offered the kernel there.
    """
    place, space = "hawq.architecture", _at_full_width(space)
    stages = []
    for own, other in zip_longest(map(_shape, space.layers), map(_shape, given.space.layers)):
        if own != other:
            told = f"{space.name} has {own or 'no such layer'}, the architecture {other or 'no such layer'}"
            raise NotOffered(place, f"{told}: name a job that searched the same stages")
    for layer, choice in zip(space.layers, given.layers, strict=True):
        stages.append({**_stage(layer, choice.candidate, place), "c_mid": choice.c_mid})
    return _of_stages(space, stages)


def _at_full_width(space: Space) -> Space:
    return space.offering(space.choices.model_copy(update={"width": (1.0,)}))


def _shape(layer: Layer) -> str:
    return f"a layer {layer.number} of {layer.c_in} to {layer.c_out} channels, stride {layer.stride}"


def _stage(layer: Layer, name: str, place: str) -> dict[str, object]:
    """One layer of one candidate as a stage; raises NotOffered."""
    offered = dict.fromkeys(block.candidate.name for block in layer.blocks)
    if name not in offered:
        raise NotOffered(place, f"{name!r} is none of {', '.join(offered)}, which layer {layer.number} may be")
    return {"channels": layer.c_out, "layers": 1, "stride": layer.stride, "candidates": (name,)}


def _of_stages(space: Space, stages: Sequence[Mapping[str, object]]) -> Space:
    return Space.model_validate({**space.model_dump(), "stages": stages})


def _largest(layer: Layer, axes: Axes) -> str:
    ranks = axes.largeness.block[layer.number]
    largest: Candidate = max(layer.blocks, key=lambda block: ranks[layer.blocks.index(block)]).candidate
    return largest.name
