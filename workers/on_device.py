"""Asks the agents of a job's devices how long a network takes there, and waits for them.

A request is told apart by job, table and network: an attempt that goes on after another finds its answer, or its place
in the device's queue. One that came to nothing is asked anew by the next attempt.

Errors:
    Stopped    the attempt ends while it waits, or because no agent times the network
    LeaseLost  it had ended before it asked
"""

import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from api.db.session import Database, is_away
from api.devices.models import Device
from api.jobs.asked import answer_to, key_of
from api.jobs.lease import Lease, fenced
from api.jobs.pins import JobInputs
from api.requests import service as requests
from api.requests.models import CANCELLED, FAILED, SUCCEEDED, DeviceRequest
from api.requests.schemas import Time
from api.tables.models import Table
from search.constraints import names_of
from search.network import Network
from search.report.card import NETWORK, Measured
from workers.ending import Stopped

LOOK_SECONDS = 1.0
_logger = logging.getLogger(__name__)


def _asked(table_id: str, network: Network) -> Time:
    operators = [asdict(operator) for operator in network.architecture.operators()]
    return Time.model_validate({"kind": "time", "table": table_id, "operators": operators})


def _digest(spec: Time) -> str:
    """Tells table and network apart from others that the job asks about."""
    return hashlib.sha256(spec.model_dump_json().encode()).hexdigest()[:24]


class DeviceTimer:
    """What a network takes on the devices of `inputs`, by the budgets' names, in microseconds.

    `listen` is called while it waits and may raise Stopped; `keep` keeps a checkpoint, and says whether there was room;
    `tell` hears whom it waits for. `clock` gives seconds.
    """

    def __init__(
        self,
        lease: Lease,
        inputs: JobInputs,
        database: Database,
        *,
        listen: Callable[[], None],
        keep: Callable[[], bool],
        tell: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        assert inputs.spec.on_device is not None
        self.lease, self.database, self.wait_seconds = lease, database, inputs.spec.on_device.wait_seconds
        self.listen, self.keep, self.tell, self.clock, self.sleep = listen, keep, tell, clock, sleep
        self.is_kept = False  # a checkpoint, since it was asked
        constraints = inputs.spec.constraints
        self.tables = {
            name: inputs.pinned_tables[number].id
            for number, (name, constraint) in enumerate(zip(names_of(constraints), constraints, strict=True))
            if constraint.metric == "latency"
        }

    def __call__(self, network: Network) -> dict[str, float]:
        """Raises Stopped, LeaseLost."""
        self.is_kept = False
        try:
            return self._answered({name: self._ask(name, table, network) for name, table in self.tables.items()})
        except Stopped as stop:
            if stop.becomes != "cancelled" and not self.is_kept:
                self.keep()
            raise

    def _answered(self, asked: dict[str, str]) -> dict[str, float]:
        begin, found, is_told = self.clock(), dict[str, float](), False
        while True:
            for name in [name for name in asked if name not in found]:
                latency_us = self._read(name, asked[name])
                if latency_us is not None:
                    found[name] = latency_us
            if len(found) == len(asked):
                return {name: found[name] for name in asked}
            waiting = ", ".join(f"{name} ({request})" for name, request in asked.items() if name not in found)
            if not is_told:
                # It may be a long time, and an attempt that is lost meanwhile costs none of it. None is kept where the
                # answer is there: each would be the same, and a job that takes every worker with it would never fail.
                self.is_kept = self.keep()
                self.tell(f"waits for {waiting} to time the network: `lutnas agent` on the device answers")
                is_told = True
            self._wait(begin, waiting)

    def answers(self, network: Network) -> tuple[Measured, ...]:
        """What the devices answered about `network`, as a report shows it; no row of those that were not asked."""
        with self.database.read() as session:
            return tuple(self._answers(session, network))

    def _answers(self, session: Session, network: Network) -> Iterator[Measured]:
        for name, table_id in self.tables.items():
            table = session.get_one(Table, table_id)
            answer = answer_to(session, self.lease.job_id, _digest(_asked(table_id, network)), table.device_id)
            if answer is not None:
                threads = f"{table.threads} thread{'s' * (table.threads > 1)}"
                where = f"on {name}: {table.runtime}, {threads}, batch {table.batch}, random weights, before training"
                yield Measured(what=NETWORK, latency_us=answer["latency_us"], where=where)

    def _ask(self, name: str, table_id: str, network: Network) -> str:
        spec = _asked(table_id, network)
        with self.database.write() as session:
            fenced(session, self.lease)  # else it would be asked after the end of the job, and for nobody
            device = session.get_one(Device, session.get_one(Table, table_id).device_id)
            try:
                request = self._standing(session, device, spec)
            except requests.TooManyDeviceRequests as error:
                raise Stopped("paused", f"{name} was not asked: {error} Then resume the job") from error
            _logger.info("%s: %s is asked to time a network: %s", self.lease.job_id, device.name, request.id)
            return request.id

    def _standing(self, session: Session, device: Device, spec: Time) -> DeviceRequest:
        """The request about this network that has an answer or may come to one; a new one after those that failed, or
        that their agent was told to leave.
        """
        number = 1
        while True:
            request, _ = requests.submit(session, device, spec, key_of(self.lease.job_id, _digest(spec), number))
            if request.state not in (FAILED, CANCELLED) and request.wish != "cancel":
                return request
            number += 1

    def _read(self, name: str, request_id: str) -> float | None:
        """Microseconds; None as long as there is no answer, or no database."""
        try:
            with self.database.read() as session:
                request = session.get_one(DeviceRequest, request_id)
        except SQLAlchemyError as error:
            if not is_away(error):
                raise
            _logger.warning("%s: the database does not answer", self.lease.job_id, exc_info=True)
            return None
        if request.state == SUCCEEDED:
            assert request.result is not None
            return float(request.result["latency_us"])
        if request.state in (FAILED, CANCELLED):
            why = (request.error or {}).get("detail", "it was cancelled")
            raise Stopped("paused", f"{name} ({request_id}) timed no network: {why}; resume the job to ask anew")
        return None

    def _wait(self, begin: float, waiting: str) -> None:
        self.listen()
        if self.clock() - begin >= self.wait_seconds:
            reason = f"no answer within {self.wait_seconds:g} s from {waiting}"
            raise Stopped("paused", f"{reason}: start `lutnas agent` there, and resume the job")
        self.sleep(LOOK_SECONDS)
