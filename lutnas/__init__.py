"""The user's side of lutnas: the client of its API (`from lutnas import Client`) and the `lutnas` command."""

from lutnas.client import (
    ChecksumError,
    Client,
    ForeignAnswerError,
    LutnasError,
    ProblemError,
    UnreachableError,
    UnsendableError,
)

__all__ = [
    "ChecksumError",
    "Client",
    "ForeignAnswerError",
    "LutnasError",
    "ProblemError",
    "UnreachableError",
    "UnsendableError",
]
