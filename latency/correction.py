"""A correction of a table, fitted on whole networks: measured = offset + scale * predicted.

It is taken only where it helps on networks that it was not fitted on. As it is a line, predictions stay sums: rows are
scaled, and the offset is part of the call (`base`).
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from latency.operator import BASE, Operator
from latency.table import Entry, LatencyTable
from latency.trust import Trust, trust

FOLDS = 5
LEAST = 2 * FOLDS


class Correction(NamedTuple):
    """measured = `offset_us` + `scale` * predicted."""

    offset_us: float
    scale: float


class Calibration(NamedTuple):
    """How a table's predictions compare with measurements: as they are, and with a correction fitted on other networks.
    `correction`, fitted on all, is None where it would not help, or networks are too few; so is `corrected`.
    """

    trust: Trust
    corrected: Trust | None
    correction: Correction | None


def calibrate(predicted_us: np.ndarray, measured_us: np.ndarray, *, base_us: float) -> Calibration:
    """Compares, and fits a correction where it helps. Both (networks,), in one order; predictions, and what a call
    costs among them (`base_us`), by the table as it was uploaded.
    """
    before = trust(predicted_us, measured_us)
    if len(measured_us) < LEAST:
        return Calibration(before, None, None)
    left_out = np.empty_like(measured_us)
    fold_N = np.arange(len(measured_us)) % FOLDS
    for fold in range(FOLDS):
        out = fold_N == fold
        offset, scale = _fit(predicted_us[~out], measured_us[~out], base_us)
        left_out[out] = offset + scale * predicted_us[out]
    after, found = trust(left_out, measured_us), _fit(predicted_us, measured_us, base_us)
    helps = after.mape < before.mape and found.scale > 0
    return Calibration(before, after, found) if helps else Calibration(before, None, None)


def _fit(predicted_N: np.ndarray, measured_N: np.ndarray, base_us: float) -> Correction:
    """Least relative squares under which a call costs no less than nothing; a scale alone where predictions do not
    vary.
    """
    columns = np.stack([np.ones_like(predicted_N), predicted_N], 1) / measured_N[:, None]
    solution, _, rank, _ = np.linalg.lstsq(columns, np.ones(len(measured_N)), rcond=1e-9)
    offset, scale = map(float, solution)
    if rank < 2:
        return Correction(0.0, float(np.mean(measured_N / predicted_N)))
    if offset + scale * base_us < 0:  # the best line beside it runs through a call that is free
        free_N = (predicted_N - base_us) / measured_N
        scale = float(free_N.sum() / np.square(free_N).sum())  # not by BLAS, whose bits depend on the cores
        return Correction(-scale * base_us, scale)
    return Correction(offset, scale)


def corrected(table: LatencyTable, correction: Correction | None) -> LatencyTable:
    """The table with its rows corrected, by a correction that was fitted for it."""
    if correction is None:
        return table
    return LatencyTable(table.info, dict(_rows(table, correction)))


def _rows(table: LatencyTable, correction: Correction) -> Iterator[tuple[Operator, Entry]]:
    for operator, entry in table.entries.items():
        offset = correction.offset_us if operator == BASE else 0.0
        us = {
            name: max(0.0, round(offset + correction.scale * value, 9))  # a free call is 0 to the last bit
            for name in ("latency_us", "p10_us", "p90_us")
            if (value := getattr(entry, name)) is not None
        }
        yield operator, replace(entry, **us)
