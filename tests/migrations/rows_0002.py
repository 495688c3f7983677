"""Pins have numbers, architectures what every constraint is predicted, jobs a forecast and a pace."""

from tests.migrations import rows_0001
from tests.migrations.plain import Rows, widened

PREDICTED = {"name": "board", "metric": "latency", "device": "board", "predicted_us": 80.5, "max_us": 90.0}
PINS = {"tables": [{"constraint": 0, **rows_0001.PIN}], "dataset_hash": "d" * 64, "threads": 2}
FORECAST = {
    "expected_seconds": 60.0, "expected_memory_bytes": 1, "search_steps": 5, "trial_steps": 0, "finish_steps": 5,
    "rests_on": "jobs",
}  # fmt: skip

ROWS: Rows = widened(
    rows_0001.ROWS,
    architectures={"predicted": [PREDICTED]},
    search_jobs={"pins": PINS, "forecast": FORECAST, "pace": None},
)
