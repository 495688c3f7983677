"""Whether the weights of one space's supernet fit another's. Torch-free: the API refuses with it.

`search.supernet.pretrained` holds the weights themselves against each other.
"""

from collections.abc import Iterator
from itertools import zip_longest

from search.space import Layer, Space

PRETRAINED = "supernet.safetensors"  # what a finished job leaves for those that start from it


def misfit(space: Space, form: str, given: Space, given_form: str) -> str | None:
    """Why a supernet of `space` cannot start from the weights of one of `given`; None where it can. Heads may differ,
    and in the shared form pictures, precisions, zeros, and choices too as long as the largest are the same.
    """
    if form != given_form:
        return f"they are of the {given_form} form, this search is of the {form} one"
    for own, other in zip_longest(_shapes(space, form), _shapes(given, form)):
        if own != other:
            return f"this search has {own or 'no such layer'}, they have {other or 'no such layer'}"
    return None


def _shapes(space: Space, form: str) -> Iterator[str]:
    """What decides about the shapes of the weights, place by place."""
    stem = space.stem_operator
    yield f"a stem of {stem.c_in} to {stem.c_out} channels, k{stem.kernel}"
    for layer in space.layers:
        blocks = _of_reference(layer) if form == "reference" else _of_shared(layer)
        skip = "projecting skip" if _has_projecting_skip(layer) else "no projecting skip"
        yield f"in layer {layer.number} {layer.c_in} to {layer.c_out} channels, {blocks}, {skip}"


def _of_shared(layer: Layer) -> str:
    blocks = [block for block in layer.blocks if block.candidate.kernel]
    if not blocks:
        return "no block"
    return f"{max(b.c_mid for b in blocks)} middle ones, k{max(b.candidate.kernel for b in blocks)}"


def _of_reference(layer: Layer) -> str:
    return "choices " + " ".join(f"{choice.candidate.name}/c{choice.c_mid}" for choice in layer.choices)


def _has_projecting_skip(layer: Layer) -> bool:
    return not layer.keeps_shape and any(not block.candidate.kernel for block in layer.blocks)
