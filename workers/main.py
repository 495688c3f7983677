"""Starts a Celery worker from our own command: the `celery` command would put the working directory on the path."""

import logging
import mmap
import os
import signal
import threading
import time
from typing import Any

from celery import Celery, signals
from celery.apps.worker import Worker
from prometheus_client import start_http_server

from api.bell import QUEUE, TASK, make_celery
from api.settings import Settings
from api.telemetry import logs, traces
from api.telemetry.context import work
from workers.rings import OneAtATime

LOOK_SECONDS = 0.5  # between two looks whether the parent lives
_logger = logging.getLogger(__name__)


class DrainFlag:
    """One byte shared by parent and child: the parent alone hears SIGTERM, the child reads it at its next step."""

    def __init__(self) -> None:
        self._byte = mmap.mmap(-1, 1)

    def raise_(self, **_: object) -> None:
        """Asks the running task to stop at its next step."""
        self._byte[0] = 1

    def __call__(self) -> bool:
        """Whether the worker is to stop."""
        return self._byte[0] == 1


def make_worker_app(settings: Settings, drain: DrainFlag) -> Celery:
    """The Celery app with the one task there is. torch is imported inside it, never in the parent."""
    app = make_celery(settings)
    app.steps["consumer"].add(OneAtATime)

    @app.task(name=TASK, bind=True)
    def run_search(self: Any, job_id: str) -> None:
        from workers.runner import run_job

        with work(job_id=job_id), traces.span("attempt", self.request.headers or {}, job_id=job_id):
            run_job(job_id, settings, drain=drain)

    return app


def run(settings: Settings, *, loglevel: logs.Level) -> int:
    """Works until SIGTERM or Ctrl-C; gives the exit code. A running job is left at its next step, with a checkpoint."""
    drain = DrainFlag()
    logs.configure(settings.log_format, loglevel)

    def begin_telling(**_: object) -> None:
        _tell_metrics(settings)
        traces.begin("lutnas-worker")

    def step_back(**_: object) -> None:
        os.nice(settings.worker_niceness)

    def end_telling(**_: object) -> None:
        traces.flush()

    # Somebody answers to it, so Celery leaves the loggers alone.
    signals.setup_logging.connect(_already_set_up)
    # The child trains. Before any thread of it: on Linux each has a niceness of its own, that of who began it.
    signals.worker_process_init.connect(step_back)
    signals.worker_process_init.connect(begin_telling)
    signals.worker_process_shutdown.connect(end_telling)
    signals.worker_shutting_down.connect(drain.raise_)
    parent = os.getpid()

    def die_with_parent(**_: object) -> None:
        _die_with(parent)

    signals.worker_process_init.connect(die_with_parent)
    app = make_worker_app(settings, drain)
    worker: Worker = app.Worker(
        pool="prefork",
        concurrency=1,
        queues=[QUEUE],
        loglevel=loglevel.upper(),
        without_gossip=True,
        without_mingle=True,
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


def _already_set_up(**_: object) -> None:
    """The logs are as `run` made them, in the parent and in its child."""


def _tell_metrics(settings: Settings) -> None:
    """In the pool's child, which counts. A port that is taken costs the metrics, not the work."""
    if settings.worker_metrics_port is None:
        return
    try:
        start_http_server(settings.worker_metrics_port, settings.worker_metrics_host)
    except OSError:
        _logger.exception("metrics are not told: LUTNAS_WORKER_METRICS_PORT and _HOST name a place that is not free")


def _die_with(parent: int) -> None:
    """In the pool's child: a parent that was killed takes its child along, else that one would train on unseen. In a
    container the parent may well be process 1. Linux could do it by itself (PR_SET_PDEATHSIG), but takes the thread
    that forked for the parent: Celery's ends before the child has drained, where that child replaced another.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    if os.getppid() != parent:  # it is gone already
        os.kill(os.getpid(), signal.SIGKILL)
    threading.Thread(target=watch, name="parent", daemon=True).start()
