"""A service of its own for a benchmark: API and workers as processes, in a folder, on a small space and real digits."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from latency.formats import write_csv
from latency.table import Entry, TableInfo
from lutnas.client import Client
from search.space import Space
from tests.search.builders import tiny_space
from tests.servers.running import is_healthy
from tests.servers.server import free_port
from tests.servers.tether import tethered

PROGRAM = [sys.executable, "-P", "-m", "lutnas"]
START_SECONDS = 120.0


@dataclass
class Site:
    """Where it lies, and its settings. Its processes end with the benchmark."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        """Of the API."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environ(self) -> dict[str, str]:
        """For its processes: nothing of the person's own service."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("LUTNAS_")}
        return {**own, "LUTNAS_HOME": str(self.folder), "LUTNAS_THREADS": "1", **self.settings}

    def start(self, name: str, *arguments: str) -> "subprocess.Popen[bytes]":
        """`lutnas ARGUMENTS`; what it says is in NAME.log, after what an earlier one said."""
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                tethered([*PROGRAM, *arguments]), cwd=self.folder, env=self.environ, stdout=log, stderr=log
            )

    def start_api(self) -> "subprocess.Popen[bytes]":
        """The API, once it answers."""
        process = self.start("api", "serve", "--port", str(self.port))
        until(lambda: is_healthy(self.url), "the API answers")
        return process

    def client(self) -> Client:
        """Of the API, with the token of the home."""
        return Client(self.url, (self.folder / "token").read_text().strip())


def furnish(client: Client, space: Space | None = None) -> None:
    """Adds a space, tiny by default, and the device `board` with a table that covers it."""
    space = space or tiny_space()
    info = TableInfo(device="board", runtime="made-up", threads=1, batch=1)
    rows = [(operator, Entry(1.0 + operator.h * operator.c_mid / 40)) for operator in space.operators()]
    client.create_device("board")
    client.create_space(space.model_dump(mode="json"))
    client.upload_table("board", "".join(write_csv(info, rows)).encode(), media_type="text/csv", space=space.name)


def job(**changes: Any) -> dict[str, Any]:
    """A job on it. With so many epochs it trains until it is told to stop."""
    return {
        "space": "tiny", "dataset": "digits", "constraints": [{"metric": "latency", "device": "board", "max_us": 60.0}],
        "search": {"epochs": 1000, "warmup_epochs": 1, "batch_size": 64}, **changes,
    }  # fmt: skip


def until(found: Callable[[], Any], what: str, seconds: float = START_SECONDS) -> Any:
    """The first true answer of `found`; raises TimeoutError after a good while without one."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := found():
            return answer
        time.sleep(0.05)
    raise TimeoutError(f"{what}: not within {seconds:g} s")
