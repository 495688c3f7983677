"""Devices, their tables, and what they are asked for."""

from typing import Literal, NotRequired, TypedDict

from lutnas.client.documents.document import Document
from lutnas.client.errors import FieldError

RequestState = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class Device(TypedDict):
    """A named device. `owner` is the token's, or one of its teams."""

    id: str
    owner: NotRequired[str]
    name: str
    description: NotRequired[str | None]
    labels: NotRequired[dict[str, str]]
    created_at: str


class Table(TypedDict):
    """One immutable version of a device's latency lookup table. `warnings` comes with the answer to an upload,
    `calibration` where whole networks were measured.
    """

    id: str
    device: str
    version: int
    content_hash: str
    rows: int
    runtime: str
    runtime_version: NotRequired[str]
    threads: int
    batch: int
    created_at: str
    calibration: NotRequired[Document | None]
    warnings: NotRequired[list[FieldError]]


class Coverage(TypedDict):
    """Whether a table has every operator of a space; `missing` lists those it has not."""

    covered: bool
    missing: list[Document]


class DeviceRequest(TypedDict):
    """What a device was asked for. `silent`: its agent let the lease run out."""

    id: str
    device: str
    kind: Literal["profile", "calibrate", "verify", "time"]
    state: RequestState
    asked: Literal["cancel"] | None
    silent: bool
    spec: Document
    agent: str | None
    attempt: int
    progress: Document
    result: Document | None
    error: Document | None
    created_at: str
    started_at: str | None
    finished_at: str | None


class Lease(TypedDict):
    """The right of one attempt to answer a request, for `seconds` from the claim or the last heartbeat."""

    agent: str
    attempt: int
    expires_at: str
    seconds: float


class Claim(TypedDict):
    """A request that an agent has to answer."""

    request: DeviceRequest
    lease: Lease
