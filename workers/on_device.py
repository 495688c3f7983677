"""Asks the agents of a job's devices how long a network takes there, and waits for them.

A request is told apart by job, table and network: an attempt that goes on behind another finds its answer, or its place
in the device's queue.

Errors:
    TimingFailed (RuntimeError)   an agent could not time the network, or its user cancelled that
    WaitingEnded (Stopped)        the attempt ends while it waits
"""

import hashlib
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict

from api.auth.callers import Owner
from api.db.session import Database
from api.devices.models import Device
from api.jobs.pins import JobInputs
from api.requests import service as requests
from api.requests.models import CANCELLED, FAILED, SUCCEEDED, DeviceRequest
from api.requests.schemas import Time
from api.tables.models import Table
from search.constraints import names_of
from search.network import Network
from workers.ending import Stopped

LOOK_SECONDS = 1.0
_logger = logging.getLogger(__name__)


class TimingFailed(RuntimeError):
    """A network could not be timed on a device."""


class WaitingEnded(Stopped):
    """The attempt ends, in the state that it says, while it waits for a device."""


class DeviceTimer:
    """What a network takes on the devices of `inputs`, by the budgets' names, in microseconds.

    `listen` is called while it waits and may raise Stopped; `tell` hears whom it waits for. `clock` gives seconds.
    """

    def __init__(
        self,
        job_id: str,
        inputs: JobInputs,
        database: Database,
        *,
        listen: Callable[[], None],
        tell: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        assert inputs.spec.on_device is not None
        self.job_id, self.database, self.wait_seconds = job_id, database, inputs.spec.on_device.wait_seconds
        self.listen, self.tell, self.clock, self.sleep = listen, tell, clock, sleep
        constraints = inputs.spec.constraints
        self.tables = {
            name: inputs.pinned_tables[number].id
            for number, (name, constraint) in enumerate(zip(names_of(constraints), constraints, strict=True))
            if constraint.metric == "latency"
        }

    def __call__(self, network: Network) -> dict[str, float]:
        """Raises TimingFailed, WaitingEnded."""
        asked = {name: self._ask(table, network) for name, table in self.tables.items()}
        begin, told = self.clock(), ""
        while True:
            found = {name: self._read(request_id) for name, request_id in asked.items()}
            waiting = ", ".join(f"{name} ({asked[name]})" for name, latency_us in found.items() if latency_us is None)
            if not waiting:
                return {name: latency_us for name, latency_us in found.items() if latency_us is not None}
            if not told:
                told = waiting
                self.tell(f"waits for {waiting} to time the network: `lutnas agent` on the device answers")
            try:
                self._wait(begin, waiting)
            except WaitingEnded as end:
                if end.becomes == "cancelled":
                    self._withdraw(asked.values())
                raise

    def _ask(self, table_id: str, network: Network) -> str:
        operators = [asdict(operator) for operator in network.architecture.operators()]
        spec = Time.model_validate({"kind": "time", "table": table_id, "operators": operators})
        digest = hashlib.sha256(spec.model_dump_json().encode()).hexdigest()[:24]
        with self.database.write() as session:
            device = session.get_one(Device, session.get_one(Table, table_id).device_id)
            request, is_new = requests.submit(session, device, spec, f"{self.job_id} {digest}")
            if is_new:
                _logger.info("%s: asked %s to time a network: %s", self.job_id, device.name, request.id)
            return request.id

    def _read(self, request_id: str) -> float | None:
        """Microseconds; None as long as there is no answer."""
        with self.database.read() as session:
            request = session.get_one(DeviceRequest, request_id)
            if request.state == SUCCEEDED:
                assert request.result is not None
                return float(request.result["latency_us"])
            if request.state in (FAILED, CANCELLED):
                why = (request.error or {}).get("detail", "it was cancelled")
                raise TimingFailed(f"the request {request_id} to time a network has {request.state}: {why}")
            return None

    def _withdraw(self, asked: Iterable[str]) -> None:
        """Nobody waits for the answers any more."""
        for request_id in asked:
            with self.database.write() as session, suppress(requests.RequestFinished):
                requests.cancel(session, Owner(session.get_one(DeviceRequest, request_id).owner), request_id)

    def _wait(self, begin: float, waiting: str) -> None:
        try:
            self.listen()
        except Stopped as stop:
            raise WaitingEnded(stop.becomes, stop.reason) from stop
        if self.clock() - begin >= self.wait_seconds:
            reason = f"no answer within {self.wait_seconds:g} s from {waiting}"
            raise WaitingEnded("paused", f"{reason}: start `lutnas agent` there, and resume the job")
        self.sleep(LOOK_SECONDS)
