"""The bell: Celery tells a worker that a job waits. The database is the truth; a ring that is lost is rung again.

Errors: none reach a caller of `ring`: a job is queued by its row, and the sweeper rings for it later.
"""

import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from celery import Celery

from api import folders
from api.settings import Settings
from api.telemetry import traces
from api.telemetry.metrics import RING_FAILURES

TASK = "workers.search.run"
QUEUE = "search.cpu"
IN_FOLDERS = "filesystem://"
_REDIS = ("redis://", "rediss://")
_PATIENCE_SECONDS = 2.0
_LOOK_SECONDS = 0.25  # of a probe, which asks twice and is given a second by who asks for it
_logger = logging.getLogger(__name__)


def make_celery(settings: Settings) -> Celery:
    """The Celery app, without results: what became of a job is in its row."""
    app = Celery("lutnas", broker=_address(settings.broker_url))
    app.conf.update(
        task_ignore_result=True,
        task_acks_late=False,  # the lease sees to lost jobs; late acks run long ones twice
        task_default_queue=QUEUE,
        task_create_missing_queues=True,
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        enable_utc=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # a worker waits for as long as it takes, and jobs come by the sweeper
        broker_channel_error_retry=True,  # a folder of messages that fails for a moment ends no worker
        broker_transport_options=_transport_options(settings),
        # Announcing a job must not hold up the answer to a request: the sweeper tries again.
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0.1, "interval_step": 0.1, "interval_max": 0.2},
        broker_connection_timeout=_PATIENCE_SECONDS,
    )
    return app


class Bell:
    """Rings for jobs over the broker of `settings`."""

    def __init__(self, settings: Settings) -> None:
        self._app = make_celery(settings)
        if settings.broker_url.startswith(_REDIS):
            # One that took the connection and then says nothing would be waited for without end. Of workers, which
            # wait for rings, that is asked of the connection itself (socket_keepalive).
            self._app.conf.broker_transport_options |= {"socket_timeout": _PATIENCE_SECONDS}

    def ring(self, job_id: str) -> bool:
        """Tells the workers that `job_id` waits, and gives whether it could. A failure is logged and left to the
        sweeper.
        """
        try:
            self._app.send_task(TASK, args=[job_id], queue=QUEUE, headers=traces.carried(), ignore_result=True)
            return True
        except Exception:  # the broker's library decides what it raises; whatever it is, the job is safe in its row
            RING_FAILURES.inc()
            _logger.warning("could not ring for %s: the sweeper will", job_id, exc_info=True)
            return False

    def is_silent(self) -> bool:
        """Whether the broker answers and has no ring that a worker has yet to hear: all were heard, or lost."""
        try:
            with self._connection(_PATIENCE_SECONDS) as connection:
                try:
                    waiting = connection.default_channel.queue_declare(QUEUE, passive=True).message_count
                except connection.channel_errors:  # no such queue: Redis has none that is empty
                    waiting = 0
        except Exception:  # as in `ring`
            _logger.warning("could not look for rings that wait", exc_info=True)
            return False
        return bool(waiting == 0)

    def fault(self) -> str | None:
        """What is wrong with the broker at this moment, in a word of its own; None where it answers."""
        if (folder := self._app.conf.broker_transport_options.get("data_folder_out")) is not None:
            return None if os.access(folder, os.W_OK) else f"{folder} cannot be written"
        try:
            with self._connection(_LOOK_SECONDS):
                return None
        except Exception as error:  # as in `ring`
            return f"does not answer: {type(error).__name__}"

    @contextmanager
    def _connection(self, seconds: float) -> Iterator[Any]:
        """To a broker that answers within `seconds`; raises what its library raises where it does not."""
        options = dict(self._app.conf.broker_transport_options)
        options |= {name: seconds for name in ("socket_timeout", "socket_connect_timeout") if name in options}
        with self._app.connection_for_write(connect_timeout=seconds, transport_options=options) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=math.ceil(seconds))
            yield connection

    def close(self) -> None:
        """Gives the broker's connections back."""
        self._app.close()


def _address(url: str) -> str:
    """That of a broker in folders by our transport, with a host: kombu warns of a missing one at every connection."""
    return f"{folders.SCHEME}://localhost/" if url.startswith(IN_FOLDERS) else url


def _transport_options(settings: Settings) -> dict[str, Any]:
    if settings.broker_url.startswith(IN_FOLDERS):
        return _folders(settings.home / "bell")
    if settings.broker_url.startswith(_REDIS):
        return {"socket_connect_timeout": _PATIENCE_SECONDS, "socket_keepalive": True}
    return {}


def _folders(bell: Path) -> dict[str, Any]:
    """The folders of the filesystem transport, made first: it would fail, or write into the working directory."""
    names = {
        "data_folder_in": "queue",
        "data_folder_out": "queue",
        "control_folder": "control",
        "processed_folder": "processed",
    }
    for name in {".", *names.values()}:
        folder = bell / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    return {
        **{option: str(bell / name) for option, name in names.items()},
        "polling_interval": 0.1,
    }
