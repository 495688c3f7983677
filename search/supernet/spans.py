"""Which middle channels and which weights of a shared path belong to a block. Imports no layer.

A block takes the middle channels [0, c_mid). A grouped block takes the same ones and weights that are blocks of zeros:
after its shuffle, channel m reads the inputs of group m % groups and feeds the outputs of group m // (c_mid / groups).
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from search.choices import Block


class Span(NamedTuple):
    """Middle channels [0, end), in `groups` after a shuffle."""

    groups: int
    end: int


def spans(blocks: Sequence[Block]) -> list[Span]:
    """The span of each block."""
    return [Span(block.candidate.groups, block.c_mid) for block in blocks]


class Members(NamedTuple):
    """Where one group of a span stands: its middle channels as rows of expand, as columns of project."""

    middle_rows: slice
    inputs: slice
    outputs: slice
    middle_columns: slice


def members(span: Span, c_in: int, c_out: int) -> Iterator[Members]:
    """The groups of a span. After the shuffle the channels of one group stand `groups` apart."""
    each = span.end // span.groups
    for g in range(span.groups):
        yield Members(
            slice(g, span.end, span.groups),
            slice(g * c_in // span.groups, (g + 1) * c_in // span.groups),
            slice(g * c_out // span.groups, (g + 1) * c_out // span.groups),
            slice(g * each, (g + 1) * each),
        )


def expand_mask(span: Span, c_in: int) -> Tensor:
    """(end, c_in) with ones where a weight of the first convolution belongs to its group."""
    mask = torch.zeros(span.end, c_in)
    for own in members(span, c_in, span.groups):
        mask[own.middle_rows, own.inputs] = 1.0
    return mask


def project_mask(span: Span, c_out: int) -> Tensor:
    """(c_out, end) with ones where a weight of the last convolution belongs to its group."""
    mask = torch.zeros(c_out, span.end)
    for own in members(span, span.groups, c_out):
        mask[own.outputs, own.middle_columns] = 1.0
    return mask
