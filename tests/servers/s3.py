"""A server that answers as S3 does, in a process of its own, until the tests end."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.servers.running import running
from tests.servers.server import free_port


@contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """Its address. Credentials are not checked, buckets are made by a PUT."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-P", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]

    def answers() -> bool:
        try:
            return httpx.get(url).is_success
        except httpx.TransportError:
            return False

    with running(command, answers, cwd=folder, env=os.environ, log=folder / "s3.log"):
        yield url
