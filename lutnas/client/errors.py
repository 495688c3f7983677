"""What can go wrong between a client and the service.

Errors:
    LutnasError (Exception)   the root
    ├── ProblemError          the service refused; type, title, detail, errors as it said them (RFC 9457)
    ├── UnreachableError      nobody answered, or what stands before the service could not reach it
    ├── UnsendableError       a request holds what HTTP or JSON cannot carry
    ├── ForeignAnswerError    something answered that is not the lutnas API
    └── ChecksumError         a download's bytes are not those that the service promised
"""

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

PROBLEM_PREFIX = "urn:lutnas:problem:"


class LutnasError(Exception):
    """Root of all that the client raises. `hint` says what to do about it, or is empty."""

    hint: str = ""

    def __init__(self, detail: str, *, hint: str = "") -> None:
        super().__init__(detail)
        self.hint = hint


class FieldError(TypedDict):
    """One thing that is wrong with a request, and where."""

    detail: str
    field: NotRequired[str | None]
    row: NotRequired[int | None]


class ProblemError(LutnasError):
    """The service refused a request. `document` is its whole answer, with what extends RFC 9457."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = dict(document)
        self.type = str(document.get("type", "about:blank"))
        self.title = str(document.get("title", "the request was refused"))
        self.status = int(document.get("status", 0))
        self.detail = str(document.get("detail") or "")
        self.errors: list[FieldError] = list(document.get("errors") or [])
        super().__init__(f"{self.title}: {self.detail}" if self.detail else self.title)

    @property
    def slug(self) -> str:
        """The last part of `type`, e.g. `unauthorized`."""
        return self.type.removeprefix(PROBLEM_PREFIX)


class UnreachableError(LutnasError):
    """Nobody answered at the address."""


class UnsendableError(LutnasError):
    """A request holds what HTTP or JSON cannot carry: infinite numbers, half a surrogate, a header beyond ASCII."""


class ForeignAnswerError(LutnasError):
    """Something answered that is not the lutnas API."""


class ChecksumError(LutnasError):
    """A download's bytes are not those that the service promised. Nothing was kept."""
