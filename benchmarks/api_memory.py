"""Peak memory of the API process: imports, one validation with its exact solver, an upload of 100,000 table rows.

Reads VmHWM of a real `lutnas serve` process; Linux only.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks._reporting import parser, say, show
from latency.formats import write_csv
from latency.operator import Operator
from latency.table import Entry, TableInfo
from lutnas.client import Client
from search.space import preset

INFO = TableInfo(device="board", runtime="made-up", threads=1, batch=1)


def rows(count: int) -> Iterator[tuple[Operator, Entry]]:
    """All of fbnet's operators, then as many others as are asked for."""
    space = list(preset("fbnet").operators())
    yield from ((operator, Entry(10.0 + operator.c_mid)) for operator in space)
    for number in range(count - len(space)):
        yield Operator("mbconv", 3, 3, 1 + number % 1000, 1 + number // 1000, 8, 1, 3, 1), Entry(1.0 + number / 7)


def peak_mb(pid: int) -> float:
    """Greatest resident memory the process ever had."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise SystemExit("this system does not tell a process's peak memory")


def main() -> None:
    """Runs the benchmark."""
    options = parser(__doc__)
    options.add_argument("--rows", type=int, default=100_000)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as home:
        environ = {**os.environ, "LUTNAS_HOME": home, "LUTNAS_DATABASE_URL": f"sqlite:///{home}/lutnas.db"}
        command = [sys.executable, "-P", "-m", "lutnas", "serve", "--json", "--port", "0"]
        process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            assert process.stdout is not None
            process.stdout.readline()  # it listens
            address, token = (Path(home, name).read_text(encoding="utf-8").strip() for name in ("address", "token"))
            with Client(address, token) as client:
                figures = load(client, process.pid, given.rows)
        finally:
            process.terminate()
            process.wait()
    show(figures, as_json=given.json)


def load(client: Client, pid: int, count: int) -> dict[str, float]:
    """Peak memory, MB, at each stage."""
    found = {"start_mb": peak_mb(pid)}
    client.create_device("board")
    content = "".join(write_csv(INFO, rows(count))).encode()
    say(f"uploading {count} rows, {len(content) / 1e6:.1f} MB")
    begin = time.monotonic()
    table = client.upload_table("board", content, media_type="text/csv", space="fbnet")
    found |= {"upload_seconds": time.monotonic() - begin, "after_upload_mb": peak_mb(pid)}
    constraint = {"metric": "latency", "device": "board", "table": table["id"], "max_us": 1e9}
    client.validate({"space": "fbnet", "dataset": "fashion-mnist", "constraints": [constraint]})
    return {name: round(value, 1) for name, value in {**found, "peak_mb": peak_mb(pid)}.items()}


if __name__ == "__main__":
    main()
