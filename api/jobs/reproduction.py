"""A job once more, with exactly the inputs of the first; and whether the same came out.

JobNotSucceeded (DomainError)   409  job-not-succeeded: there is no result to compare with
InputsChanged (DomainError)     409  see api.jobs.changed
NotAReproduction (NotFound)     404  not-a-reproduction
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from api.artifacts import service as artifacts
from api.artifacts.models import Artifact
from api.artifacts.quota import take_turn
from api.artifacts.store import ArtifactStore, StoreAway, StoreError
from api.auth.callers import Owner
from api.datasets.models import Dataset
from api.datasets.schemas import Examples
from api.errors import FieldProblem, NotFound
from api.idempotency import body_hash, made_before
from api.jobs import service as jobs
from api.jobs.changed import InputsChanged, changed
from api.jobs.document import Limits
from api.jobs.environments import differences
from api.jobs.models import SUCCEEDED, SearchJob
from api.jobs.retargeting import JobNotSucceeded
from api.tables.models import Table
from search.datasets.catalog import BUILT_IN
from search.files import ARCHITECTURE, EVIDENCE, MODEL, REPORT, WEIGHTS
from search.space import Space
from search.spec import SearchSpec

COMPARED = (ARCHITECTURE, WEIGHTS, MODEL, EVIDENCE)  # report.json tells times and ids, which never are the same


class NotAReproduction(NotFound):
    """The job repeats no other."""

    slug = "not-a-reproduction"
    title = "Not a reproduction"


@dataclass(frozen=True, slots=True)
class Repetition:
    """A job whose inputs are all there as they were, to be repeated, or continued where `extends` names it
    (`api.jobs.extension`).
    """

    first: SearchJob
    owner: str
    spec: SearchSpec
    space: Space
    examples: Examples
    key: str | None
    digest: str
    pins: dict[str, Any]
    extends: str | None
    reproduces: str | None = None


def prepare(
    session: Session, store: ArtifactStore, owner: Owner, job_id: str, *, key: str | None
) -> Repetition | SearchJob:
    """Looks whether a job can be repeated; reads the files it rests on, so it wants a session that locks nothing. Where
    the key made a job before, that job, whatever became of what it rests on.

    Raises JobUnknown, JobNotSucceeded, InputsChanged, KeyReused.
    """
    first = jobs.get(session, owner, job_id)
    digest = body_hash({"reproduces": first.id})
    standing = made_before(session, SearchJob, owner.name, key, digest)
    if standing is not None:
        return standing
    if first.state != SUCCEEDED:
        raise JobNotSucceeded(f"The job {first.id} is {first.state}: only a job that succeeded can be repeated.")
    if wrong := [*changed(session, store, first), *_out_of_reach(session, owner, first)]:
        told = "; ".join(f"{problem.field}: {problem.detail}" for problem in wrong)
        raise InputsChanged(f"The job {first.id} cannot be repeated as it was: {told}", errors=wrong)
    spec, space = SearchSpec.model_validate(first.spec), Space.model_validate(first.space)
    return Repetition(
        first, owner.name, spec, space, examples_of(session, first), key, digest,
        pins=dict(first.pins), extends=first.extends, reproduces=first.id,
    )  # fmt: skip


def _out_of_reach(session: Session, owner: Owner, job: SearchJob) -> Iterator[FieldProblem]:
    """Devices that the job would ask anew, and that its user may not: who left a team still has what he repeated."""
    if job.spec.get("on_device") is None:
        return
    for pin in job.pins["tables"]:
        is_asked = job.spec["constraints"][pin["constraint"]]["metric"] == "latency"
        table = session.get(Table, pin["table"]) if is_asked else None
        if table is not None and not (owner.sees(table.owner) and owner.reaches(table.device_id)):
            told = f"the device of {table.id}, which `on_device` asks, is another owner's or not your token's"
            yield FieldProblem(f"constraints[{pin['constraint']}].table", told)


def submit(
    session: Session, repetition: Repetition, *, requeue_seconds: float, max_open_jobs: int, ring: jobs.Ring
) -> tuple[SearchJob, bool]:
    """Queues the new job, as `jobs.submit` does."""
    r = repetition
    take_turn(session, r.owner)
    if (standing := made_before(session, SearchJob, r.owner, r.key, r.digest)) is not None:
        return standing, False
    jobs.check_room(session, r.owner, max_open_jobs)
    job = jobs.new_row(
        session, r.owner, r.spec, r.space, r.pins, examples=r.examples, key=r.key, digest=r.digest,
        requeue_seconds=requeue_seconds, reproduces=r.reproduces, extends=r.extends, priority=r.first.priority,
        limits=Limits.model_validate(r.first.limits),
    )  # fmt: skip
    return jobs.queue(session, job, digest=r.digest, ring=ring)


def verdict(session: Session, store: ArtifactStore, job: SearchJob) -> dict[str, Any]:
    """A `ReproductionView` as JSON. Raises NotAReproduction."""
    if job.reproduces is None:
        raise NotAReproduction(f"The job {job.id} repeats no other: `POST /v1/search-jobs/{job.id}/reproduce` does.")
    answer: dict[str, Any] = {"job": job.id, "reproduces": job.reproduces, "state": job.state}
    if job.state != SUCCEEDED:
        return {**answer, "same": None, "files": [], "environment": []}
    pair = [{a.name: a for a in artifacts.of_job(session, job_id)} for job_id in (job.reproduces, job.id)]
    # A job that trains another's network on has searched nothing, and leaves no evidence.
    names = [name for name in COMPARED if name != EVIDENCE or job.extends is None]
    files = [_compared(name, *(left.get(name) for left in pair)) for name in names]
    environments = [_environment(store, left.get(REPORT)) for left in pair]
    return {
        **answer, "same": all(file["same"] for file in files), "files": files,
        "environment": None if None in environments else differences(*filter(None, environments)),
    }  # fmt: skip


def examples_of(session: Session, job: SearchJob) -> Examples:
    """Training pictures, for the forecast."""
    if job.pins["dataset_id"] is None:
        facts = BUILT_IN[job.spec["dataset"]]
        return Examples(train=facts.train_examples, test=facts.test_examples)
    row = session.get_one(Dataset, job.pins["dataset_id"])
    return Examples(train=row.train_examples, test=row.test_examples)


def _compared(name: str, first: Artifact | None, again: Artifact | None) -> dict[str, Any]:
    pair = [None if artifact is None else artifact.sha256 for artifact in (first, again)]
    return {"name": name, "same": pair[0] is not None and pair[0] == pair[1], "first": pair[0], "again": pair[1]}


def _environment(store: ArtifactStore, report: Artifact | None) -> dict[str, Any] | None:
    """What a job's report says it ran in; None where the report is gone."""
    try:
        document = {} if report is None else json.loads(store.read(report.path))
    except StoreAway:
        raise
    except (StoreError, ValueError):
        return None
    found: dict[str, Any] | None = document.get("environment")
    return found
