"""A real server: live events, memory, the end of the process."""

import gzip
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_sse import EventSource

from api.db.session import Database
from api.jobs.lease import claim, fail, report
from tests.api.making import CSV, a_job, a_long_csv, a_table_csv, submit

Served = Callable[[], AbstractContextManager[tuple[httpx.Client, int]]]
MOST_MEGABYTES = 300
linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")


def with_table(client: httpx.Client, name: str = "cpu") -> None:
    client.post("/v1/devices", json={"name": name})
    answer = client.post(f"/v1/devices/{name}/tables", content=a_table_csv(device=name), headers=CSV)
    assert answer.status_code == 201, answer.text


@contextmanager
def streamed(client: httpx.Client, job: str, **headers: str) -> Iterator[Iterator[dict[str, Any]]]:
    path = f"/v1/search-jobs/{job}/events"
    with client.stream("GET", path, headers={"Accept": "text/event-stream", **headers}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        yield (
            {**message.json(), "sse_id": message.id, "sse_event": message.event}
            for message in EventSource(response).iter_sse()
        )


def test_events_are_streamed_in_order_as_they_happen_and_taken_up_behind_the_last_one(
    serve: Served, database: Database
) -> None:
    with serve() as (client, _):
        with_table(client)
        job = submit(client)
        heard = threading.Event()

        def work() -> None:
            with database.write() as session:
                lease = claim(session, job, worker="a", lease_seconds=60)
            assert lease is not None
            assert heard.wait(30)  # the stream was quiet, and is told what happens now
            for step in range(1, 600):
                with database.write() as session:
                    report(session, lease, kind="progress", step=step, data={"phase": "search", "steps": 600})
            with database.write() as session:
                fail(session, lease, problem={"detail": "enough"})

        worker = threading.Thread(target=work)
        worker.start()
        seen = []
        with streamed(client, job) as stream:
            for event in stream:
                seen.append(event)
                if event["data"].get("state") == "running":
                    heard.set()
        worker.join()
        assert [event["id"] for event in seen] == list(range(1, 603))
        assert all((event["sse_id"], event["sse_event"]) == (str(event["id"]), event["kind"]) for event in seen)
        assert seen[-1]["data"]["state"] == "failed"
        with streamed(client, job, **{"Last-Event-ID": "590"}) as stream:
            assert [event["id"] for event in stream] == list(range(591, 603))


def test_a_stream_from_beyond_the_last_event_ends_with_the_job(serve: Served) -> None:
    """As after a restore from a back-up, to which a reader comes with a number of later on."""
    with serve() as (client, _):
        with_table(client)
        job = submit(client)
        with streamed(client, job) as first, streamed(client, job, **{"Last-Event-ID": "50"}) as beyond:
            assert next(first)["data"]["state"] == "queued"
            client.post(f"/v1/search-jobs/{job}/cancel").raise_for_status()
            assert list(beyond) == []
            assert [event["data"]["state"] for event in first] == ["cancelled"]
        with streamed(client, job, **{"Last-Event-ID": "602"}) as stream:
            assert list(stream) == []


def test_many_readers_are_fed_and_the_server_ends_while_they_listen(serve: Served, tmp_path: Path) -> None:
    with serve() as (client, process):
        with_table(client)
        job = submit(client)
        first, ended = threading.Barrier(6, timeout=30), []

        def read() -> None:
            with streamed(client, job) as stream:
                events = [next(stream)]
                first.wait()
                events += list(stream)
                ended.append([event["id"] for event in events])

        readers = [threading.Thread(target=read) for _ in range(5)]
        for reader in readers:
            reader.start()
        first.wait()
        assert client.post(f"/v1/search-jobs/{job}/pause").json()["state"] == "paused"
        deadline = time.monotonic() + 60
        os.kill(process, signal.SIGTERM)
        for reader in readers:
            reader.join(timeout=max(0.0, deadline - time.monotonic()))
        assert len(ended) == 5
        assert all(ids in ([1], [1, 2]) for ids in ended)


@linux
def test_memory_stays_below_its_limit_through_100000_rows_and_a_milp(
    serve: Served, record_property: Callable[[str, object], None]
) -> None:
    def peak(process: int) -> float:
        status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    with serve() as (client, process):
        figures = {"at rest": peak(process)}
        for name in ("cpu", "odd"):
            with_table(client, name)
        body = b"".join(a_long_csv(100_000)).replace(b"# device: cpu", b"# device: big")
        client.post("/v1/devices", json={"name": "big"})
        packed = gzip.compress(body, compresslevel=1)
        answer = client.post("/v1/devices/big/tables", content=packed, headers={**CSV, "Content-Encoding": "gzip"})
        assert (answer.status_code, answer.json()["rows"]) == (201, 100_000), answer.text
        figures["after 100,000 rows"] = peak(process)
        table = answer.json()["id"]
        with client.stream("GET", f"/v1/tables/{table}/file?format=csv") as file:
            assert sum(chunk.count(b"\n") for chunk in file.iter_bytes()) == 100_005
        document = a_job(constraints=[{"device": name, "max_us": 250.0} for name in ("cpu", "odd")])
        assert client.post("/v1/search-jobs", json=document).status_code == 201
        figures["after the download and a MILP"] = peak(process)
    print({name: f"{value:.0f} MB" for name, value in figures.items()})
    record_property("peak_megabytes", figures)
    assert max(figures.values()) < MOST_MEGABYTES
