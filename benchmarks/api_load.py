"""One process of the API on loopback while a worker trains: requests a second, the slowest of them, readers of events.

Of the requests 40 % list jobs among a thousand, 40 % read one, 15 % read events, 5 % submit; a process of its own sends
them, each of four threads the next as soon as it has its answer: the API is never idle, and more would only wait
longer. Meanwhile readers follow the job that trains, and have to get every event; what the API's memory grows by is
counted once all of them do. Then a table of 100,000 rows is loaded. Linux only.
"""

import json
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks._clients import SHARES, Asked, follow, load
from benchmarks._reporting import parser, say, show
from benchmarks._site import Site, furnish, job, until
from benchmarks.api_memory import INFO, rows
from latency.formats import write_csv
from lutnas.client import Client

OPTIONS = {
    "LUTNAS_MAX_OPEN_JOBS": "1000000",
    "LUTNAS_REQUESTS_PER_MINUTE": "10000000",
    "LUTNAS_CHECKPOINT_SECONDS": "5",
}
WARM_UP_SECONDS = 5.0


def resident_mb(pid: int) -> float:
    """Memory that a process has now."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise SystemExit("this system does not tell a process's memory")


def summary(asked: list[Asked], seconds: float) -> dict[str, Any]:
    """Of one load: how many, how slow, and what was refused."""
    took = np.array([one.seconds for one in asked]) * 1000
    kinds = {kind: np.array([one.seconds for one in asked if one.kind == kind]) * 1000 for kind in SHARES}
    return {
        "requests_per_second": round(len(asked) / seconds, 1),
        "p99_ms": round(float(np.percentile(took, 99)), 1),
        "p50_ms": {kind: round(float(np.median(each)), 1) for kind, each in kinds.items() if len(each)},
        "refused": sum(one.status >= 400 for one in asked),
    }


def loaded(client: Client, token: str, pid: int, given: Any) -> dict[str, Any]:
    """The load, with readers beside it."""
    until(lambda: client.job(given.trained)["state"] == "running", "a worker trains")
    jobs = [str(client.submit(job())["id"]) for _ in range(given.jobs)]
    document = json.dumps(job())
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        streams = pool.submit(follow, client.url, token, given.trained, given.readers)
        until(lambda: len(psutil.Process(pid).net_connections()) > given.readers, "all readers follow")
        ask = partial(load, client.url, token, jobs, document, threads=given.threads)
        pool.submit(ask, seconds=WARM_UP_SECONDS).result()
        before = resident_mb(pid)
        say(f"{given.seconds:g} s of load")
        found = pool.submit(ask, seconds=given.seconds).result()
        growth = resident_mb(pid) - before
        client.cancel(given.trained)
        heard = streams.result()
    last = [event["id"] for event in client.events(given.trained)]
    return {
        **summary(found, given.seconds), "sse_readers": sum(ids == last for ids in heard), "events": len(last),
        "rss_growth_mb": round(growth, 1),
    }  # fmt: skip


def main() -> None:
    """Runs the benchmark."""
    options = parser(__doc__)
    options.add_argument("--seconds", type=float, default=30.0)
    options.add_argument("--jobs", type=int, default=1000)
    options.add_argument("--readers", type=int, default=300)
    options.add_argument("--threads", type=int, default=4, help="requests under way at once")
    options.add_argument("--rows", type=int, default=100_000)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder), OPTIONS)
        api, worker = site.start_api(), site.start("worker", "worker")
        try:
            with site.client() as client:
                furnish(client)
                given.trained = client.submit(job())["id"]
                figures = loaded(client, (site.folder / "token").read_text().strip(), api.pid, given)
                content = "".join(write_csv(INFO, rows(given.rows))).encode()
                begin = time.monotonic()
                client.upload_table("board", content, media_type="text/csv")
                figures["rows_100k_seconds"] = round((time.monotonic() - begin) * 100_000 / given.rows, 2)
        finally:
            for process in (worker, api):
                process.terminate()
                process.wait()
    show(figures, as_json=given.json)
    sys.exit(figures["refused"] > 0)


if __name__ == "__main__":
    main()
