"""Celery's broker in folders, for a service without servers: kombu's transport, with writes that nobody sees half of.

kombu opens a file, locks it and writes. Who looks in between takes a message, or a table of who listens, that is empty
as yet: a worker ends by that (celery/kombu#1551), and its ring is gone. Here a file has its name once it is whole.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty
from typing import Any
from uuid import uuid4

from kombu.exceptions import ChannelError
from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.json import dumps, loads

SCHEME = "folders"


class Channel(filesystem.Channel):
    """One connection's way to messages and tables."""

    def _put(self, queue: str, payload: Any, **_: Any) -> None:  # type: ignore[override]  # its two stubs differ
        name = f"{time.monotonic_ns() // 1_000_000}_{uuid4()}.{queue}.msg"
        _write(Path(self.data_folder_out) / name, payload)

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        """The oldest message, taken by a rename that one process wins. kombu leaves it in `processed` for ever, or
        takes it through the machine's shared temporary folder, by a copy that is not atomic.
        """
        for name in sorted(os.listdir(self.data_folder_in)):
            if name.partition(".")[2] != f"{queue}.msg":
                continue
            taken = Path(self.processed_folder) / name
            try:
                (Path(self.data_folder_in) / name).rename(taken)
                payload = taken.read_text(encoding="utf-8")
                taken.unlink()
            except OSError as error:
                if isinstance(error, FileNotFoundError) and taken.parent.is_dir():
                    continue  # taken by somebody else meanwhile
                raise ChannelError(f"cannot take the message {name}: {error.strerror}") from error
            return loads(payload)
        raise Empty

    def _queue_bind(self, exchange: str, routing_key: str | None, pattern: str | None, queue: str | None) -> None:
        bound = (routing_key or "", pattern or "", queue or "")
        with self._tables():
            table = self.get_table(exchange)
            if bound not in table:
                _write(self._table(exchange), [bound, *table])

    def _delete(
        self, queue: str, exchange: str, routing_key: str | None, pattern: str | None, *_: Any, **__: Any
    ) -> None:
        self._purge(queue)
        bound = (routing_key or "", pattern or "", queue or "")
        with self._tables():
            table = self.get_table(exchange)
            if bound in table:
                _write(self._table(exchange), [one for one in table if one != bound])

    def _table(self, exchange: str) -> Path:
        return Path(self.control_folder) / f"{exchange}.exchange"

    @contextmanager
    def _tables(self) -> Iterator[None]:
        """One at a time changes a table: both would write what they read before."""
        with (Path(self.control_folder) / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # a process that is killed gives it back
            yield


class Transport(filesystem.Transport):
    """kombu's, with channels of ours."""

    Channel = Channel


def _write(file: Path, document: Any) -> None:
    """Under a name that no queue has, then under its own."""
    making = file.with_name(f".{uuid4()}")
    try:
        making.write_text(dumps(document), encoding="utf-8")
        making.replace(file)
    except OSError:
        making.unlink(missing_ok=True)
        raise


TRANSPORT_ALIASES[SCHEME] = f"{__name__}:Transport"
