"""Documents that take a while to read: only of callers that are known, and not on the event loop. FastAPI reads what
its parameters ask for before it looks who sends it, and between all that it answers.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool

M = TypeVar("M", bound=BaseModel)
_REF = "#/components/schemas/{model}-Body"


def body_of(model: type[M]) -> Callable[[Request], Awaitable[M]]:
    """A dependency that reads the body as `model`, for use after the one that knows the caller. Describe the route with
    `described(model)`. Raises RequestValidationError.
    """

    async def read(request: Request) -> M:
        return await run_in_threadpool(_validated, model, await request.body())

    return read


def described(model: type[BaseModel]) -> dict[str, Any]:
    """`openapi_extra` of a route whose body is read so."""
    schema = {"$ref": _REF.format(model=model.__name__)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def schemas(*models: type[BaseModel]) -> dict[str, Any]:
    """What `described` refers to, for the components of OpenAPI."""
    found: dict[str, Any] = {}
    for model in models:
        schema = model.model_json_schema(ref_template=_REF)
        found |= {f"{name}-Body": part for name, part in schema.pop("$defs", {}).items()}
        found[f"{model.__name__}-Body"] = schema
    return found


def _validated(model: type[M], raw: bytes) -> M:
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in wrong]) from error
