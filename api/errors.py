"""Errors that a user of the service can act on. They know their HTTP status and slug, and nothing else of HTTP.

DomainError
├── each domain's own tree, drawn at the top of its service
├── NotFound          404  not-found
└── InvalidRequest    422  invalid-request
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One thing that is wrong: `field` as in `constraints[0].device`, `row` (from 1) where the input has rows."""

    field: str
    detail: str
    row: int | None = None

    def as_json(self) -> dict[str, Any]:
        """As an item of a problem's `errors`."""
        found: dict[str, Any] = {"field": self.field, "detail": self.detail}
        return found if self.row is None else {"field": self.field, "row": self.row, "detail": self.detail}


class DomainError(Exception):
    """Becomes a problem (RFC 9457) of type urn:lutnas:problem:SLUG. `extensions` become members of it."""

    status: ClassVar[int]
    slug: str
    title: ClassVar[str]

    def __init__(self, detail: str, *, errors: Iterable[FieldProblem] = (), **extensions: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)
        self.extensions = extensions

    def as_problem(self) -> dict[str, Any]:
        """The problem without what only the request knows."""
        return problem(
            slug=self.slug,
            title=self.title,
            status=self.status,
            detail=self.detail,
            errors=self.errors,
            **self.extensions,
        )


class NotFound(DomainError):
    """There is no such thing, or it is somebody else's."""

    status = 404
    slug = "not-found"
    title = "Not found"


class InvalidRequest(DomainError):
    """The request is not as the API describes it."""

    status = 422
    slug = "invalid-request"
    title = "Invalid request"


def problem(
    *, slug: str, title: str, status: int, detail: str, errors: Iterable[FieldProblem] = (), **extensions: Any
) -> dict[str, Any]:
    """A problem as JSON."""
    listed = [error.as_json() for error in errors]
    return {
        "type": f"urn:lutnas:problem:{slug}", "title": title, "status": status, "detail": detail,
        **({"errors": listed} if listed else {}), **extensions,
    }  # fmt: skip
