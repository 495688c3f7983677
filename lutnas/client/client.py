"""The client: one method for each thing that the API does."""

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, cast

from latency.operator import Operator, OperatorError
from lutnas.client import events
from lutnas.client.documents import (
    Architecture,
    Artifact,
    Attempt,
    AuditEntry,
    ComparedNetwork,
    Coverage,
    Dataset,
    Derivation,
    Device,
    Document,
    Event,
    Job,
    Reproduction,
    Table,
    Token,
    Validation,
)
from lutnas.client.download import download
from lutnas.client.paths import path_of
from lutnas.client.requests import DeviceRequests
from lutnas.client.tokens import Tokens
from lutnas.client.transport import ATTEMPTS, Transport
from lutnas.client.webhooks import Webhooks


class Client:
    """Talks to the lutnas API at `url`. A context manager; its methods raise LutnasError (`lutnas.client.errors`).

    `timeout_seconds` holds for each single answer but those that take long (a submission or derivation gets two
    minutes, an upload or a table's file ten); `sleep` waits between `attempts`; None of these is no end of them. `tell`
    hears why one failed, and the seconds until the next.
    Lists are iterators that fetch their pages as they go. `requests` is what devices are asked for, `tokens` what opens
    the service, `webhooks` what is told of jobs. With `team`, one of the token's, all is asked for that team alone.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        timeout_seconds: float = 30.0,
        sleep: Callable[[float], None] = time.sleep,
        attempts: int | None = ATTEMPTS,
        team: str | None = None,
        tell: Callable[[str, float], None] | None = None,
    ) -> None:
        self._transport = Transport(
            url, token, timeout_seconds=timeout_seconds, sleep=sleep, attempts=attempts, team=team, tell=tell
        )
        self.url = self._transport.url
        self.requests = DeviceRequests(self._transport)
        self.tokens = Tokens(self._transport)
        self.webhooks = Webhooks(self._transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._transport.close()

    def ready(self) -> Document:
        """What the service says of its own readiness; raises ProblemError while it is not ready."""
        return cast(Document, self._transport.json("GET", "/readyz"))

    def whoami(self) -> Token:
        """The token that this client shows: whose it is, and what it may do."""
        return cast(Token, self._transport.json("GET", "/v1/tokens/self"))

    def audit(
        self, *, since: datetime | None = None, actor: str | None = None, object: str | None = None
    ) -> Iterator[AuditEntry]:
        """Who wrote what, newest first: from a time on (with its zone), by a token's id or an owner, to the thing of an
        id. Needs the scope admin.
        """
        params = {"since": None if since is None else since.isoformat(), "actor": actor, "object": object}
        return self._transport.items("/v1/audit", params)

    # --- devices and their tables

    def devices(self) -> Iterator[Device]:
        """All devices."""
        return self._transport.items("/v1/devices")

    def device(self, device: str) -> Device:
        """One device, by id or name."""
        return cast(Device, self._transport.json("GET", path_of("devices", device)))

    def create_device(self, name: str, *, description: str = "", labels: Mapping[str, str] | None = None) -> Device:
        """Registers a device."""
        body = {"name": name, "description": description, "labels": dict(labels or {})}
        return cast(Device, self._transport.json("POST", "/v1/devices", json=body))

    def upload_table(self, device: str, content: bytes, *, media_type: str, space: str | None = None) -> Table:
        """Uploads a table for `device`; with `space` it must have all of that space's operators.

        Bytes that begin like gzip are sent as they are, under Content-Encoding gzip. The same content a second time
        gives the table that stands, so it is safe to try again.
        """
        headers = {"Content-Type": media_type}
        if content[:2] == b"\x1f\x8b":
            headers["Content-Encoding"] = "gzip"
        params = {} if space is None else {"space": space}
        path = path_of("devices", device, "tables")
        answer = self._transport.json(
            "POST",
            path,
            content=content,
            headers=headers,
            params=params,
            idempotent=True,
            timeout=self._transport.reading,
        )
        return cast(Table, answer)

    def tables(self, device: str) -> Iterator[Table]:
        """All tables of a device."""
        return self._transport.items(path_of("devices", device, "tables"))

    def table(self, table: str) -> Table:
        """One table."""
        return cast(Table, self._transport.json("GET", path_of("tables", table)))

    def table_rows(self, table: str) -> Iterator[Document]:
        """The rows of a table: an operator and its latency each."""
        return self._transport.items(path_of("tables", table, "rows"), {"limit": 500})

    def coverage(
        self, table: str, space: str, *, precision: Sequence[str] = (), width: Sequence[float] = ()
    ) -> Coverage:
        """Which operators of a space a table has not. `precision` and `width` instead of the space's own."""
        params = {"space": space, "precision": list(precision), "width": list(width)}
        return cast(Coverage, self._transport.json("GET", path_of("tables", table, "coverage"), params=params))

    def heatmap(
        self, table: str, space: str, *, precision: Sequence[str] = (), width: Sequence[float] = ()
    ) -> Document:
        """What each choice of each layer of a space takes by a table."""
        params = {"space": space, "precision": list(precision), "width": list(width)}
        return cast(Document, self._transport.json("GET", path_of("tables", table, "heatmap"), params=params))

    def difference(self, before: str, after: str) -> Document:
        """What changes from one table to another."""
        path = path_of("tables", after, "difference")
        return cast(Document, self._transport.json("GET", path, params={"before": before}))

    def download_table(self, table: str, to: Path, *, format: Literal["csv", "json", "parquet"] = "csv") -> Path:
        """Writes a table to the file `to`."""
        path = f"{path_of('tables', table, 'file')}?format={format}"
        return download(self._transport, path, to, patient=True)  # a Parquet file is written before its first byte

    def add_measurements(self, table: str, document: Mapping[str, Any]) -> Document:
        """Brings whole networks that the table's device timed, all or none, and those that are there already once;
        gives how far the table is off.
        """
        path = path_of("tables", table, "measurements")
        return cast(Document, self._transport.json("POST", path, json=dict(document), timeout=self._transport.reading))

    def measurements(self, table: str) -> Iterator[Document]:
        """The networks that were measured for a table."""
        return self._transport.items(path_of("tables", table, "measurements"))

    # --- spaces and data sets

    def spaces(self) -> Iterator[Document]:
        """All search spaces: those that come with lutnas, and own ones."""
        return self._transport.items("/v1/spaces")

    def space(self, name: str) -> Document:
        """One search space."""
        return cast(Document, self._transport.json("GET", path_of("spaces", name)))

    def create_space(self, document: Mapping[str, Any]) -> Document:
        """Adds a search space of one's own."""
        return cast(Document, self._transport.json("POST", "/v1/spaces", json=dict(document)))

    def operators(
        self, space: str, *, precision: Sequence[str] = (), width: Sequence[float] = (), sparsity: Sequence[str] = (),
        device: str | None = None,
    ) -> list[Operator]:  # fmt: skip
        """Every operator that a device has to be timed on for a space, in these precisions, widths and levels of zeros
        instead of its own where some are given. For a `device`, of its owner's space of that name.
        """
        params: dict[str, Any] = {"precision": list(precision), "width": list(width), "sparsity": list(sparsity)}
        params |= {} if device is None else {"device": device}
        return self._operators(self._transport.json("GET", path_of("spaces", space, "operators"), params=params))

    def sample(
        self, space: str, *, count: int, seed: int = 0, precision: Sequence[str] = (), width: Sequence[float] = (),
        table: str | None = None,
    ) -> Document:  # fmt: skip
        """Architectures of a space drawn evenly: `choices`, and `architectures` with `layers` and `operators` each.
        For a `table`, of its owner's space of that name.
        """
        params = {"count": count, "seed": seed, "precision": list(precision), "width": list(width)}
        params |= {} if table is None else {"table": table}
        answer = self._transport.json("GET", path_of("spaces", space, "architectures"), params=params)
        drawn = [{**one, "operators": self._operators(one)} for one in answer["architectures"]]
        return {**answer, "architectures": drawn}

    def _operators(self, answer: Document) -> list[Operator]:
        try:
            return [Operator(**row) for row in answer["operators"]]
        except (KeyError, TypeError, OperatorError) as error:
            raise self._transport.foreign(f"operators that this version of lutnas cannot read ({error})") from error

    def datasets(self) -> Iterator[Dataset]:
        """All data sets: built-in ones and own ones."""
        return self._transport.items("/v1/datasets")

    def dataset(self, name: str) -> Dataset:
        """One data set."""
        return cast(Dataset, self._transport.json("GET", path_of("datasets", name)))

    def upload_dataset(self, name: str, file: Path) -> Dataset:
        """Uploads a data set: an .npz of arrays, or a .zip, .tar or .tar.gz of a folder of pictures."""
        with file.open("rb") as body:
            parts = {"file": (file.name, body, "application/octet-stream")}
            answer = self._transport.json(
                "POST", "/v1/datasets", data={"name": name}, files=parts, timeout=self._transport.reading
            )
        return cast(Dataset, answer)

    # --- search jobs

    def submit(self, spec: Mapping[str, Any], *, idempotency_key: str | None = None) -> Job:
        """Submits a search job. A key of its own makes it safe to try again; give one to be safe across processes."""
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        return self._job("/v1/search-jobs", json=dict(spec), headers=headers)

    def validate(self, spec: Mapping[str, Any]) -> Validation:
        """What the service would say to a job: errors, what can be reached, what it takes. Nothing is submitted."""
        answer = self._weighed("/v1/search-jobs/validate", json=dict(spec))
        return cast(Validation, answer)

    def jobs(self, *, state: str | None = None, label: str | None = None) -> Iterator[Job]:
        """All jobs, newest first; of one `state`, or with one `label` (written name:value)."""
        return self._transport.items("/v1/search-jobs", {"state": state, "label": label})

    def job(self, job: str) -> Job:
        """One job."""
        return cast(Job, self._transport.json("GET", path_of("search-jobs", job)))

    def cancel(self, job: str) -> Job:
        """Asks for a job's end; a running one ends at its next step."""
        return cast(Job, self._transport.json("POST", path_of("search-jobs", job, "cancel")))

    def pause(self, job: str) -> Job:
        """Asks a job to stop at its next step and keep its checkpoint."""
        return cast(Job, self._transport.json("POST", path_of("search-jobs", job, "pause")))

    def resume(self, job: str) -> Job:
        """Queues a paused job again."""
        return cast(Job, self._transport.json("POST", path_of("search-jobs", job, "resume")))

    def derive(
        self, job: str, constraints: Iterable[Mapping[str, Any]], *, count: int = 1, front: bool = False
    ) -> Derivation:
        """The `count` best architectures under other constraints, from a search that is done: nothing is trained.

        With `front` the front of worth against the first constraint instead.
        """
        body = {"constraints": [dict(one) for one in constraints], **({"front": True} if front else {"count": count})}
        answer = self._weighed(path_of("search-jobs", job, "derive"), json=body)
        return cast(Derivation, answer)

    def reproduce(self, job: str, *, idempotency_key: str | None = None) -> Job:
        """Submits a job that succeeded once more, with exactly its inputs. A key as for `submit`."""
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        path = path_of("search-jobs", job, "reproduce")
        return self._job(path, headers=headers)

    def extend(
        self, job: str, *, finish_epochs: int, lr: float | None = None, idempotency_key: str | None = None
    ) -> Job:
        """Submits a job that trains the network of one that succeeded for so many more epochs; `lr` is where its cosine
        begins, by default 0.3 times that of the search. A key as for `submit`.
        """
        body = {"finish_epochs": finish_epochs, **({} if lr is None else {"lr": lr})}
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        path = path_of("search-jobs", job, "extend")
        return self._job(path, json=body, headers=headers)

    def clone(self, job: str, patch: Mapping[str, Any] | None = None, *, idempotency_key: str | None = None) -> Job:
        """Submits a job's document once more, changed by a JSON merge patch, with the inputs of today. A key as for
        `submit`.
        """
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        path = path_of("search-jobs", job, "clone")
        return self._job(path, json=dict(patch or {}), headers=headers)

    def _job(self, path: str, **arguments: Any) -> Job:
        return cast(Job, self._weighed(path, **arguments))

    def _weighed(self, path: str, **arguments: Any) -> Any:
        """What the service answers once it has proven what can be reached, for which it takes half a minute or more."""
        return self._transport.json("POST", path, idempotent=True, timeout=self._transport.proving, **arguments)

    def reproduction(self, job: str) -> Reproduction:
        """Whether a job that repeats another came out the same."""
        return cast(Reproduction, self._transport.json("GET", path_of("search-jobs", job, "reproduction")))

    def events(self, job: str, *, after: int = 0, patience_seconds: float = 120.0) -> Iterator[Event]:
        """The events of a job as they happen, up to its final one; see `lutnas.client.events.follow`."""
        return events.follow(self._transport, job, after=after, patience_seconds=patience_seconds)

    def told(self, job: str, *, after: int = 0) -> Iterator[Event]:
        """The events that a job has had after number `after`, without waiting for more."""
        return self._transport.items(path_of("search-jobs", job, "events"), {"after": after}, place="after")

    def attempts(self, job: str) -> Iterator[Attempt]:
        """Who tried to carry a job out, first to last, and how each attempt ended."""
        return self._transport.items(path_of("search-jobs", job, "attempts"))

    def log(self, job: str, attempt: int) -> str:
        """What the worker logged during an attempt of a job."""
        return self._transport.request("GET", path_of("search-jobs", job, "attempts", str(attempt), "log")).text

    def comparison(self, job: str) -> Iterator[ComparedNetwork]:
        """The networks that a job compares, which several workers may share, and how far each is."""
        return self._transport.items(path_of("search-jobs", job, "comparison"))

    def job_artifacts(self, job: str) -> Iterator[Artifact]:
        """The files that a job left."""
        return self._transport.items(path_of("search-jobs", job, "artifacts"))

    # --- architectures and their files

    def architectures(self) -> Iterator[Architecture]:
        """All derived architectures."""
        return self._transport.items("/v1/architectures")

    def architecture(self, architecture: str) -> Architecture:
        """One derived architecture."""
        return cast(Architecture, self._transport.json("GET", path_of("architectures", architecture)))

    def add_measured_latency(self, architecture: str, document: Mapping[str, Any]) -> Architecture:
        """Tells what an architecture took on a device."""
        path = path_of("architectures", architecture, "measurements")
        return cast(Architecture, self._transport.json("POST", path, json=dict(document)))

    def download(self, artifact: Artifact, folder: Path, *, on_bytes: Callable[[int], None] | None = None) -> Path:
        """Puts an artifact into `folder` under its own name; raises ChecksumError where the bytes are others."""
        name = artifact["name"]
        if name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
            raise self._transport.foreign(f"{name!r} as the name of a file")
        path = path_of("artifacts", artifact["id"], "content")
        return download(self._transport, path, folder / name, sha256=artifact["sha256"], on_bytes=on_bytes)
