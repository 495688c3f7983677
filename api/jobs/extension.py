"""A job that succeeded, its network trained for longer: a new job, and the first one's results stay as they are.

It starts from weights.safetensors, which stays for ever, and not from a checkpoint, which does not.

Errors:
    JobUnknown (NotFound)           404  see api.jobs.service
    JobNotSucceeded (DomainError)   409  job-not-succeeded: there is no network to go on with
    InputsChanged (DomainError)     409  see api.jobs.changed; the weights count too
    KeyReused (DomainError)         409  see api.idempotency
"""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy.orm import Session

from api.artifacts import service as artifacts
from api.artifacts.models import Artifact
from api.artifacts.store import ArtifactStore
from api.auth.callers import Owner
from api.errors import FieldProblem
from api.idempotency import body_hash, made_before
from api.jobs import service as jobs
from api.jobs.changed import InputsChanged, changed, changed_file
from api.jobs.models import SUCCEEDED, SearchJob
from api.jobs.reproduction import Repetition, examples_of
from api.jobs.retargeting import JobNotSucceeded
from search.document import Document
from search.files import WEIGHTS
from search.space import Space
from search.spec import Comparison, Pruning, SearchSpec

LR_SHARE = 0.3  # of the search's own finish.lr: best, by little, of 1, 0.3, 0.1 and 0.03 (docs/concepts/jobs.md)


class Extension(Document):
    """How long the network of a job is trained on. `lr` is where the cosine begins that ends at 0; by default 0.3
    times `finish.lr` of the search.
    """

    finish_epochs: Annotated[int, Field(ge=1, le=1000)]
    lr: Annotated[float, Field(gt=0, le=10)] | None = None


def prepare(
    session: Session, store: ArtifactStore, owner: Owner, job_id: str, wanted: Extension, *, key: str | None
) -> Repetition | SearchJob:
    """Looks whether a job can be continued; reads the files it rests on, so it wants a session that locks nothing.
    Where the key made a job before, gives that job.

    Raises JobUnknown, JobNotSucceeded, InputsChanged, KeyReused.
    """
    first = jobs.get(session, owner, job_id)
    digest = body_hash({"extends": first.id, **wanted.model_dump(mode="json")})
    standing = made_before(session, SearchJob, owner.name, key, digest)
    if standing is not None:
        return standing
    if first.state != SUCCEEDED:
        raise JobNotSucceeded(
            f"The job {first.id} is {first.state}: only a job that succeeded left a network to train on."
        )
    weights = {artifact.name: artifact for artifact in artifacts.of_job(session, first.id)}.get(WEIGHTS)
    if wrong := list(_changed(session, store, first, weights)):
        told = "; ".join(f"{problem.field}: {problem.detail}" for problem in wrong)
        raise InputsChanged(f"The job {first.id} cannot be continued: {told}", errors=wrong)
    spec = _continued(session, first, wanted)
    pins: dict[str, Any] = {**first.pins, "pretrained": None, "weights": weights and weights.id}
    return Repetition(
        first, owner.name, spec, Space.model_validate(first.space), examples_of(session, first), key, digest,
        pins=pins, extends=first.id,
    )  # fmt: skip


def _changed(
    session: Session, store: ArtifactStore, first: SearchJob, weights: Artifact | None
) -> Iterator[FieldProblem]:
    yield from changed_file(store, WEIGHTS, weights)
    begun_with = "search.pretrained", WEIGHTS  # what the first job began with counts no more
    yield from (problem for problem in changed(session, store, first) if problem.field not in begun_with)


def _continued(session: Session, first: SearchJob, wanted: Extension) -> SearchSpec:
    """The document of the first job with what is done now: no search, nothing timed, no twin, no comparison; zeros
    stand.
    """
    spec, lr = SearchSpec.model_validate(first.spec), wanted.lr
    if lr is None:
        searched = first
        while searched.extends is not None:
            searched = session.get_one(SearchJob, searched.extends)
        lr = LR_SHARE * SearchSpec.model_validate(searched.spec).finish.lr
    changes = {
        "epochs": wanted.finish_epochs, "lr": lr, "weights": "inherited", "distillation": None,
        "pruning": Pruning(schedule="one-shot"),
    }  # fmt: skip
    finish = spec.finish.model_copy(update=changes)
    return spec.model_copy(update={"finish": finish, "baselines": (), "comparison": Comparison(), "on_device": None})
