"""A correction is taken where it helps on networks that it was not fitted on, and leaves predictions sums."""

import numpy as np
import pytest

from latency.correction import Correction, calibrate, corrected
from latency.estimate import predict_us
from latency.operator import BASE, Operator
from latency.table import Entry, LatencyTable, TableInfo

BLOCK = Operator("mbconv", 14, 14, 16, 48, 16, 1, 3, 1)
RNG = np.random.default_rng(0)
PREDICTED = RNG.uniform(50, 200, 40)


def test_a_line_through_measurements_is_found_and_told_beside_what_it_mends() -> None:
    found = calibrate(PREDICTED, 12.0 + 1.1 * PREDICTED, base_us=5.0)
    assert found.correction is not None
    assert found.corrected is not None
    assert found.correction == pytest.approx(Correction(12.0, 1.1))
    assert found.trust.mape > 0.1
    assert found.corrected.mape < 1e-9


def test_noise_without_a_trend_is_not_corrected() -> None:
    found = calibrate(PREDICTED, PREDICTED * np.tile([0.97, 1.03], 20), base_us=5.0)
    assert found.trust.mape == pytest.approx(0.03, rel=0.05)
    assert (found.correction, found.corrected) == (None, None)


def test_few_networks_are_compared_and_not_corrected() -> None:
    found = calibrate(PREDICTED[:9], 2.0 * PREDICTED[:9], base_us=5.0)
    assert found.trust.mape == pytest.approx(0.5)
    assert found.correction is None


def test_networks_of_one_latency_give_a_scale() -> None:
    found = calibrate(np.full(12, 100.0), np.full(12, 150.0), base_us=5.0)
    assert found.correction == pytest.approx(Correction(0.0, 1.5))


def test_a_corrected_table_predicts_along_the_line() -> None:
    rows = {BASE: Entry(10.0, 9.0, 12.0), BLOCK: Entry(5.0, 4.0, 6.0, samples=7, energy_uj=3.0)}
    table = LatencyTable(TableInfo(device="d", runtime="r", threads=1, batch=1), rows)
    better = corrected(table, Correction(4.0, 2.0))
    assert predict_us(better, [BLOCK] * 3) == pytest.approx(4.0 + 2.0 * predict_us(table, [BLOCK] * 3))
    assert better.entries[BLOCK] == Entry(10.0, 8.0, 12.0, samples=7, energy_uj=3.0)
    assert better.entries[BASE] == Entry(24.0, 22.0, 28.0)
    assert corrected(table, None) is table


def test_what_is_judged_is_what_predictions_go_by_where_the_line_would_make_a_call_less_than_free() -> None:
    rows = {BASE: Entry(4.0), BLOCK: Entry(20.0)}
    table = LatencyTable(TableInfo(device="d", runtime="r", threads=1, batch=1), rows)
    counts = np.arange(3, 23)
    predicted = 4.0 + 20.0 * counts
    measured = 2.0 * predicted - 30.0  # at a call's 4 us that is -22
    found = calibrate(predicted, measured, base_us=4.0)
    assert found.correction is not None
    assert found.corrected is not None
    assert found.correction.offset_us + found.correction.scale * 4.0 == pytest.approx(0.0, abs=1e-9)
    better = corrected(table, found.correction)
    assert better.latency_us(BASE) == 0.0
    went_by = np.array([predict_us(better, [BLOCK] * count) for count in counts])
    assert found.corrected.mape == pytest.approx(float(np.mean(np.abs(went_by / measured - 1))), rel=0.2)
    assert found.corrected.mape < found.trust.mape == pytest.approx(float(np.mean(np.abs(predicted / measured - 1))))
