"""New budgets for a search that is done: answered from what it has learnt, nothing trained, nothing written.

JobNotSucceeded (DomainError)   409  job-not-succeeded: there is nothing to answer from yet, or never will be
NoEvidence (DomainError)        409  no-evidence: the job left none that can be read
JobRefused (DomainError)        422  see api.jobs.assessment
TooHard (RuntimeError)          422  too-hard: see search.budget, api.problems
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from api.architectures.layers import layer_rows
from api.artifacts import service as artifacts
from api.artifacts.store import ArtifactStore, StoreAway, StoreError
from api.auth.callers import Owner
from api.errors import DomainError
from api.jobs.assessment import Assessment
from api.jobs.deriving import deriving
from api.jobs.feasibility import assess_constraints
from api.jobs.models import FINAL, SUCCEEDED, SearchJob
from api.tables.rows import load_entries
from latency.table import LatencyTable
from search.constraints import Constraint, names_of
from search.report.figures import figure_row

if TYPE_CHECKING:
    from search.evidence import Evidence, Ranked

EVIDENCE = "evidence.json"
POINTS = 12  # of a front


class JobNotSucceeded(DomainError):
    """The job has not come to a result."""

    status = 409
    slug = "job-not-succeeded"
    title = "Job has not succeeded"


class NoEvidence(DomainError):
    """The job left no evidence."""

    status = 409
    slug = "no-evidence"
    title = "No evidence"


@dataclass(frozen=True, slots=True)
class Question:
    """A finished search's evidence, with what its user's new constraints come to."""

    evidence: "Evidence"
    constraints: tuple[Constraint, ...]
    found: Assessment
    table: LatencyTable | None

    def answer(self, *, count: int, front: bool) -> dict[str, Any]:
        """A `DerivationView` as JSON: the `count` best architectures, or the front against the first constraint."""
        budgets = [self.found.budgets[number] for number in range(len(self.constraints))]
        evidence = self.evidence
        with deriving():
            ranked = evidence.front(budgets, points=POINTS) if front else evidence.rank(budgets, count)
        names = names_of(self.constraints)
        return {
            "samples": evidence.samples, "rank_correlation": evidence.rank_correlation, "note": evidence.note,
            "reachable": self.found.reachable,
            "architectures": [self._row(one, names) for one in ranked],
        }  # fmt: skip

    def _row(self, ranked: "Ranked", names: Sequence[str]) -> dict[str, Any]:
        triples = zip(names, self.constraints, ranked.totals, strict=True)
        return {
            "candidates": [choice.name for choice in ranked.architecture.layers], "worth": ranked.worth,
            "predicted": [figure_row(*triple) for triple in triples],
            "layers": layer_rows(ranked.architecture, self.table),
        }  # fmt: skip


def ask(session: Session, store: ArtifactStore, job: SearchJob, constraints: tuple[Constraint, ...]) -> Question:
    """What is needed to answer, without the session from then on. Raises JobNotSucceeded, NoEvidence, JobRefused."""
    evidence = _evidence(session, store, job)
    found = Assessment(space=evidence.space)
    assess_constraints(session, Owner(job.owner), found, constraints)
    found.raise_any()
    table = None
    if found.tables:
        first = found.tables[min(found.tables)]
        table = load_entries(session, first, list(evidence.space.operators(identities=True)))
    return Question(evidence, constraints, found, table)


def _evidence(session: Session, store: ArtifactStore, job: SearchJob) -> "Evidence":
    from search.evidence import Evidence  # loads scipy, which most requests do not need

    if job.state != SUCCEEDED:
        then = "submit it again" if job.state in FINAL else "ask again when it has succeeded"
        raise JobNotSucceeded(f"The job {job.id} is {job.state}, so nothing is known of its choices: {then}.")
    kept = [artifact for artifact in artifacts.of_job(session, job.id) if artifact.name == EVIDENCE]
    if job.extends is not None:
        raise NoEvidence(f"The job {job.id} searched nothing: ask {job.extends}, whose network it trains on.")
    if not kept:
        raise NoEvidence(f"The job {job.id} left no {EVIDENCE}, as jobs did not always: submit it again.")
    try:
        return Evidence.model_validate_json(store.read(kept[0].path))
    except StoreAway:
        raise
    except (StoreError, ValueError) as error:
        raise NoEvidence(f"The {EVIDENCE} of the job {job.id} cannot be read: {error}") from error
