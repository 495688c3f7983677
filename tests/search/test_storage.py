"""Bits of a weight by format: the closed forms, and the values themselves counted."""

import numpy as np
import pytest
import torch

from search.choices import DENSE, Level
from search.sparsity import survivors
from search.storage import Weight, bits_of_values, closed_form_bits, stored_bits


@pytest.mark.parametrize(
    ("weight", "format", "bits"),
    [
        (Weight(64, 100, 8), "dense", 64 * 100 * 8),
        (Weight(64, 100, 8, 0.9, "unstructured"), "dense", 64 * 100 * 8),
        (Weight(64, 100, 8, 0.9, "unstructured"), "bitmap", 6400 + 640 * 8),
        (Weight(64, 100, 8, 0.9, "unstructured"), "csr", 640 * (8 + 7) + 32 * 65),
        (Weight(64, 100, 8, 0.9, "unstructured"), "auto", 6400 + 640 * 8),
        (Weight(64, 100, 8, 0.98, "unstructured"), "auto", 128 * (8 + 7) + 32 * 65),
        (Weight(64, 100, 32, 0.01, "unstructured"), "auto", 6400 * 32),
        (Weight(64, 100, 16, 0.5, "2:4"), "auto", 6400 * (16 // 2 + 1)),
        (Weight(64, 100, 8, 0.5, "2:4"), "auto", 6400 * (8 // 2 + 1)),
        (Weight(64, 100, 8, 0.75, "1:4"), "auto", 1600 * (8 + 2)),
        (Weight(64, 100, 8), "csr", 64 * 100 * 8),
    ],
)
def test_a_weight_takes_the_bits_of_its_format(weight: Weight, format: str, bits: int) -> None:
    assert stored_bits(weight, format) == bits


@pytest.mark.parametrize(("bits", "share"), [(16, 0.5625), (8, 0.625)])
def test_two_of_four_take_nine_sixteenths_of_fp16_and_five_eighths_of_int8(bits: int, share: float) -> None:
    found = closed_form_bits(Weight(64, 96, bits, 0.5, "2:4"))
    assert found["2:4"] == share * found["dense"]


def test_a_bitmap_of_bytes_pays_from_an_eighth_of_zeros_on() -> None:
    for sparsity, gain in ((0.12, -1), (0.125, 0), (0.13, 1)):
        found = closed_form_bits(Weight(100, 160, 8, sparsity, "unstructured"))
        assert np.sign(found["dense"] - found["bitmap"]) == gain


def values(rows: int, columns: int, level: Level) -> np.ndarray:
    """Of every row, or of every four neighbours, as many zeros as `level` has."""
    rng = np.random.default_rng(0)
    group = 4 if ":" in level.pattern else columns
    found = rng.uniform(1, 2, (rows, columns // group, group))
    for row in found.reshape(-1, group):
        row[rng.permutation(group)[: round(level.sparsity * group)]] = 0
    return found.reshape(rows, columns)


@pytest.mark.parametrize("bits", [2, 4, 8, 16, 32])
@pytest.mark.parametrize("level", [DENSE, Level("2:4", 0.5), Level("1:4", 0.75), Level("unstructured", 0.75)])
def test_counted_values_take_what_the_closed_form_says(level: Level, bits: int) -> None:
    counted = bits_of_values(values(24, 80, level).reshape(24, 20, 2, 2), bits)
    closed = closed_form_bits(Weight(24, 80, bits, level.sparsity, level.pattern))
    assert {format: counted[format] for format in closed} == closed


@pytest.mark.parametrize("columns", [1, 6, 8, 16, 27])
@pytest.mark.parametrize(
    "level", [Level("2:4", 0.5), Level("1:4", 0.75), Level("4:8", 0.5), Level("unstructured", 0.9)]
)
def test_what_a_mask_leaves_is_what_was_priced_whatever_the_row_divides_by(level: Level, columns: int) -> None:
    w_OM = torch.randn(96, columns, generator=torch.Generator().manual_seed(0))
    mask_OM = survivors(w_OM, level)
    assert mask_OM.sum(1).min() >= 1
    weight = Weight(96, columns, 8, level.sparsity, level.pattern)
    assert int(mask_OM.sum()) == weight.nonzeros
    counted = bits_of_values((w_OM * mask_OM).numpy(), 8)
    assert {format: counted[format] for format in closed_form_bits(weight)} == closed_form_bits(weight)


def test_a_pattern_fits_where_no_group_holds_more_than_it_keeps() -> None:
    fitting = np.array([[1, 0, 0, 2, 0, 3, 0, 0], [0, 0, 0, 0, 1, 1, 0, 0]])
    assert bits_of_values(fitting, 8)["2:4"] == 16 * 8 * 5 // 8  # empty places are stored too
    assert "1:4" not in bits_of_values(fitting, 8)
    assert "2:4" not in bits_of_values(np.array([[1, 2, 3, 0, 0, 0, 0, 0]]), 8)


def test_the_last_group_of_a_row_may_be_shorter() -> None:
    assert bits_of_values(np.array([[1, 0, 0, 2, 5]]), 8)["2:4"] == (2 + 1) * (8 + 2)


def test_zeros_that_nobody_asked_for_count_too() -> None:
    """Rounding to few bits makes them: they are zeros all the same."""
    rng = np.random.default_rng(0)
    rounded = np.rint(rng.standard_normal((64, 128)))
    zeros = int((rounded == 0).sum())
    assert zeros > 2000
    assert bits_of_values(rounded, 8)["bitmap"] == rounded.size + 8 * (rounded.size - zeros)
