"""Requests to devices as people and agents write and read them. Times in `_us` are microseconds."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from api.db.session import at
from api.requests.models import RUNNING, DeviceRequest
from api.tables.schemas import Microseconds, OperatorView
from latency.operator import Operator
from search.choices import MOST_OPTIONS
from search.document import Document, Name

State = Literal["queued", "running", "succeeded", "failed", "cancelled"]
Id = Annotated[str, Field(min_length=1, max_length=100)]
Threads = Annotated[int, Field(ge=1, le=1024)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Precisions = Annotated[tuple[str, ...], Field(min_length=1, max_length=MOST_OPTIONS)]
Widths = Annotated[tuple[float, ...], Field(min_length=1, max_length=MOST_OPTIONS)]
MOST_OPERATORS = 1024
Count = Annotated[int, Field(ge=0, lt=2**63)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Profile(Document):
    """Time the operators of `space`, with these precisions and widths instead of its own, and upload the table. Which
    runtimes there are only the device knows.
    """

    kind: Literal["profile"]
    space: Name
    precision: Precisions | None = None
    width: Widths | None = None
    runtime: Name = "onnxruntime"
    threads: Threads = 1
    seed: Seed = 0
    note: Annotated[str, Field(max_length=1000)] = ""

    @field_validator("note")
    @classmethod
    def _one_line(cls, note: str) -> str:
        if not note.isprintable() or note != note.strip():  # as the table that keeps it will have it
            raise ValueError("must be one line of printable characters without blanks around it")
        return note


class Calibrate(Document):
    """Time `networks` random networks of `space` whole, and hold `table` to them."""

    kind: Literal["calibrate"]
    table: Id
    space: Name
    precision: Precisions | None = None
    width: Widths | None = None
    networks: Annotated[int, Field(ge=1, le=1000)] = 30
    seed: Seed = 0


class Verify(Document):
    """Time the exported network of a derived architecture."""

    kind: Literal["verify"]
    architecture: Id
    threads: Threads = 1


class NetworkOperator(OperatorView):
    """An operator that is to be timed, as the service tells operators."""

    model_config = ConfigDict(extra="forbid")


class Time(Document):
    """Time one network whole, as `table` was timed: its `operators` in order, from stem to head, with random weights.
    So a job asks how long its finalists take (`on_device`).
    """

    kind: Literal["time"]
    table: Id
    operators: Annotated[tuple[NetworkOperator, ...], Field(min_length=1, max_length=MOST_OPERATORS)]

    @field_validator("operators")
    @classmethod
    def _are_some(cls, operators: tuple[NetworkOperator, ...]) -> tuple[NetworkOperator, ...]:
        for operator in operators:
            Operator(**operator.model_dump())  # which says what is wrong with it
        return operators


Asked = Profile | Calibrate | Verify | Time


class Result(Document):
    """What came of a request. A profile names its `table`; a calibration that, and how many `networks` were timed; a
    verification its `architecture`, and the `latency_us` that was measured; a network that was timed its `table`, and
    that.
    """

    table: Id | None = None
    networks: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    architecture: Id | None = None
    latency_us: Microseconds | None = None


class Claimant(Document):
    """An agent, by a name that no other process has, such as host, process and a random part."""

    agent: Annotated[str, Field(min_length=1, max_length=200)]


class Holder(Claimant):
    """The agent, and the attempt that it was given: both have to be those of the newest claim."""

    attempt: Annotated[int, Field(ge=1, lt=2**63)]


class Heartbeat(Holder):
    """A sign of life, and how far it is."""

    done: Count | None = None
    total: Count | None = None
    seconds_left: Seconds | None = None
    message: Annotated[str, Field(max_length=500)] = ""


class Finish(Holder):
    """The request was answered."""

    result: Result


class Fail(Holder):
    """The request cannot be answered, and why."""

    detail: Annotated[str, Field(min_length=1, max_length=4000)]


class ProgressView(BaseModel):
    """How far a request is, in steps of its own. Empty before the first heartbeat."""

    done: int | None = None
    total: int | None = None
    seconds_left: float | None = None
    message: str = ""


class RequestView(BaseModel):
    """A request to a device. `asked` is what its user wants of a running one and its agent has not done yet. `silent`
    says that the agent let its lease run out: the next one that asks takes over.
    """

    id: str
    device: str
    kind: Literal["profile", "calibrate", "verify", "time"]
    state: State
    asked: Literal["cancel"] | None
    silent: bool
    spec: dict[str, Any]
    agent: str | None
    attempt: int
    progress: ProgressView
    result: Result | None
    error: dict[str, Any] | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, row: DeviceRequest, device: str, now_us: int) -> "RequestView":
        """What the API says of a row at `now_us` by the database's clock."""
        silent = row.state == RUNNING and (row.lease_expires_us or 0) <= now_us
        names = ("id", "kind", "state", "spec", "agent", "attempt", "progress", "result", "error")
        times = ("created_at", "started_at", "finished_at")
        values = {name: getattr(row, name) for name in (*names, *times)}
        return cls.model_validate({**values, "device": device, "asked": row.wish or None, "silent": silent})


class LeaseView(BaseModel):
    """The right of one attempt to answer, until `expires_at` by the service's clock: `seconds` from now."""

    agent: str
    attempt: int
    expires_at: datetime
    seconds: float


class ClaimView(BaseModel):
    """A request that an agent has to answer now."""

    request: RequestView
    lease: LeaseView

    @classmethod
    def of(cls, row: DeviceRequest, device: str, now_us: int) -> "ClaimView":
        """What the API says of a row that was claimed."""
        assert row.agent is not None
        assert row.lease_expires_us is not None
        seconds = (row.lease_expires_us - now_us) / 1_000_000
        lease = LeaseView(
            agent=row.agent, attempt=row.attempt, expires_at=at(row.lease_expires_us), seconds=round(seconds, 3)
        )
        return cls(request=RequestView.of(row, device, now_us), lease=lease)


class OrderView(BaseModel):
    """What a heartbeat brings back. Who is told to cancel stops, and releases the request."""

    order: Literal["continue", "cancel"]
