"""A worker with nothing else to do trains networks of another's comparison, one after the other, while no job waits.

What ends the work on a network:
    it is done                   its result is in its row
    the job left it              nothing is written any more: it was paused or ended, or the lease was lost
    the worker is told to stop   it waits again, and is begun anew
    an error                     it waits for the job's own attempt, which meets the error too where it is the job's
    the database is gone         nothing: the lease runs out

Nothing is written to the store, and no event: the job's own attempt tells of all.
"""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from api.artifacts.store import ArtifactStore, StoreError
from api.db.session import Database, is_away
from api.jobs import compared
from api.jobs.compared import NetworkLease, NetworkLost
from api.jobs.document import Limits
from api.jobs.lease import Order, latest_checkpoint
from api.jobs.pins import JobInputs, load
from api.settings import Settings
from api.telemetry.context import learn
from api.telemetry.metrics import NETWORKS
from search.comparison import Comparison
from search.machine import use_threads
from search.run import SearchRun
from search.state import State, StateError
from workers import away
from workers.bounds import Bounds
from workers.environment import machine
from workers.failures import problem_of
from workers.heart import NetworkHeart
from workers.inputs import load_checkpoint, load_data, make_run
from workers.pace import Pace

_logger = logging.getLogger(__name__)


class _Drained(Exception):
    """The worker was told to stop."""


def aid(
    database: Database, settings: Settings, *, worker: str, drain: Callable[[], bool],
    clock: Callable[[], float] = time.monotonic,
) -> None:  # fmt: skip
    """Trains networks of the first job that has some for this worker, until it has none or a job waits."""
    if drain():
        return
    with database.read() as session:
        job_id = compared.job_with_work(session, machine(), last=away.not_aided)
    if job_id is None:
        _logger.info("no job is to be taken, nor has one a network to train")
        return
    learn(job_id=job_id)
    try:
        inputs, comparison = _comparison(database, settings, job_id)
    except Exception as error:  # none of the networks': the job's own attempt has all that it needs
        if is_away(error):
            raise
        _logger.warning("%s: this worker cannot take part in its comparison", job_id, exc_info=True)
        away.not_aided.append(job_id)
        return
    away.not_aided.clear()
    work = Aid(database, settings, comparison, inputs, drain=drain, clock=clock)
    goes_on = True
    while goes_on:
        with database.write() as session:
            lease = compared.claim(
                session, job_id, worker=worker, here=machine(), lease_seconds=settings.lease_seconds
            )  # fmt: skip
        goes_on = lease is not None and work.train(lease)


class Aid:
    """A part in the comparison of a running job. `clock` gives seconds."""

    def __init__(
        self, database: Database, settings: Settings, comparison: Comparison, inputs: JobInputs, *,
        drain: Callable[[], bool], clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self.database, self.settings, self.comparison = database, settings, comparison
        self.limits = Limits(max_memory_bytes=inputs.limits.max_memory_bytes)  # time is that of the job's attempts
        self.drain, self.clock = drain, clock
        self.pace = Pace(clock)

    def train(self, lease: NetworkLease) -> bool:
        """Trains one network. Gives whether to go on with another."""
        _logger.info("%s: network %d begins", lease.job_id, lease.number)
        try:
            step = self._steps(lease)
            result = self.comparison.result(lease.number)
            assert result is not None
            with self.database.write() as session:
                compared.finish(session, lease, step=step, result=result.model_dump(mode="json"))
        except NetworkLost:
            _logger.info("%s: network %d was left to others", lease.job_id, lease.number)
            return _counted("lost", goes_on=True)
        except _Drained:
            self._give_back(lease)
            return _counted("given-back", goes_on=False)
        except Exception as error:
            if is_away(error):
                _counted("database-away", goes_on=False)
                raise
            _logger.exception("%s: network %d failed, and is left to the job's own worker", lease.job_id, lease.number)
            self._give_back(lease, problem_of(error))
            return _counted("failed", goes_on=False)
        _logger.info("%s: network %d is done", lease.job_id, lease.number)
        return _counted("done", goes_on=True)

    def _steps(self, lease: NetworkLease) -> int:
        self.pace.rest()
        bounds = Bounds(self.limits, spent_seconds=0.0, clock=self.clock)
        with NetworkHeart(self.database, lease, lease_seconds=self.settings.lease_seconds) as heart, bounds:
            for report in self.comparison.train(lease.number):
                heart.step = self.comparison.steps_done(lease.number)
                self.pace.step(report.phase)
                if heart.order is Order.LOST:
                    raise NetworkLost(lease.job_id)
                if self.drain():
                    raise _Drained
                bounds.check()
            return heart.step

    def _give_back(self, lease: NetworkLease, problem: dict[str, Any] | None = None) -> None:
        with suppress(NetworkLost), self.database.write() as session:
            compared.give_back(session, lease, problem=problem)


def _counted(outcome: str, *, goes_on: bool) -> bool:
    NETWORKS.labels(outcome=outcome).inc()
    return goes_on


def _comparison(database: Database, settings: Settings, job_id: str) -> tuple[JobInputs, Comparison]:
    """What the job compares, from its inputs and from its checkpoint."""
    store = ArtifactStore(settings.artifacts)
    with database.read() as session:
        inputs = load(session, job_id)
    use_threads(inputs.threads)
    run = make_run(inputs, load_data(inputs, settings, store), store)
    assert isinstance(run, SearchRun), "extensions compare nothing"
    kept = _checkpoint(database, store, job_id)
    run.load_state_dict({**kept["run"], "comparison": None})  # what the job's own attempt trains is no matter here
    return inputs, run.comparing()


def _checkpoint(database: Database, store: ArtifactStore, job_id: str) -> State:
    """The newest one. The job's own attempt may replace it, and remove the file, while it is read."""
    missed = ""
    while True:
        with database.read() as session:
            found = latest_checkpoint(session, job_id)
        if found is None:
            raise LookupError(f"{job_id} has no checkpoint any more")
        try:
            return load_checkpoint(found, store)
        except (StoreError, StateError, OSError):
            if found.path == missed:
                raise
            missed = found.path
