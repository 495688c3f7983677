"""Errors as HTTP has them: application/problem+json (RFC 9457) for whatever goes wrong."""

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel
from sqlalchemy.exc import OperationalError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from api.artifacts.files import FULL, StoreAway, StoreError
from api.db.session import is_away
from api.db.types import Unstorable
from api.envelope import seal
from api.errors import DomainError, FieldProblem, problem
from api.requests.models import KINDS
from search.budget import TooHard
from search.constraints import METRICS
from search.document import NAME_PATTERN
from search.spec import LABEL_PATTERN

MEDIA_TYPE = "application/problem+json"
_SOURCES = {"body", "query", "path", "header", "cookie"}
_SLUGS = {400: "bad-request", 404: "not-found", 405: "method-not-allowed", 413: "too-large"}
_TITLES = {400: "Bad request", 404: "Not found", 405: "Method not allowed", 413: "Too large"}
_NAMES = {
    NAME_PATTERN: "is no name: 1 to 63 characters, a-z and 0-9, after the first . _ - too",
    LABEL_PATTERN: "is no name of a label: 1 to 63 characters, a-z and 0-9, after the first . _ / - too",
}
_SENTENCES = {
    "extra_forbidden": "is no field that is known here",
    "missing": "is missing",
    "tuple_type": "has to be a list, as in [...]",
    "list_type": "has to be a list, as in [...]",
    "dict_type": "has to be an object, as in {...}",
    "model_type": "has to be an object, as in {...}",
    "model_attributes_type": "has to be an object, as in {...}",
}
_logger = logging.getLogger(__name__)


class ProblemItem(BaseModel):
    """One thing that is wrong, by field and, where the input has rows, by row."""

    field: str
    detail: str
    row: int | None = None


class Problem(BaseModel):
    """An error. `type` is stable."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[ProblemItem] = []


RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {"description": "A problem (RFC 9457)", "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}}
}


def install(app: FastAPI) -> None:
    """Makes each error of `app` a problem."""
    app.add_exception_handler(DomainError, _domain_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(StatementError, _statement_error)
    app.add_exception_handler(OperationalError, _unavailable)
    app.add_exception_handler(PoolTimeout, _unavailable)
    app.add_exception_handler(StoreAway, _unavailable)
    app.add_exception_handler(StoreError, _file_gone)
    app.add_exception_handler(TooHard, _too_hard)
    app.add_exception_handler(Exception, _unexpected)


def respond(found: Mapping[str, Any], instance: str, headers: Mapping[str, str] | None = None) -> Response:
    """A problem as an answer."""
    body = json.dumps({**found, "instance": instance}, allow_nan=False)
    return Response(body, found["status"], headers=dict(headers or {}), media_type=MEDIA_TYPE)


def field_problems(errors: Sequence[Any]) -> list[FieldProblem]:
    """Items for what pydantic found: `constraints[0].max_us`, never the input itself."""
    return [FieldProblem(_place(error), _sentence(error)) for error in errors]


def _place(error: Mapping[str, Any]) -> str:
    path = _path(error["loc"])
    if path == "body" and error["type"].startswith("union_tag"):  # pydantic names the whole, and the tag is wrong
        return str(error["ctx"]["discriminator"]).strip("'")
    return path


def _path(loc: Sequence[int | str]) -> str:
    parts = list(loc[1:] if loc and loc[0] in _SOURCES else loc)
    # The kind of a constraint is no field of it: pydantic puts it after the constraint's number.
    parts = [part for at, part in enumerate(parts) if not (at and isinstance(parts[at - 1], int) and part in METRICS)]
    parts = [part for part in parts if part != "[key]"]  # of an object's names the name stands before it
    if len(parts) > 1 and parts[0] in KINDS:  # that of a request to a device stands in front
        parts = parts[1:]
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "body"


def _sentence(error: Mapping[str, Any]) -> str:
    """Pydantic's own words, where they speak of something else than the document that somebody wrote, in ours."""
    if error["type"] == "json_invalid":
        return f"is no JSON: {error['ctx']['error']}"
    if error["type"] == "string_pattern_mismatch" and error["ctx"]["pattern"] in _NAMES:
        return _NAMES[error["ctx"]["pattern"]]
    return _SENTENCES.get(error["type"]) or str(error["msg"]).removeprefix("Value error, ")


def _domain_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, DomainError)
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
    if (seconds := error.extensions.get("retry_after_seconds")) is not None:
        headers["Retry-After"] = str(seconds)
    return respond(error.as_problem(), request.url.path, headers)


def _too_hard(request: Request, error: Exception) -> Response:
    found = problem(slug="too-hard", title="Too hard to derive", status=422, detail=f"constraints: {error}")
    return respond(found, request.url.path)


def _invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    wrong = field_problems(error.errors())
    detail = "; ".join(f"{w.field}: {w.detail}" for w in wrong)
    found = problem(slug="invalid-request", title="Invalid request", status=422, detail=detail, errors=wrong)
    return respond(found, request.url.path)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = error.status_code
    detail = f"{request.url.path} does not exist." if status == 404 else error.detail
    if status == 405:
        detail = f"{request.url.path} does not take {request.method}."
    found = problem(
        slug=_SLUGS.get(status, f"http-{status}"), title=_TITLES.get(status, "Error"), status=status, detail=detail
    )
    headers = dict(error.headers or {})
    if status == 405:
        headers["Allow"] = ", ".join(_methods(request))
    return respond(found, request.url.path, headers)


def _methods(request: Request) -> list[str]:
    """What the path takes. FastAPI's own Allow names the methods of one route, and a path may have several."""
    contexts = [c for c in iter_route_contexts(request.app.routes) if c.matches(request.scope)[0] is not Match.NONE]
    same = [context.methods or () for context in contexts if context.path == contexts[0].path]
    return sorted({method for methods in same for method in methods})


def _statement_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, StatementError)
    if is_away(error):
        return _unavailable(request, error)
    if not isinstance(error.orig, Unstorable):
        return _unexpected(request, error)
    found = problem(
        slug="invalid-request", title="Invalid request", status=422, detail=f"The request cannot be kept: {error.orig}."
    )
    return respond(found, request.url.path)


def _unavailable(request: Request, error: Exception) -> Response:
    if isinstance(error, StoreAway):
        slug, what, seconds = "store", "artifact store", 10  # it has been asked again and again before
    else:
        slug, what, seconds = "database", "database", 2
    _logger.error("the %s did not answer", what, exc_info=error)
    found = problem(
        slug=f"{slug}-unavailable",
        title=f"{what.capitalize()} unavailable",
        status=503,
        detail=f"The {what} did not answer: try again.",
    )
    return respond(found, request.url.path, {"Retry-After": str(seconds)})


def _file_gone(request: Request, error: Exception) -> Response:
    _logger.error("a file that a row names is not in the store", exc_info=error)
    found = problem(
        slug="artifact-missing",
        title="Artifact missing",
        status=404,
        detail="The file is not in the artifact store any more: the operator may have it in a back-up.",
    )
    return respond(found, request.url.path)


def _unexpected(request: Request, error: Exception) -> Response:
    _logger.error("%s %s failed (%s)", request.method, request.url.path, request.scope["request_id"], exc_info=error)
    if isinstance(error, OSError) and error.errno in FULL:
        found = problem(
            slug="store-full",
            title="Store full",
            status=507,
            detail="There is no room here for what was sent: the operator has to make some. Then send it again.",
        )
    else:
        found = problem(
            slug="internal",
            title="Internal error",
            status=500,
            detail="Something went wrong here: the log of the API says what.",
        )
    response = respond(found, request.url.path)
    seal(request.scope, response.headers)  # this answer comes from outside of all middleware
    return response
