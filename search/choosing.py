"""From a finished search to the one architecture that is derived: finalists are scored, the best are tried, one is
measured where there is a device, and while it takes too much there, budgets are tightened and it all begins anew.
"""

from collections.abc import Iterator, Sequence
from functools import partial

from search.architecture import Architecture
from search.assessing import Assessor
from search.batches import training_part
from search.budget import Indices, Matrix
from search.datasets.data import ImageData
from search.derive import Budget
from search.evidence import Evidence
from search.finalists import to_try
from search.finish import network_to_train
from search.measuring import Measure, Measuring
from search.reports import StepReport
from search.searcher import Searcher
from search.spec import SearchSpec
from search.state import State
from search.task import Task
from search.trials import Finalist, Trials


class Choosing:
    """Chooses among the finalists of `searcher`: an iterator of step reports, and `state_dict()` between any two."""

    def __init__(
        self, spec: SearchSpec, *, searcher: Searcher, data: ImageData, budgets: Sequence[Budget], task: Task,
        measure: Measure | None = None,
    ) -> None:  # fmt: skip
        self.spec, self.searcher, self.data, self.task = spec, searcher, data, task
        self.measuring = Measuring(budgets, measure)
        self.assessor: Assessor | None = None
        self.evidence: Evidence | None = None
        self.trials: Trials | None = None

    def __iter__(self) -> Iterator[StepReport]:
        """Does what remains. Raises OverBudget, Unreachable."""
        while not self.measuring.holds:
            self.assessor = self.assessor or self._start_assessing()
            yield from self.assessor
            self.evidence = self.evidence or self.assessor.evidence()
            self.trials = self.trials or self._start_trials(self.assessor)
            yield from self.trials or ()
            report = self.measuring.judge(self.best(), self.searcher.supernet.inherit)
            if not self.measuring.holds:
                self.assessor.reopen(self._finalists)  # budgets are tighter now
                self.trials = None
            if report is not None:
                yield report

    def best(self) -> Indices:
        """The finalist that is best as far as it went."""
        if self.trials is not None:
            return self.trials.best().architecture.indices
        assert self.assessor is not None
        return self.assessor.best()

    def _start_assessing(self) -> Assessor:
        return Assessor(
            self.searcher.supernet,
            held_out=self.searcher.theta_batches,
            samples=self.spec.search.evidence_samples,
            propose=self._finalists,
            most=self.spec.finalists,
            seed=self.spec.seed,
            task=self.task,
            knows_costs=self.searcher.knows_costs,
        )

    def _finalists(self, contributions: Matrix | None) -> list[Indices]:
        return self.searcher.finalists(self.spec.finalists, self.measuring.bounds, contributions)

    def _start_trials(self, assessor: Assessor) -> Trials | None:
        """None where the job tries nobody, or a tight budget leaves one finalist alone."""
        scores = assessor.ranked()
        tried = to_try(self.searcher.space, scores, self.spec.tried)
        plan = self.spec.trials.plan(len(tried))
        if not plan:
            return None
        return Trials(
            [self._finalist(indices, scores[indices]) for indices in tried],
            data=training_part(self.data, self.searcher.weight_batches),
            held_out=self.searcher.theta_batches,
            plan=plan,
            settings=self.spec.finish,
            seed=self.spec.seed,
            task=self.task,
        )

    def _finalist(self, indices: Indices, score: float) -> Finalist:
        architecture = Architecture.from_indices(self.searcher.space, indices)
        inherit = partial(self.searcher.supernet.inherit, indices)
        start = partial(network_to_train, self.spec.finish, architecture, inherit, seed=self.spec.seed, task=self.task)
        return Finalist(architecture, start, score)

    @property
    def steps_left(self) -> dict[str, int]:
        """Steps that remain of each phase. Finalists that a device refuses are not foreseen."""
        scoring, tried = {"draw": self.spec.search.evidence_samples, "assess": self.spec.finalists}, self.spec.tried
        if self.assessor is not None:
            scoring = self.assessor.steps_left
            if self.assessor.finalists is not None:  # a tight budget may leave fewer than the job tries
                tried = min(tried, len(self.assessor.finalists))
        batches = max(1, len(self.searcher.weight_batches.y_N) // self.spec.finish.batch_size)
        done = self.trials.step if self.trials else 0
        return {**scoring, "trial": self.spec.trials.epochs_of(tried) * batches - done}

    def state_dict(self) -> State:
        """All that the remaining choice depends on, beside the searcher."""
        return {
            "assessor": None if self.assessor is None else self.assessor.state_dict(),
            "evidence": None if self.evidence is None else self.evidence.model_dump_json(),
            "trials": None if self.trials is None else self.trials.state_dict(),
            **self.measuring.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        """Goes on where `state_dict` was taken, bit for bit; the searcher has its own state by then."""
        self.evidence = Evidence.model_validate_json(state["evidence"]) if state["evidence"] else None
        self.measuring.load_state_dict(state)
        if state["assessor"] is not None:
            self.assessor = self._start_assessing()
            self.assessor.load_state_dict(state["assessor"])
            if state["trials"] is not None:
                self.trials = self._start_trials(self.assessor)
                assert self.trials is not None, "who was tried once is tried again"
                self.trials.load_state_dict(state["trials"])
