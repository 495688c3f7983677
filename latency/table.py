"""Latency lookup tables: what each operator costs on one device, how it was measured, and what a table lacks.

Errors:
    MissingOperator (LookupError)    a table has no entry for an operator; `.operator` is it
    FieldError (ValueError)          a value that no table can have; `.field` names it
"""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property
from operator import attrgetter
from types import MappingProxyType
from typing import Literal, NamedTuple, get_args

from latency.operator import Operator

Provenance = Literal["measured", "published", "simulated"]
PROVENANCES: tuple[str, ...] = get_args(Provenance)
NOISY = 0.3  # relative spread above which an entry deserves a second look
LEAST, GREATEST = 1e-9, 1e15  # of what is not 0: ratios of any two stay numbers
_FLOAT_FIELDS = ("latency_us", "p10_us", "p90_us", "energy_uj")
_floats = attrgetter(*_FLOAT_FIELDS)


class MissingOperator(LookupError):
    """A table has no entry for `operator`."""

    def __init__(self, operator: Operator, device: str) -> None:
        super().__init__(f"the table of {device} has no entry for {operator.key}: profile it, or take another space")
        self.operator = operator


class FieldError(ValueError):
    """A value that no table can have; `field` names where it stands."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


@dataclass(frozen=True, slots=True, kw_only=True)
class TableInfo:
    """What holds for a whole table: where and how it was measured. Texts are single lines; `measured_at` has a zone."""

    device: str
    runtime: str
    threads: int
    batch: int
    runtime_version: str = ""
    measured_at: datetime | None = None
    note: str = ""

    def __post_init__(self) -> None:
        for name in ("device", "runtime", "runtime_version", "note"):
            text = getattr(self, name)
            if not text.isprintable() or text != text.strip() or len(text) > 2000:
                raise FieldError(name, "must be one line of at most 2000 printable characters without blanks around it")
        for name in ("device", "runtime"):
            if not getattr(self, name):
                raise FieldError(name, "is missing")
        for name in ("threads", "batch"):
            if not 1 <= getattr(self, name) < 2**31:
                raise FieldError(name, f"{getattr(self, name)} is not at least 1")
        if self.measured_at is not None and self.measured_at.tzinfo is None:
            raise FieldError("measured_at", "has no time zone: write it as in 2026-11-23T09:00:00Z")


@dataclass(frozen=True, slots=True)
class Entry:
    """What one operator costs, in microseconds and microjoules. None and 0 `samples` stand for: not known.

    `p10_us` and `p90_us` are the spread of the measurements that `latency_us` comes from.
    """

    latency_us: float
    p10_us: float | None = None
    p90_us: float | None = None
    samples: int = 0
    provenance: Provenance = "measured"
    energy_uj: float | None = None

    def __post_init__(self) -> None:
        for name, value in zip(_FLOAT_FIELDS, _floats(self), strict=True):
            if value is not None and not math.isfinite(value):
                raise FieldError(name, f"{value} is not a finite number")
            if value is not None and value < 0:
                raise FieldError(name, f"{value} is negative")
            if value and not LEAST <= value <= GREATEST:
                raise FieldError(name, f"{value} is not between {LEAST:g} and {GREATEST:g}, as on any device")
        if self.p10_us is not None and self.p90_us is not None and self.p10_us > self.p90_us:
            raise FieldError("p10_us", f"{self.p10_us} is above p90_us {self.p90_us}")
        if self.samples < 0:
            raise FieldError("samples", f"{self.samples} is negative")
        if self.provenance not in PROVENANCES:
            raise FieldError("provenance", f"{self.provenance!r} is none of {', '.join(PROVENANCES)}")

    @property
    def relative_spread(self) -> float:
        """(p90 - p10) / latency; 0 where one of them is not known or the latency is 0."""
        if self.p10_us is None or self.p90_us is None or not self.latency_us:
            return 0.0
        return (self.p90_us - self.p10_us) / self.latency_us


def _written(value: float | None) -> str:
    return "null" if value is None else repr(float(value) + 0.0)  # -0.0 and 0.0 are one latency too


class Change(NamedTuple):
    """An operator that two tables give different latencies."""

    operator: Operator
    before_us: float
    after_us: float


class Difference(NamedTuple):
    """What a table has that another lacks, the reverse, and what both have with different latencies; sorted."""

    added: list[Operator]
    removed: list[Operator]
    changed: list[Change]


class ContentHash:
    """The hash of a table whose rows arrive one by one, in any order: equal for equal tables.

    `note` and `measured_at` do not count: the same rows uploaded twice are the same table.
    """

    def __init__(self, info: TableInfo) -> None:
        self._head = [info.device, info.runtime, info.runtime_version, info.threads, info.batch]
        self._rows: list[bytes] = []

    def add(self, operator: Operator, entry: Entry) -> None:
        """Takes in one row."""
        o, e = operator, entry
        # Written as `json.dumps` would, at a third of the time: names of kinds, patterns and origins are plain words.
        # 13 and 13.0 are one latency, and the repr gives a float back exactly.
        canonical = (
            f'["{o.kind}", {o.h}, {o.w}, {o.c_in}, {o.c_mid}, {o.c_out}, {o.stride}, {o.kernel}, {o.groups}, '
            f'{o.weight_bits}, {o.activation_bits}, "{o.pattern}", {e.samples}, "{e.provenance}", '
            f"{_written(o.sparsity)}, {_written(e.latency_us)}, {_written(e.p10_us)}, {_written(e.p90_us)}, "
            f"{_written(e.energy_uj)}]"
        )
        self._rows.append(hashlib.sha256(canonical.encode()).digest())

    def hexdigest(self) -> str:
        """sha256 in hex."""
        digest = hashlib.sha256(json.dumps(self._head).encode())
        for row in sorted(self._rows):
            digest.update(row)
        return digest.hexdigest()


class LatencyTable:
    """An immutable table of one device: `info`, and an entry for each operator."""

    def __init__(self, info: TableInfo, entries: Mapping[Operator, Entry] | Iterable[tuple[Operator, Entry]]) -> None:
        self.info = info
        self.entries: Mapping[Operator, Entry] = MappingProxyType(dict(entries))

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Operator]:
        return iter(self.entries)

    def __contains__(self, operator: object) -> bool:
        return operator in self.entries

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LatencyTable) and self.info == other.info and self.entries == other.entries

    def __hash__(self) -> int:
        return hash(self.content_hash)

    def __repr__(self) -> str:
        return f"LatencyTable({self.info.device!r}, {len(self)} operators)"

    def latency_us(self, operator: Operator) -> float:
        """Latency of `operator`; an identity without an entry costs nothing, nor do boundaries where the table knows
        none at all. Raises MissingOperator.
        """
        entry = self.entries.get(operator)
        if entry is not None:
            return entry.latency_us
        if self.holds_free(operator):
            return 0.0
        raise MissingOperator(operator, self.info.device)

    def missing(self, operators: Iterable[Operator]) -> list[Operator]:
        """Those of `operators` that the table cannot answer for, each once, in their order."""
        return [o for o in dict.fromkeys(operators) if o not in self.entries and not self.holds_free(o)]

    def holds_free(self, operator: Operator) -> bool:
        """Whether `operator` costs nothing where there is no entry for it."""
        return operator.is_identity or (operator.kind == "boundary" and not self._knows_boundaries)

    @cached_property
    def _knows_boundaries(self) -> bool:
        return any(operator.kind == "boundary" for operator in self.entries)

    def noisy(self, spread: float = NOISY) -> list[Operator]:
        """Operators whose measurements spread by more than `spread` of their latency."""
        return [o for o, entry in self.entries.items() if entry.relative_spread > spread]

    def difference(self, other: "LatencyTable") -> Difference:
        """What changes from `other` to this table."""
        both = self.entries.keys() & other.entries.keys()
        pairs = ((o, other.entries[o].latency_us, self.entries[o].latency_us) for o in sorted(both))
        return Difference(
            added=sorted(self.entries.keys() - both),
            removed=sorted(other.entries.keys() - both),
            changed=[Change(o, before, after) for o, before, after in pairs if before != after],
        )

    @cached_property
    def content_hash(self) -> str:
        """sha256 in hex of what counts: rows and device, runtime, threads, batch. Row order does not."""
        content = ContentHash(self.info)
        for operator, entry in self.entries.items():
            content.add(operator, entry)
        return content.hexdigest()


def info_fields(info: TableInfo) -> dict[str, str | int]:
    """What is known of `info` as plain values, `measured_at` in RFC 3339; what is empty is left away."""
    known = {name: value for name, value in asdict(info).items() if value not in ("", None)}
    if info.measured_at is not None:
        known["measured_at"] = info.measured_at.isoformat().replace("+00:00", "Z")
    return known
