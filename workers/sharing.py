"""A job's comparison, shared out by its own attempt: rows for other workers, their results, and what that leaves to do.

The attempt trains networks of it as every other worker does, so that one worker alone does all of them, and several do
them sooner. What comes out is the same to the bit: a network follows from what was learnt and from its seed.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy.orm import Session

from api.artifacts.store import StoredFile
from api.db.session import Database
from api.jobs import sharing as door
from api.jobs.lease import Lease
from search.comparison import Comparison
from search.report.compared import ComparedRun
from search.reports import StepReport


class Sharing:
    """The attempt's side of it. Every call of the database raises LeaseLost where that is gone."""

    def __init__(
        self,
        database: Database,
        lease: Lease,
        comparison: Comparison,
        *,
        environment: dict[str, Any],
        max_attempts: int,
    ) -> None:
        self.database, self.lease, self.comparison = database, lease, comparison
        self.environment, self.max_attempts = environment, max_attempts
        self.mine: int | None = None  # the network that the attempt trains
        self.told = 0  # steps that the job's progress has
        self._elsewhere: Mapping[int, int] = {}

    @property
    def is_done(self) -> bool:
        """Whether every network is."""
        return len(self.comparison.compared) == len(self.comparison.plan)

    @property
    def steps_left(self) -> int:
        """As many as one worker would have to do, where the workers of this moment go on to share the rest. The network
        that has most before it is not shared.
        """
        comparison = self.comparison
        numbers = range(1, len(comparison.plan) + 1)
        left = [comparison.steps_of(number) - comparison.steps_done(number) for number in numbers]
        return max(*left, -(-sum(left) // max(1, self._workers)))

    @property
    def _workers(self) -> int:
        return len(self._elsewhere) + (self.mine is not None)

    def is_shared_out(self) -> bool:
        """Whether an earlier attempt made the rows."""
        with self.database.write() as session:
            return door.is_shared_out(session, self.lease)

    def share_out(self, session: Session, checkpoint: StoredFile) -> list[str]:
        """Makes the rows, with the checkpoint that others begin from. Gives paths that nothing names any more."""
        comparison = self.comparison
        networks = [
            door.NewNetwork(
                method=planned.method, share=planned.point.share, seed=planned.seed, steps=comparison.steps_of(number),
                result=_as_json(comparison.result(number)),
            )
            for number, planned in enumerate(comparison.plan, start=1)
        ]  # fmt: skip
        return door.share_out(session, self.lease, networks, step=comparison.step, checkpoint=checkpoint)

    def take(self) -> int | None:
        """The network to train next, and what came of others; None where all that are left are trained elsewhere."""
        comparison = self.comparison
        known = [number for number in range(1, len(comparison.plan) + 1) if comparison.result(number) is not None]
        with self.database.write() as session:
            found = door.take(
                session, self.lease, first=comparison.number, known=known, environment=self.environment,
                max_attempts=self.max_attempts,
            )  # fmt: skip
        for number, result in found.results.items():
            comparison.take(number, ComparedRun.model_validate(result))
        self.mine = found.mine
        self._hear(found.others)
        return self.mine

    def finish(self) -> None:
        """The attempt's network is done."""
        assert self.mine is not None
        result = _as_json(self.comparison.result(self.mine))
        assert result is not None
        with self.database.write() as session:
            door.finish(session, self.lease, number=self.mine, result=result)
        self.mine = None

    def standing(self) -> StepReport:
        """How far all of it is."""
        return StepReport("compare", self.comparison.step, self.comparison.steps)

    def heard(self, report: StepReport) -> StepReport:
        """The same, with the steps that all workers have done until now. They do not become fewer where a worker was
        lost and its network is begun anew.
        """
        if self.mine is not None:
            step = self.comparison.steps_done(self.mine)
            with self.database.write() as session:
                self._hear(door.note(session, self.lease, number=self.mine, step=step))
        self.told = max(self.told, self.comparison.step)
        shared = {"workers": self._workers} if self._workers > 1 else {}
        return replace(report, step=self.told, data={**report.data, **shared})

    def _hear(self, elsewhere: Mapping[int, int]) -> None:
        self._elsewhere = elsewhere
        self.comparison.hear(elsewhere)


def _as_json(run: ComparedRun | None) -> dict[str, Any] | None:
    return None if run is None else run.model_dump(mode="json")
