"""The page about the space document, made from its schema: python -m api.spaces.reference > docs/reference/space.md"""

from api.schema_page import sections
from search.choices import LEVELS_OF_PATTERN, MOST_OPTIONS
from search.space import MOST_CHOICES, Space

_HEAD = f"""# The space document

What `lutnas spaces create` and `POST /v1/spaces` take, as JSON; `lutnas spaces show NAME --json` prints one. A network
is the stem, the layers of the stages in order, each one of the choices that it has, and the head.

A candidate is `skip` (the identity, or where the shape changes a 1x1 convolution with the stride) or `kK_eE`, an
inverted residual block (1x1 to E times the input's channels, depthwise KxK, 1x1) with K of 3, 5, 7 or 9 and E from 1
to 9; `kK_eE_gG` has its 1x1 convolutions in G groups, from 2 to 8, with a shuffle between. A choice of a layer is a
candidate, a width, a precision and a share of zeros: of `candidates` (those of its stage, where that has some) and of
`choices`, which a job may replace by its own. Of widths, precisions and shares there are at most {MOST_OPTIONS} each,
and of choices of all layers together {MOST_CHOICES:,}.

A precision is `fp32`, or `wBaB`: bits of the weights and of the activations, each from 2 to 8. A pattern of zeros is
`unstructured`, or {", ".join(f"`{pattern}`" for pattern in LEVELS_OF_PATTERN)}: so many of so many neighbours along a
row stay.
"""

_WHOLE = "The layers of all stages are what is searched; each is a choice of its own."


def reference() -> str:
    """The page as Markdown."""
    return _HEAD + sections("The space", {**Space.model_json_schema(), "description": _WHOLE})


if __name__ == "__main__":
    print(reference(), end="")
