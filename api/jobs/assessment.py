"""What was found out about something asked for: all that is wrong with it goes into one answer.

Errors:
    JobRefused (DomainError)   422  the slug of what is wrong, or job-refused where several things are
"""

from dataclasses import dataclass, field
from typing import Any

from api.architectures.models import DerivedArchitecture
from api.artifacts.models import Artifact
from api.datasets.schemas import DatasetView
from api.errors import DomainError, FieldProblem
from api.tables.models import Table
from search.budget import Budget
from search.space import Space


class JobRefused(DomainError):
    """The job, or what was asked of it, cannot be done as it stands."""

    status = 422
    slug = "job-refused"
    title = "Job refused"


@dataclass
class Assessment:
    """`errors` pairs each with the slug of its kind; without any the job can run.

    `tables` and `budgets` are by the number of their constraint; only those of constraints in which nothing is wrong.
    """

    space: Space | None = None
    dataset: DatasetView | None = None
    pretrained: Artifact | None = None
    architecture: DerivedArchitecture | None = None
    tables: dict[int, Table] = field(default_factory=dict)
    budgets: dict[int, Budget] = field(default_factory=dict)
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
