"""What OpenAPI says of access, made of what the routes declare."""

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from api.bodies import schemas
from api.problems import MEDIA_TYPE, Problem

_UNKNOWN = "No token, or none that is good: `unauthorized`, `token-expired`, `token-revoked`."
_TOO_OFTEN = "The token asked too often: `too-many-requests`. Retry-After says when it may again."
_ABSENT = "There is none, or it is another owner's: a type that begins with `unknown-`."


def document_access(app: FastAPI, *, bodies: Sequence[type[BaseModel]] = ()) -> None:
    """Adds to the description of each route that needs a token what a token of the wrong kind is answered, and the
    documents of `bodies` that routes read themselves.
    """
    describe: Callable[[], dict[str, Any]] = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = describe()
            document["components"]["schemas"] |= _problem_schemas() | schemas(*bodies)
            for path, methods in document["paths"].items():
                for operation in methods.values():
                    if "security" in operation:
                        _complete(operation, has_object="{" in path)
        return describe()

    app.openapi = described  # type: ignore[method-assign]  # the way that FastAPI has for this


def _complete(operation: dict[str, Any], *, has_object: bool) -> None:
    ((scheme, scopes),) = operation["security"][0].items()
    if len(scopes) > 1:  # one of them is enough, which OpenAPI says by alternatives
        operation["security"] = [{scheme: [scope]} for scope in scopes]
    needed = f"The token has not the scope {' or '.join(scopes)}" if scopes else "The token may not do this"
    told = {
        "401": _UNKNOWN,
        "403": f"{needed}, or is not of the team: `forbidden`.",
        **({"404": _ABSENT} if has_object else {}),
        "429": _TOO_OFTEN,
    }
    schema = {"$ref": f"#/components/schemas/{Problem.__name__}"}
    for status, description in told.items():
        operation["responses"][status] = {"description": description, "content": {MEDIA_TYPE: {"schema": schema}}}


def _problem_schemas() -> dict[str, Any]:
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs"), Problem.__name__: schema}
