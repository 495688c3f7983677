"""How many bits a weight takes by the way it is stored: in closed form, and of the values themselves. Torch-free.

Of n values of b bits, a share s of them zeros (Hoefler 2021, sec. 2.3):
    dense    n b
    bitmap   n + (1 - s) n b
    csr      (1 - s) n (b + ceil log2 columns) + 32 (rows + 1)
    N:M      n N / M (b + ceil log2 M), so 2:4 is n (b / 2 + 1): of every M neighbours of a row, N places are kept

A weight without zeros is dense in any format. Biases and scales are for `search.costs` and `search.report.metrics`.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from search.choices import LEVELS_OF_PATTERN, Level

POINTER_BITS = 32  # CSR: where a row begins
AUTO, DENSE = "auto", "dense"


class Weight(NamedTuple):
    """A weight of `rows` output channels, each of `columns` values of `bits`; `sparsity` of them are zeros."""

    rows: int
    columns: int
    bits: int
    sparsity: float = 0.0
    pattern: str = ""

    @property
    def size(self) -> int:
        """Values, zeros included."""
        return self.rows * self.columns

    @property
    def nonzeros(self) -> int:
        """Values that are not zero: of each row as many, as masks are made row by row (search.sparsity)."""
        return self.rows * Level(self.pattern, self.sparsity).kept(self.columns)


def closed_form_bits(weight: Weight) -> dict[str, int]:
    """Bits of a weight by the names of the formats that fit it."""
    slots = {weight.pattern: weight.nonzeros} if ":" in weight.pattern else {}
    return _bits(weight.rows, weight.columns, weight.bits, weight.nonzeros, slots)


def bits_of_values(values: np.ndarray, bits: int) -> dict[str, int]:
    """The same of the values themselves, (rows, ...), at `bits` each: zeros are counted, and an N:M pattern fits where
    no M neighbours of a row hold more than N others. A row that M does not divide ends in a shorter group.
    """
    rows = values.reshape(len(values), -1) != 0
    slots = {pattern: kept for pattern in LEVELS_OF_PATTERN if (kept := _slots(rows, pattern)) is not None}
    return _bits(len(rows), rows.shape[1], bits, int(rows.sum()), slots)


def chosen(bits: Mapping[str, int], format: str = AUTO) -> int:
    """Of bits by format those of `format`, or dense where it does not fit; `auto` is the least of all."""
    return min(bits.values()) if format == AUTO else bits.get(format, bits[DENSE])


def stored_bits(weight: Weight, format: str = AUTO) -> int:
    """Bits of a weight in `format`, in closed form."""
    return chosen(closed_form_bits(weight), format)


def _bits(rows: int, columns: int, bits: int, nonzeros: int, slots: Mapping[str, int]) -> dict[str, int]:
    """`slots`: by pattern that fits, how many values it keeps."""
    size = rows * columns
    found = {DENSE: size * bits}
    if nonzeros == size:
        return found
    found["bitmap"] = size + nonzeros * bits
    found["csr"] = nonzeros * (bits + math.ceil(math.log2(columns))) + POINTER_BITS * (rows + 1)
    return found | {pattern: kept * (bits + math.ceil(math.log2(_n_m(pattern)[1]))) for pattern, kept in slots.items()}


def _slots(is_kept: np.ndarray, pattern: str) -> int | None:
    """How many values `pattern` keeps of a bool (rows, columns), zeros among them; None where it does not fit."""
    n, m = _n_m(pattern)
    rows, columns = is_kept.shape
    in_groups = np.pad(is_kept, ((0, 0), (0, -columns % m))).reshape(-1, m).sum(1)
    if in_groups.max() > n:
        return None
    return int(rows * Level(pattern, LEVELS_OF_PATTERN[pattern]).kept(columns))


def _n_m(pattern: str) -> tuple[int, int]:
    n, _, m = pattern.partition(":")
    return int(n), int(m)
