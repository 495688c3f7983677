"""A job's comparison as its own attempt shares it out. Each write is fenced by the job's lease; the caller commits."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, undefer

from api.artifacts.store import StoredFile
from api.db.session import at, db_now
from api.jobs import compared
from api.jobs.compared import DONE
from api.jobs.lease import Lease, fenced, save_checkpoint
from api.jobs.models import QUEUED, RUNNING, ComparedNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class NewNetwork:
    """A network of the comparison as it is shared out; with a `result` where it is done already."""

    method: str
    share: float
    seed: int
    steps: int
    result: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the comparison is: which network the attempt has now, if any; how many steps those have done that others
    train; results that are new to the attempt.
    """

    mine: int | None
    others: dict[int, int]
    results: dict[int, dict[str, Any]]


def share_out(
    session: Session, lease: Lease, networks: Sequence[NewNetwork], *, step: int, checkpoint: StoredFile
) -> list[str]:
    """Makes the rows, with the checkpoint that other workers begin from.

    Gives paths in the store that nothing names any more. Raises LeaseLost.
    """
    job = fenced(session, lease)
    now = db_now(session)
    for number, new in enumerate(networks, start=1):
        is_done = new.result is not None
        session.add(
            ComparedNetwork(
                job_id=job.id, number=number, method=new.method, share=new.share, seed=new.seed,
                state=DONE if is_done else QUEUED, attempt=0, lost=0, worker=lease.worker if is_done else None,
                lease_expires_us=None, step=new.steps if is_done else 0, steps=new.steps, result=new.result,
                problem=None, environment=None, started_at=None, ended_at=at(now) if is_done else None,
            )
        )  # fmt: skip
    compared.ring_soon(job, now)
    return save_checkpoint(session, lease, step=step, artifact=checkpoint)


def is_shared_out(session: Session, lease: Lease) -> bool:
    """Whether an earlier attempt has done so; has it rung for again. Raises LeaseLost."""
    job = fenced(session, lease)
    compared.ring_soon(job, db_now(session))
    return session.get(ComparedNetwork, (lease.job_id, compared.OWN)) is not None


def take(
    session: Session, lease: Lease, *, first: int | None, known: Iterable[int], environment: dict[str, Any],
    max_attempts: int,
) -> Standing:  # fmt: skip
    """Takes the next network that waits, `first` before all others, and tells of the rest. Raises LeaseLost."""
    job = fenced(session, lease)
    now = db_now(session)
    compared.expire(session, job, now, max_attempts=max_attempts)
    rows = _rows(session, lease)
    waiting = sorted((row for row in rows if row.state == QUEUED), key=lambda row: (row.number != first, row.number))
    if waiting:
        compared.begin(waiting[0], lease.worker, now)
        waiting[0].environment = environment
    mine = waiting[0].number if waiting else None
    return Standing(mine, _others(rows, mine), _results(session, lease, rows, known))


def note(session: Session, lease: Lease, *, number: int, step: int) -> dict[int, int]:
    """Notes the steps of the attempt's own network; gives those of the others. Raises LeaseLost."""
    fenced(session, lease)
    rows = _rows(session, lease)
    for row in rows:
        if row.number == number:
            row.step = step
    return _others(rows, number)


def finish(session: Session, lease: Lease, *, number: int, result: dict[str, Any]) -> None:
    """Notes what came of the attempt's own network: as good as a checkpoint. Raises LeaseLost."""
    job = fenced(session, lease)
    row = session.get_one(ComparedNetwork, (lease.job_id, number))
    assert (row.state, row.worker) == (RUNNING, lease.worker)
    row.state, row.step, row.result, row.ended_at = DONE, row.steps, result, at(db_now(session))
    job.barren_attempts = 0


def _rows(session: Session, lease: Lease) -> list[ComparedNetwork]:
    """All of them, locked, in order."""
    of_job = select(ComparedNetwork).where(ComparedNetwork.job_id == lease.job_id).order_by(ComparedNetwork.number)
    return list(session.scalars(of_job.with_for_update(), execution_options={"populate_existing": True}))


def _others(rows: Iterable[ComparedNetwork], mine: int | None) -> dict[int, int]:
    return {row.number: row.step for row in rows if row.state == RUNNING and row.number != mine}


def _results(
    session: Session, lease: Lease, rows: Iterable[ComparedNetwork], known: Iterable[int]
) -> dict[int, dict[str, Any]]:
    new = {row.number for row in rows if row.state == DONE} - set(known)
    if not new:
        return {}
    of_new = (ComparedNetwork.job_id == lease.job_id) & ComparedNetwork.number.in_(new)
    found = session.scalars(select(ComparedNetwork).where(of_new).options(undefer(ComparedNetwork.result)))
    return {row.number: row.result for row in found if row.result is not None}
