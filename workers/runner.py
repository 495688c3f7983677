"""One attempt of a job: claim it, drive its search, report, keep checkpoints, finish. The lease fences every write.

What ends an attempt:
    the work is done             succeeded
    a user's cancel or pause     cancelled, paused (with a checkpoint)
    the worker is told to stop   queued again (with a checkpoint)
    the lease is lost            nothing is written any more: another attempt has the job
    an error of the job          failed, with a problem that says what to do
    no store to load from        queued again, and the worker takes no other for a while
    the database is gone         nothing: the lease runs out, and the job goes on elsewhere
"""

import logging
import os
import secrets
import socket
import tempfile
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from api.artifacts.store import ArtifactStore, StoredFile, StoreError
from api.db.session import Database, is_away
from api.jobs import lease as door
from api.jobs.attempts import LOG_BYTES, seconds_spent
from api.jobs.forecasting import measured_pace
from api.jobs.lease import Lease, LeaseLost, Order
from api.jobs.pins import JobInputs, load
from api.settings import Settings
from api.telemetry.context import learn
from search.forecast import workload
from search.machine import use_threads
from search.outcome import Result
from search.report.card import Measured
from search.reports import StepReport
from search.run import SearchRun
from workers import away
from workers.aiding import aid
from workers.bounds import Bounds
from workers.counted import counted_attempt
from workers.ending import PausedByUser, Stopped, Unloaded, from_the_store, outcome_of
from workers.environment import environment
from workers.failures import problem_of
from workers.heart import AttemptHeart, Heart
from workers.inputs import load_data, make_run
from workers.log import AttemptLog
from workers.on_device import DeviceTimer
from workers.pace import Pace
from workers.records import Records
from workers.report import Run, card_of, named_totals, new_architecture, write_reports
from workers.resuming import resume
from workers.sharing import Sharing
from workers.timing import measured_here

PROGRESS_SECONDS = 1.0  # at most one progress event in that time
WAIT_SECONDS = 0.5  # between two looks at what others train for the job
_logger = logging.getLogger(__name__)


def run_job(job_id: str, settings: Settings, *, drain: Callable[[], bool]) -> None:
    """Runs one attempt of the job that comes first among those that wait, `job_id` or another (`lease.claim_next`);
    where none does, takes part in the comparison of one that runs. A worker that is to stop leaves both to others.
    """
    if drain():
        return
    tempfile.gettempdir()  # looked for once, by writing there: a job that finds it while the disk is full finds none
    database = Database(settings.database_url)
    try:
        if not away.is_ours(database):
            away.stay_away("the database is of another version of lutnas than this worker", drain)
            return
        try:
            store = ArtifactStore(settings.artifacts)
        except StoreError as error:  # a package is missing: no job is claimed, for it would not be the job's fault
            away.stay_away(str(error), drain)
            return
        worker = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        with database.write() as session:
            lease = door.claim_next(
                session, job_id, worker=worker, lease_seconds=settings.lease_seconds,
                max_attempts=settings.max_attempts, last=away.not_loaded,
            )  # fmt: skip
        if lease is None:
            aid(database, settings, worker=worker, drain=drain)
            return
        learn(job_id=lease.job_id, attempt=lease.attempt)
        with (
            AttemptLog(LOG_BYTES) as log,
            AttemptHeart(database, lease, log, lease_seconds=settings.lease_seconds) as heart,
        ):
            Attempt(lease, settings, database, store, heart, log, drain=drain).run()
    finally:
        database.close()


class Attempt:
    """A claimed job on its way. `clock` gives seconds."""

    def __init__(
        self, lease: Lease, settings: Settings, database: Database, store: ArtifactStore, heart: Heart, log: AttemptLog,
        *, drain: Callable[[], bool], clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        self.lease, self.settings, self.database, self.store, self.heart = lease, settings, database, store, heart
        self.drain, self.clock, self.sleep = drain, clock, sleep
        self.records = Records(lease, database, store, log, listen=self._listen, clock=clock, sleep=sleep)
        self.pace = Pace(clock)
        self.reported = -PROGRESS_SECONDS + clock()
        self.sharing: Sharing | None = None  # once the comparison is shared out
        self.at_work: Run | None = None
        self.timer: DeviceTimer | None = None  # where the job wants devices asked
        self.step = 0  # of the last report

    def run(self) -> None:
        """Works until the job or the attempt ends."""
        job_id = self.lease.job_id
        _logger.info("%s: attempt %d begins", job_id, self.lease.attempt)
        try:
            with counted_attempt(outcome_of):
                self._work()
        except LeaseLost:
            _logger.warning("%s: attempt %d has lost its lease and stops", job_id, self.lease.attempt)
        except Stopped as stop:
            self.records.give_back(stop)
            if isinstance(stop, Unloaded):
                away.not_loaded.append(job_id)
                away.stay_away("its files could not be loaded", self.drain, self.clock, self.sleep)
        except Exception as error:
            if is_away(error):
                raise  # the lease runs out by itself
            _logger.exception("%s: attempt %d failed", job_id, self.lease.attempt)
            found, trace = problem_of(error), traceback.format_exc()
            self.records.end(lambda session: door.fail(session, self.lease, problem=found, traceback=trace))

    def _work(self) -> None:
        with self.database.read() as session:
            inputs = load(session, self.lease.job_id)
            checkpoint = door.latest_checkpoint(session, self.lease.job_id)
            spent = seconds_spent(session, self.lease.job_id)
        with Bounds(inputs.limits, spent_seconds=spent, clock=self.clock) as self.bounds:
            self._search(inputs, checkpoint)

    def _search(self, inputs: JobInputs, checkpoint: door.KeptCheckpoint | None) -> None:
        use_threads(inputs.threads)
        here = environment(inputs.threads)
        with from_the_store():
            data = load_data(inputs, self.settings, self.store)
            self.timer = self._device_timer(inputs, here)
            self.at_work = run = make_run(inputs, data, self.store, self.timer)
        with self.database.write() as session:
            door.describe(session, self.lease, environment=here)
        if not self.bounds.holds_memory:
            self.records.event(
                "warning", 0, {"detail": "limits.max_memory_bytes is not held: only Linux tells what is taken"}
            )
        if checkpoint is not None:
            self.step = resume(run, checkpoint, self.records, here)
        away.not_loaded.clear()  # who had to wait for this one comes first again
        for report in run.until_trained() if isinstance(run, SearchRun) else run:
            self._after_step(run, report, inputs, here)
        if isinstance(run, SearchRun) and run.spec.compared:
            self._compare(run, inputs, here)
        self._finish(run, inputs, here)

    def _device_timer(self, inputs: JobInputs, here: dict[str, Any]) -> DeviceTimer | None:
        """What asks the devices, where the job wants them asked."""
        if inputs.spec.on_device is None:
            return None

        def listen() -> None:
            self._listen()
            self.bounds.check("see to an agent of the device, whose answer it waits for")
            self.pace.rest()

        def keep() -> bool:
            assert self.at_work is not None
            return self.records.keep(self.at_work, self.step, here)

        return DeviceTimer(
            self.lease, inputs, self.database, listen=listen, keep=keep, clock=self.clock, sleep=self.sleep,
            tell=lambda detail: self.records.event("note", self.step, {"detail": detail}),
        )  # fmt: skip

    def _compare(self, run: SearchRun, inputs: JobInputs, here: dict[str, Any]) -> None:
        comparison = run.comparing()
        sharing = Sharing(
            self.database, self.lease, comparison, environment=here, max_attempts=self.settings.max_attempts
        )
        if not sharing.is_shared_out():
            stored = self.records.checkpoint(run, comparison.step, here)
            if stored is None:
                detail = (
                    "there is no room, or the artifact store does not answer: without a checkpoint no other worker can "
                    "take part in comparing"
                )
                self.records.event("warning", comparison.step, {"detail": detail})
                for report in comparison:
                    self._after_step(run, report, inputs, here)
                return
            self.records.end(lambda session: sharing.share_out(session, stored))
        self.sharing = sharing
        while True:
            number = sharing.take()
            if number is not None:
                for report in comparison.train(number):
                    self._after_step(run, report, inputs, here)
                sharing.finish()
            elif sharing.is_done:
                break
            else:
                self._wait(run, sharing, inputs)
        if sharing.told < comparison.steps:
            self._tell(run, sharing.standing(), inputs)
        self.sharing = None

    def _wait(self, run: SearchRun, sharing: Sharing, inputs: JobInputs) -> None:
        """For what others train."""
        self._listen()
        self.bounds.check()
        self.pace.rest()
        if self.clock() - self.reported >= PROGRESS_SECONDS:
            self._tell(run, sharing.standing(), inputs)
            self.reported = self.clock()
        self.sleep(WAIT_SECONDS)

    def _after_step(self, run: Run, report: StepReport, inputs: JobInputs, here: dict[str, Any]) -> None:
        self.step = report.step
        self._obey(run, here)
        self.bounds.check()
        self.pace.step(report.phase)
        now = self.clock()
        if report.phase == "derive":
            self.records.event("derived", report.step, named_totals(inputs, report.data))
        elif (
            report.distribution
            or report.phase == "measure"
            or report.step == report.steps
            or now - self.reported >= PROGRESS_SECONDS
        ):
            self._tell(run, report, inputs)
            self.reported = now
        if self.records.kept is None:
            # A checkpoint forgives lost workers: loading, and what compiles in the first step, earn none.
            self.records.kept = now
        elif now - self.records.kept >= self.settings.checkpoint_seconds:
            self.records.keep(run, report.step, here)

    def _obey(self, run: Run, here: dict[str, Any]) -> None:
        """Ends the attempt where it is to end, with a checkpoint of the last step."""
        try:
            self._listen()
        except Stopped as stop:
            if stop.becomes != "cancelled":
                self.records.keep(run, self.step, here)
            raise

    def _listen(self) -> None:
        """Raises LeaseLost, or Stopped, where the attempt is to end here."""
        order = self.heart.order
        if order is Order.LOST:
            raise LeaseLost(self.lease.job_id)
        if order is Order.CANCEL:
            raise Stopped("cancelled", "cancelled by its user")
        if order is Order.PAUSE:
            raise PausedByUser()
        if self.drain():
            raise Stopped("queued", "the worker was told to stop")

    def _tell(self, run: Run, report: StepReport, inputs: JobInputs) -> None:
        steps_left = run.steps_left
        if self.sharing is not None:
            report = self.sharing.heard(report)
            steps_left = {**steps_left, "compare": self.sharing.steps_left}
        left = self.pace.seconds_left(steps_left)
        known = {} if left is None else {"seconds_left": round(left, 1)}
        at = {"phase": report.phase, "step": report.step, "steps": report.steps}
        data = {**at, **known, **named_totals(inputs, report.data)}
        with self.database.write() as session:
            door.report(session, self.lease, kind="progress", step=report.step, data=data)
            if report.distribution:
                shares = {"epoch": report.data["epoch"], **report.distribution}
                door.report(session, self.lease, kind="distribution", step=report.step, data=shares)

    def _finish(self, run: Run, inputs: JobInputs, here: dict[str, Any]) -> None:
        steps = run.trainer.steps if run.trainer else 0
        self.records.event("progress", steps, {"phase": "export", "step": steps, "steps": steps, "seconds_left": 0.0})
        pace = measured_pace(
            workload(inputs.spec, inputs.space, examples=len(run.data.y_train), test_examples=len(run.data.y_test)),
            search_step_seconds=self.pace.step_seconds("search"),
            finish_step_seconds=self.pace.step_seconds("finish"),
            threads=inputs.threads,
        )

        def kept(file: Path) -> StoredFile:
            self._listen()
            return self.records.file(file.name, file)

        self._obey(run, here)  # from here on each part takes from seconds to minutes
        with self.records.with_room(tempfile.TemporaryDirectory[str]) as folder:
            result = self.records.with_room(lambda: run.export(Path(folder)))
            for note in result.notes:
                self.records.event("note", steps, {"detail": note})
            files = [kept(file) for file in result.files]
            self._listen()
            measured = self.records.with_room(lambda: self._measured(run, result, Path(folder), inputs.threads))
            card = card_of(
                self.lease, inputs, run, result, files, measured=measured, environment=here, pace=pace,
                made_at=datetime.now(UTC),
            )  # fmt: skip
            reports = self.records.with_room(lambda: write_reports(card, Path(folder)))
            files += [kept(file) for file in reports]
        found = new_architecture(inputs, result)
        _logger.info("%s: done, with test accuracy %.4f", self.lease.job_id, result.test_metric)
        self.records.end(
            lambda session: door.succeed(session, self.lease, architecture=found, artifacts=files, pace=pace)
        )
        _logger.info("%s: succeeded", self.lease.job_id)

    def _measured(self, run: Run, result: Result, folder: Path, threads: int) -> tuple[Measured, ...]:
        assert run.trainer is not None
        network = run.trainer.network
        on_devices = self.timer.answers(network) if self.timer else ()
        return on_devices + measured_here(network, result.files, folder, threads=threads)
