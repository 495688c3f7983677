"""Networks that a device timed whole, and a table that is corrected by them."""

from tests.migrations import rows_0002
from tests.migrations.plain import Rows, widened
from tests.migrations.rows_0001 import AT

MEASURED = {
    "device": "board", "runtime": "onnxruntime", "runtime_version": "", "threads": 1, "batch": 1, "latency_us": 81.0,
    "p10_us": None, "p90_us": None, "samples": 30, "settled": True, "created_at": "2026-03-02T00:00:00Z",
}  # fmt: skip
NETWORK = {
    "table_id": "tbl_1", "position": 0, "space": "small", "layers": [{"candidate": "k3_e1"}], "latency_us": 82.0,
    "p10_us": None, "p90_us": None, "samples": 30, "predicted_us": 80.0, "created_at": AT,
}  # fmt: skip

ROWS: Rows = {
    **widened(rows_0002.ROWS, architectures={"measured": [MEASURED]}, tables={"calibration": None}),
    "measured_networks": [NETWORK],
}
