"""What a job needs, looked up before anything is spent: all that is wrong is told in one answer.

Errors:
    JobRefused (DomainError)   422  the slug of what is wrong, or job-refused where several things are
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from api.datasets import service as datasets
from api.datasets.schemas import DatasetView
from api.devices import service as devices
from api.errors import DomainError, FieldProblem
from api.jobs.feasibility import are_reachable_together, reachable
from api.spaces import service as spaces
from api.tables import service as tables
from api.tables.models import Table
from api.tables.rows import load_entries, operator_json
from latency.table import LatencyTable
from search.constraints import LatencyConstraint
from search.space import Space
from search.spec import SearchSpec


class JobRefused(DomainError):
    """The job cannot be run as it stands."""

    status = 422
    slug = "job-refused"
    title = "Job refused"


@dataclass
class Assessment:
    """What was found out about a spec. `errors` pairs each with the slug of its kind; without any the job can run."""

    space: Space | None = None
    dataset: DatasetView | None = None
    tables: list[Table] = field(default_factory=list)
    reachable: list[dict[str, Any]] = field(default_factory=list)
    missing: list[dict[str, Any]] = field(default_factory=list)
    errors: list[tuple[str, FieldProblem]] = field(default_factory=list)

    def refuse(self, slug: str, place: str, detail: str) -> None:
        """Notes something that is wrong."""
        self.errors.append((slug, FieldProblem(place, detail)))

    def raise_any(self) -> None:
        """Raises JobRefused if something is wrong."""
        if not self.errors:
            return
        more: dict[str, Any] = {"reachable": self.reachable} if self.reachable else {}
        if self.missing:
            more["missing"] = self.missing
        wrong = [problem for _, problem in self.errors]
        error = JobRefused("; ".join(f"{w.field}: {w.detail}" for w in wrong), errors=wrong, **more)
        slugs = {slug for slug, _ in self.errors}
        if len(slugs) == 1:
            error.slug = slugs.pop()
        raise error


def assess(session: Session, owner: str, spec: SearchSpec) -> Assessment:
    """Looks up all that `spec` names and whether its budgets can be held."""
    found = Assessment(
        space=spaces.find(session, owner, spec.space), dataset=datasets.describe(session, owner, spec.dataset)
    )
    if found.space is None:
        found.refuse("unknown-space", "space", f"there is no space {spec.space!r}; GET /v1/spaces lists them")
    if found.dataset is None:
        found.refuse(
            "unknown-dataset", "dataset", f"there is no data set {spec.dataset!r}; GET /v1/datasets lists them"
        )
    if found.space is not None and found.dataset is not None:
        _fit(found, found.space, found.dataset)
    priced = [_constraint(session, owner, found, number, c) for number, c in enumerate(spec.constraints)]
    entries = [table for table in priced if table is not None]
    if found.space is not None and not found.errors and len(entries) > 1:
        maxima = [constraint.max_us for constraint in spec.constraints]
        if not are_reachable_together(entries, maxima, found.space):
            each = ", ".join(f"{r['device']} from {r['min_us']:g} us" for r in found.reachable)
            found.refuse(
                "unreachable-budget", "constraints",
                f"each can be held alone ({each}), but no architecture holds all: raise one of them",
            )  # fmt: skip
    return found


def _fit(found: Assessment, space: Space, dataset: DatasetView) -> None:
    if space.input != dataset.input:
        found.refuse(
            "space-does-not-fit", "space",
            f"{space.name} takes pictures of {space.input}, those of {dataset.name} are {dataset.input}: "
            "POST a space of that shape",
        )  # fmt: skip
    if space.classes != dataset.classes:
        found.refuse(
            "space-does-not-fit", "space",
            f"{space.name} tells {space.classes} classes apart, {dataset.name} has {dataset.classes}: "
            "POST a space with as many",
        )  # fmt: skip


def _constraint(
    session: Session, owner: str, found: Assessment, number: int, constraint: LatencyConstraint
) -> LatencyTable | None:
    """The part of the constraint's table that the space needs; notes what is wrong and gives None then."""
    table = _table(session, owner, found, f"constraints[{number}]", constraint)
    if table is None:
        return None
    found.tables.append(table)
    space = found.space
    if space is None:
        return None
    needed = list(space.operators())
    entries = load_entries(session, table, needed)
    missing = entries.missing(needed)
    if missing:
        shown = ", ".join(operator.key for operator in missing[:3]) + (" ..." if len(missing) > 3 else "")
        found.refuse(
            "space-not-covered", f"constraints[{number}].device",
            f"the table {table.id} of {constraint.device} lacks {len(missing)} operators of the space {space.name}: "
            f"{shown}; profile them and upload the table again",
        )  # fmt: skip
        named = {"device": constraint.device, "table": table.id}
        found.missing += [{**named, **operator_json(operator)} for operator in missing]
        return None
    reach = reachable(entries, space)
    found.reachable.append(
        {"device": constraint.device, "table": table.id, "min_us": reach.min_us, "max_us": reach.max_us}
    )
    if constraint.max_us < reach.min_us:
        found.refuse(
            "unreachable-budget", f"constraints[{number}].max_us",
            f"{constraint.max_us:g} us cannot be reached on {constraint.device}: by its table architectures of "
            f"{space.name} take {reach.min_us:.6g} to {reach.max_us:.6g} us",
        )  # fmt: skip
    return entries


def _table(session: Session, owner: str, found: Assessment, place: str, constraint: LatencyConstraint) -> Table | None:
    device = devices.find(session, owner, constraint.device)
    if device is None:
        detail = f"there is no device {constraint.device!r}; POST /v1/devices registers one, and its table comes next"
        found.refuse("unknown-device", f"{place}.device", detail)
        return None
    there = tables.of_device(session, device)
    if constraint.table is None and len(there) == 1:
        return there[0]
    if constraint.table is not None:
        named = [table for table in there if table.id == constraint.table]
        if named:
            return named[0]
        detail = f"{constraint.device} has no table {constraint.table!r}; it has {_listed(there)}"
        found.refuse("unknown-table", f"{place}.table", detail)
        return None
    if not there:
        detail = f"{constraint.device} has no table yet: POST one to /v1/devices/{constraint.device}/tables"
        found.refuse("no-table", f"{place}.device", detail)
    else:
        found.refuse(
            "table-not-named", f"{place}.table", f"{constraint.device} has several tables, name one: {_listed(there)}"
        )
    return None


def _listed(there: Iterable[Table]) -> str:
    shown = [f"{t.id} (version {t.version}: {t.runtime}, {t.threads} threads, batch {t.batch})" for t in there]
    return ", ".join(shown[-10:]) or "none"
