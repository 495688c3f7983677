"""Jobs and events as the API shows them, in JSON, straight from their rows.

What people read most: a page of twenty jobs spent four fifths of its time on making objects of rows, documents of their
columns, models of those, and text of it all again. A document is JSON in its column already, and goes out as it stands.
`api.jobs.schemas` says what they look like; a test holds one against the other.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache, lru_cache
from typing import Any

from pydantic import BaseModel
from sqlalchemy import ColumnElement, Connection, Select, Text, bindparam, cast, select

from api.architectures.models import DerivedArchitecture
from api.auth.callers import Owner
from api.errors import FieldProblem, InvalidRequest
from api.jobs.document import Limits
from api.jobs.models import JobEvent, JobLabel, SearchJob
from api.jobs.schemas import ForecastView, Pins, Progress
from api.jobs.service import JobUnknown
from api.paging import decode_cursor, encode_cursor

_TABLES = SearchJob.metadata.tables  # statements on the classes are compiled by the object mapper at each run
_JOB, _EVENT = _TABLES[SearchJob.__tablename__], _TABLES[JobEvent.__tablename__]
_LABEL, _ARCHITECTURE = _TABLES[JobLabel.__tablename__], _TABLES[DerivedArchitecture.__tablename__]
_quoted = json.JSONEncoder(allow_nan=False).encode


def _text(column: ColumnElement[Any]) -> ColumnElement[str]:
    """JSON as the text that it is."""
    return cast(column, Text)


_j, _e = _JOB.c, _EVENT.c
_JOBS: Select[Any] = select(
    _j.id, _j.name, _j.state, _j.wish, _j.owner, _text(_j.spec), _text(_j.pins), _text(_j.forecast), _j.attempt,
    _text(_j.progress), _j.created_at, _j.started_at, _j.finished_at, _text(_j.error), _ARCHITECTURE.c.id,
    _text(_j.spec["labels"]), _j.reproduces, _j.extends, _j.priority, _text(_j.limits),
).select_from(_JOB.outerjoin(_ARCHITECTURE, _ARCHITECTURE.c.job_id == _j.id))  # fmt: skip
_ONE_JOB = _JOBS.where(_j.id == bindparam("job_id"))
_OWNER = select(_j.owner).where(_j.id == bindparam("job_id"))
_EVENTS = (
    select(_e.id, _e.attempt, _e.step, _e.kind, _text(_e.data), _e.at)
    .where(_e.job_id == bindparam("job_id"), _e.id > bindparam("after"))
    .order_by(_e.id)
    .limit(bindparam("most"))
)


@cache  # eight statements
def _page(by_state: bool, by_label: bool, behind: bool) -> Select[Any]:
    """A page of jobs and one more. The ids come first: what is sorted should be short."""
    ids = select(_j.id).where(_j.owner.in_(bindparam("owners", expanding=True)))
    if by_state:
        ids = ids.where(_j.state == bindparam("state"))
    if by_label:
        labelled = select(_LABEL.c.job_id).where(
            _LABEL.c.name == bindparam("name"), _LABEL.c.value == bindparam("value")
        )
        ids = ids.where(_j.id.in_(labelled))
    if behind:
        ids = ids.where(_j.id < bindparam("after"))
    newest = ids.order_by(_j.id.desc()).limit(bindparam("most")).correlate(None)
    return _JOBS.where(_j.id.in_(newest)).order_by(_j.id.desc())


def job(connection: Connection, owner: Owner, job_id: str) -> str:
    """A job that `owner` sees, as a `JobView`. Raises JobUnknown."""
    row = connection.execute(_ONE_JOB, {"job_id": job_id}).one_or_none()
    if row is None or not owner.sees(row.owner):
        raise JobUnknown.of(job_id)
    return _job(row)


def page(
    connection: Connection, owner: Owner, *, state: str | None, label: str | None, cursor: str | None, limit: int
) -> str:
    """The jobs that `owner` sees, newest first, as a page of `JobView`, in one state or with one label (`name:value`)
    if wanted. Raises InvalidRequest.
    """
    wanted: dict[str, Any] = {"owners": owner.visible, "most": limit + 1}
    if state is not None:
        wanted["state"] = state
    if label is not None:
        wanted["name"], colon, wanted["value"] = label.partition(":")
        if not colon:
            raise InvalidRequest("The label cannot be read.", errors=[FieldProblem("label", "write it as name:value")])
    if cursor is not None:
        wanted["after"] = decode_cursor(cursor, str)
    rows = connection.execute(_page(state is not None, label is not None, cursor is not None), wanted).all()
    following = encode_cursor(rows[limit - 1].id) if len(rows) > limit else None
    return f'{{"items":{_array(map(_job, rows[:limit]))},"next_cursor":{_quoted(following)}}}'


def events(connection: Connection, owner: Owner, job_id: str, *, after: int, limit: int) -> str:
    """Events after `after` of a job that `owner` sees, as an `EventPage`. Raises JobUnknown."""
    check_seen(connection, owner, job_id)
    rows = connection.execute(_EVENTS, {"job_id": job_id, "after": after, "most": limit + 1}).all()
    following = str(rows[limit - 1].id) if len(rows) > limit else None
    return f'{{"items":{_array(map(_event, rows[:limit]))},"next_cursor":{_quoted(following)}}}'


def check_seen(connection: Connection, owner: Owner, job_id: str) -> None:
    """Raises JobUnknown where there is no such job that `owner` sees."""
    whose = connection.execute(_OWNER, {"job_id": job_id}).scalar_one_or_none()
    if whose is None or not owner.sees(whose):
        raise JobUnknown.of(job_id)


def _job(row: Sequence[Any]) -> str:
    (
        job_id, name, state, wish, owner, spec, pins, forecast, attempt, progress, created_at, started_at, finished_at,
        error, architecture, labels, reproduces, extends, priority, limits,
    ) = row  # fmt: skip
    return (
        f'{{"id":{_quoted(job_id)},"name":{_quoted(name)},"state":{_quoted(state)},"asked":{_quoted(wish or None)},'
        f'"owner":{_quoted(owner)},"spec":{spec},"pins":{_shown(Pins, pins)},'
        f'"forecast":{_shown(ForecastView, forecast)},"attempt":{attempt},"progress":{_shown(Progress, progress)},'
        f'"created_at":{_time(created_at)},"started_at":{_time(started_at)},"finished_at":{_time(finished_at)},'
        f'"error":{error or "null"},"architecture":{_quoted(architecture)},"labels":{labels},'
        f'"reproduces":{_quoted(reproduces)},"extends":{_quoted(extends)},"priority":{priority},'
        f'"limits":{_shown(Limits, limits)}}}'
    )


def _event(row: Sequence[Any]) -> str:
    number, attempt, step, kind, data, at = row
    return f'{{"id":{number},"attempt":{attempt},"step":{step},"kind":{_quoted(kind)},"data":{data},"at":{_time(at)}}}'


@lru_cache(maxsize=1024)  # by what it says, so never old: jobs on one table, or not begun, say the same
def _shown(model: type[BaseModel], document: str | None) -> str:
    """A small document as `model` shows it: without what is not for others, with what older ones did not know."""
    return "null" if document is None else model.model_validate_json(document).model_dump_json()


def _time(moment: datetime | None) -> str:
    return "null" if moment is None else f'"{moment.isoformat().replace("+00:00", "Z")}"'


def _array(items: Iterable[str]) -> str:
    return f"[{','.join(items)}]"
