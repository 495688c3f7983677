"""A small, typed client of the lutnas API. It needs httpx and `latency`, nothing of the server."""

from lutnas.client.client import Client
from lutnas.client.errors import (
    ChecksumError,
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
