"""/v1/search-jobs."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Path, Query, Request, Response
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from pydantic import Field, ValidationError
from pydantic.json_schema import SkipJsonSchema
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from starlette.responses import PlainTextResponse

from api.architectures import service as architectures
from api.architectures.schemas import ArchitectureView
from api.artifacts import service as artifacts
from api.artifacts.quota import check_quota
from api.artifacts.schemas import ArtifactView
from api.auth import service as auth
from api.auth.callers import Caller
from api.dependencies import Cursor, IdempotencyKey, Limit, Parts, Reader, Service, Submitter
from api.jobs import attempts, cloning, compared, extension, reading, reproduction, retargeting, submission
from api.jobs import service as jobs
from api.jobs.document import JobDocument
from api.jobs.forecasting import forecast
from api.jobs.models import SearchJob
from api.jobs.schemas import (
    AttemptView,
    ComparedNetworkView,
    Derivation,
    DerivationView,
    EventPage,
    JobView,
    ReproductionView,
    State,
    ValidationView,
)
from api.jobs.stream import PING_SECONDS, check_room, with_pings
from api.jobs.tailer import Tailer
from api.pages import Page
from api.problems import field_problems

_logger = logging.getLogger(__name__)
router = APIRouter(prefix="/v1/search-jobs", tags=["search jobs"])
EventId = Annotated[int, Field(ge=0, lt=2**63)]
_SPEC: dict[str, Any] = {
    "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/JobDocument"}}}}
}
_STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}


def _made(document: str) -> Response:
    """An answer whose JSON is there already."""
    return Response(document, media_type="application/json")


def _view(session: Session, job: SearchJob) -> JobView:
    return JobView.of(job, architectures.id_of_job(session, job.id))


@router.post("", status_code=201, responses={200: {"model": JobView}})
def submit_job(
    spec: JobDocument, caller: Submitter, service: Parts, response: Response, idempotency_key: IdempotencyKey = None
) -> JobView:
    """Submit a search. Refused with all that is wrong at once; nothing is spent before it can succeed."""
    return _submitted(spec, caller, service, response, idempotency_key)


def _submitted(spec: JobDocument, caller: Caller, service: Service, response: Response, key: str | None) -> JobView:
    settings = service.settings
    wanted = jobs.Submission(
        spec=spec, idempotency_key=key, threads=settings.threads, requeue_seconds=settings.requeue_seconds,
        max_open_jobs=settings.max_open_jobs,
    )  # fmt: skip
    with service.database.read() as session:
        found = jobs.prepare(session, caller.owner, wanted)
    with service.database.write() as session:
        job, created = jobs.submit(session, caller.owner, wanted, found, service.bell.ring)
        if created:
            check_quota(session, caller.owner.name, service.settings.max_stored_bytes)
        session.flush()
        answer = _view(session, job)
    response.status_code = 201 if created else 200
    response.headers["Location"] = f"/v1/search-jobs/{job.id}"
    return answer


@router.post("/validate", openapi_extra=_SPEC)
def validate_job(document: Annotated[dict[str, Any], Body()], caller: Reader, service: Parts) -> ValidationView:
    """Tell what submitting a job would answer: errors, what can be reached, and what it would take."""
    try:
        spec = JobDocument.model_validate(document)
    except ValidationError as error:
        wrong = field_problems(error.errors())
        return ValidationView(valid=False, errors=[w.as_json() for w in wrong], reachable=[], architectures=None)
    with service.database.read() as session:
        found = submission.assess(session, caller.owner, spec)
        expected = None
        if found.space is not None and found.dataset is not None:
            examples, threads = found.dataset.examples, service.settings.threads
            expected = forecast(session, spec, found.space, examples=examples, threads=threads)
    return ValidationView.model_validate(
        {
            "valid": not found.errors, "errors": [problem.as_json() for _, problem in found.errors],
            "reachable": found.reachable, "missing": found.missing,
            "architectures": found.space.size if found.space else None, "forecast": expected,
        }
    )  # fmt: skip


@router.get("", response_model=Page[JobView])
def list_jobs(
    caller: Reader,
    service: Parts,
    state: State | None = None,
    label: Annotated[str | None, Query(description="name:value")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List your jobs, newest first."""
    with service.database.read_rows() as connection:
        return _made(reading.page(connection, caller.owner, state=state, label=label, cursor=cursor, limit=limit))


@router.get("/{job_id}", response_model=JobView)
def read_job(job_id: str, caller: Reader, service: Parts) -> Response:
    """Read a job."""
    with service.database.read_rows() as connection:
        return _made(reading.job(connection, caller.owner, job_id))


@router.post("/{job_id}/cancel")
def cancel_job(job_id: str, caller: Submitter, service: Parts) -> JobView:
    """End a job. A running one ends at its worker's next step: until then `asked` says cancel."""
    with service.database.write() as session:
        return _view(session, jobs.cancel(session, caller.owner, job_id))


@router.post("/{job_id}/pause")
def pause_job(job_id: str, caller: Submitter, service: Parts) -> JobView:
    """Set a job aside. A running one leaves a checkpoint at its worker's next step."""
    with service.database.write() as session:
        return _view(session, jobs.pause(session, caller.owner, job_id))


@router.post("/{job_id}/resume")
def resume_job(job_id: str, caller: Submitter, service: Parts) -> JobView:
    """Take a paused job up again, at its checkpoint."""
    with service.database.write() as session:
        requeue = service.settings.requeue_seconds
        return _view(
            session, jobs.resume(session, caller.owner, job_id, requeue_seconds=requeue, ring=service.bell.ring)
        )


@router.post("/{job_id}/derive")
def derive(job_id: str, wanted: Derivation, caller: Reader, service: Parts) -> DerivationView:
    """Derive architectures for other constraints from a search that is done: nothing is trained, nothing is kept."""
    with service.database.read() as session:
        job = jobs.get(session, caller.owner, job_id)
        question = retargeting.ask(session, service.store, job, wanted.constraints)
    answer = question.answer(count=wanted.count, front=wanted.front)
    return DerivationView.model_validate({"job": job_id, **answer})


@router.post("/{job_id}/reproduce", status_code=201, responses={200: {"model": JobView}})
def reproduce_job(
    job_id: str, caller: Submitter, service: Parts, response: Response, idempotency_key: IdempotencyKey = None
) -> JobView:
    """Submit a job that succeeded once more, pinned to exactly its inputs. Refused where one is gone or changed."""
    with service.database.read() as session:
        found = reproduction.prepare(session, service.store, caller.owner, job_id, key=idempotency_key)
    return _again(found, caller, service, response)


@router.post("/{job_id}/extend", status_code=201, responses={200: {"model": JobView}})
def extend_job(
    job_id: str, wanted: extension.Extension, caller: Submitter, service: Parts, response: Response,
    idempotency_key: IdempotencyKey = None,
) -> JobView:  # fmt: skip
    """Submit a job that trains the network of one that succeeded for more epochs, from the weights that it left. The
    results of that one stay as they are.
    """
    with service.database.read() as session:
        found = extension.prepare(session, service.store, caller.owner, job_id, wanted, key=idempotency_key)
    return _again(found, caller, service, response)


def _again(found: reproduction.Repetition | SearchJob, caller: Caller, service: Service, response: Response) -> JobView:
    with service.database.write() as session:
        if isinstance(found, SearchJob):
            job, created = jobs.get(session, caller.owner, found.id), False  # as it stands now
        else:
            job, created = reproduction.submit(
                session, found, requeue_seconds=service.settings.requeue_seconds,
                max_open_jobs=service.settings.max_open_jobs, ring=service.bell.ring,
            )  # fmt: skip
        if created:
            check_quota(session, caller.owner.name, service.settings.max_stored_bytes)
        session.flush()
        answer = _view(session, job)
    response.status_code = 201 if created else 200
    response.headers["Location"] = f"/v1/search-jobs/{job.id}"
    return answer


@router.post("/{job_id}/clone", status_code=201, responses={200: {"model": JobView}})
def clone_job(
    job_id: str,
    caller: Submitter,
    service: Parts,
    response: Response,
    patch: Annotated[dict[str, Any] | None, Body(description="A JSON merge patch (RFC 7396) on the document.")] = None,
    idempotency_key: IdempotencyKey = None,
) -> JobView:
    """Submit a job's document once more, changed by the patch, with the tables and the data of today."""
    with service.database.read() as session:
        spec = cloning.patched(jobs.get(session, caller.owner, job_id), patch or {})
    return _submitted(spec, caller, service, response, idempotency_key)


@router.get("/{job_id}/reproduction")
def read_reproduction(job_id: str, caller: Reader, service: Parts) -> ReproductionView:
    """Tell whether a job that repeats another came out the same, and if not, what differs."""
    with service.database.read() as session:
        job = jobs.get(session, caller.owner, job_id)
        return ReproductionView.model_validate(reproduction.verdict(session, service.store, job))


@router.get("/{job_id}/events", response_model=EventPage, responses=_STREAM)
def read_events(
    job_id: str,
    request: Request,
    caller: Reader,
    service: Parts,
    after: Annotated[int, Query(ge=0, lt=2**63, description="Events after this id.")] = 0,
    limit: Limit = 100,
    last_event_id: Annotated[EventId | SkipJsonSchema[None], Header()] = None,
) -> Response:
    """List what happened to a job, or follow it live with `Accept: text/event-stream`."""
    streams = "text/event-stream" in request.headers.get("accept", "")
    with service.database.read_rows() as connection:
        if not streams:
            return _made(reading.events(connection, caller.owner, job_id, after=after, limit=limit))
        reading.check_seen(connection, caller.owner, job_id)
    check_room(service.tailer.readers, service.settings.max_event_streams)
    start = after if last_event_id is None else last_event_id
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}

    def is_good() -> bool:
        try:
            with service.database.read() as session:
                return auth.is_good(session, caller.token_id, now=datetime.now(UTC))
        except SQLAlchemyError:  # a database that is away ends no stream; it is asked again
            _logger.warning("could not ask whether the token of a stream is good", exc_info=True)
            return True

    return EventSourceResponse(_stream(service.tailer, job_id, start, is_good), headers=headers)


async def _stream(tailer: Tailer, job_id: str, after: int, is_good: Callable[[], bool]) -> AsyncIterator[bytes]:
    """Ends where the token that opened it is good no longer, which is asked at least at every second ping."""
    asked = time.monotonic()
    async for event in with_pings(tailer.follow(job_id, after), PING_SECONDS):
        if time.monotonic() - asked >= PING_SECONDS:
            if not await asyncio.to_thread(is_good):
                return
            asked = time.monotonic()
        if event is None:
            yield KEEPALIVE_COMMENT
        else:
            yield format_sse_event(data_str=event.text, event=event.kind, id=str(event.id))


@router.get("/{job_id}/attempts")
def list_attempts(
    job_id: str, caller: Reader, service: Parts, limit: Limit = 100, cursor: Cursor = None
) -> Page[AttemptView]:
    """List who tried to carry a job out, first to last, and how each attempt ended."""
    with service.database.read() as session:
        job = jobs.get(session, caller.owner, job_id)
        found, following = attempts.list_page(session, job, cursor=cursor, limit=limit)
        return Page(items=[AttemptView.of(attempt) for attempt in found], next_cursor=following)


@router.get("/{job_id}/attempts/{number}/log", response_class=PlainTextResponse)
def read_log(
    job_id: str, number: Annotated[int, Path(ge=1, lt=2**63)], caller: Reader, service: Parts
) -> PlainTextResponse:
    """Read what the worker logged during an attempt, some seconds old while it runs. Of long logs the end is kept."""
    with service.database.read() as session:
        return PlainTextResponse(attempts.log_of(session, jobs.get(session, caller.owner, job_id), number))


@router.get("/{job_id}/comparison")
def list_compared(
    job_id: str, caller: Reader, service: Parts, limit: Limit = 100, cursor: Cursor = None
) -> Page[ComparedNetworkView]:
    """List the networks that a job compares, which several workers may share, and how far each is. There are none
    before the job's own network is trained.
    """
    with service.database.read() as session:
        job = jobs.get(session, caller.owner, job_id)
        found, following = compared.list_page(session, job, cursor=cursor, limit=limit)
        return Page(items=[ComparedNetworkView.of(network) for network in found], next_cursor=following)


@router.get("/{job_id}/artifacts")
def list_artifacts(job_id: str, caller: Reader, service: Parts) -> Page[ArtifactView]:
    """List the files that a job gave."""
    with service.database.read() as session:
        found = artifacts.of_job(session, jobs.get(session, caller.owner, job_id).id)
        return Page(items=[ArtifactView.of(artifact) for artifact in found], next_cursor=None)


@router.get("/{job_id}/architecture")
def read_derived(job_id: str, caller: Reader, service: Parts) -> ArchitectureView:
    """Read the architecture that a job gave."""
    with service.database.read() as session:
        job = jobs.get(session, caller.owner, job_id)
        row = architectures.of_job(session, job.id, job.state)
        return ArchitectureView.of(row, artifacts.of_job(session, job.id))
