"""What a finished search is worth beside others: the same search at tighter budgets, and baselines at all of them.

Every network is trained as the job's own was, from the supernet's weights or from new ones, and judged on the same test
pictures before and after it (ShrinkBench: Blalock 2020, sec. 6: several operating points, several seeds, before and
after). The job's own network stands first and is not trained again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import NamedTuple

from search.baselines import BASELINES
from search.baselines.methods import METHODS, PROPOSALS, Learnt, Setting, finish_of
from search.baselines.near import best_near
from search.baselines.setting import Proposal
from search.budget import Budget
from search.datasets.data import ImageData
from search.finish import Quality, Trainer, quality_of
from search.network import Network
from search.points import Point, operating_points
from search.report.compared import SEARCHED, ComparedRun
from search.reports import StepReport
from search.spec import SearchSpec
from search.state import State, StateError
from search.task import CLASSIFICATION, Task

FORMAT = 2  # of `state_dict`: another one was written by another version


class Planned(NamedTuple):
    """One network of a comparison. `seed` is added to the job's."""

    method: str
    point: Point
    seed: int


class Comparison:
    """Trains what is compared with `own`, whose training is done: an iterator of step reports, and `state_dict()`
    between any two. `compared` is what is done so far.

    Each network follows from what was learnt, the job's own architecture and its seed, and from no other network of
    the plan. So `train` may do one here while others are done elsewhere: `hear` takes in how far those are, `take`
    what came of them. Networks are numbered from 1 in the order of the plan.
    """

    def __init__(
        self, spec: SearchSpec, *, learnt: Learnt, own: Trainer, budgets: Sequence[Budget], data: ImageData,
        task: Task = CLASSIFICATION,
    ) -> None:  # fmt: skip
        self.spec, self.learnt, self.own, self.data, self.task = spec, learnt, own, data, task
        self.budgets = tuple(budgets)
        wanted = spec.comparison
        points = operating_points(budgets, wanted.points)
        methods = (SEARCHED, *spec.baselines)
        self.plan = [Planned(m, p, seed) for m in methods for p in points for seed in range(wanted.seeds)]
        self.steps = spec.compare_steps(len(own.batches))
        self.number: int | None = None  # of the network that is under way here
        self.proposal: Proposal | None = None  # what learns which network that is
        self.trainer: Trainer | None = None  # of it
        self.before: Quality | None = None  # how good it is without training
        self._done: dict[int, ComparedRun] = {}
        self._steps_done: dict[int, int] = {}  # of each network that was begun, here or elsewhere

    def __iter__(self) -> Iterator[StepReport]:
        """Does what remains, in the order of the plan: a report for each training step, and one more for each network
        once it is judged. Raises FloatingPointError where a loss is no number.
        """
        for number in range(1, len(self.plan) + 1):
            yield from self.train(number)

    def train(self, number: int) -> Iterator[StepReport]:
        """Does what remains of one network. Where another one was under way here, that one is to be begun anew."""
        if number in self._done:
            return
        if number != self.number:
            self._leave()
            self.number, self._steps_done[number] = number, 0
        planned = self.plan[number - 1]
        if self.trainer is None or self.before is None:
            if planned.method in PROPOSALS:
                self.proposal = self.proposal or PROPOSALS[planned.method](self._setting(planned))
                for data in self.proposal:
                    yield self._reported(number, {"proposing": True, **data})
            trainer = self._trainer(self._network(planned), planned)
            self.before, self.proposal = trainer.quality_as_given(), None
            self.trainer = self.own if self._is_own(planned) else trainer
        for report in self.trainer:
            yield self._reported(number, report.data)
        run = self._run(planned, self.trainer, self.before)
        report = self._reported(number, {"before": run.before, "after": run.after})
        self.take(number, run)
        yield report

    def take(self, number: int, run: ComparedRun) -> None:
        """What came of a network, wherever it was trained."""
        self._done[number], self._steps_done[number] = run, self.steps_of(number)
        if number == self.number:
            self._leave()

    def hear(self, elsewhere: Mapping[int, int]) -> None:
        """How many of their steps those networks have done that are trained elsewhere: all of them that there are."""
        if self.number in elsewhere:
            self._leave()
        here = {n: steps for n, steps in self._steps_done.items() if n in self._done or n == self.number}
        self._steps_done = {**elsewhere, **here}

    def result(self, number: int) -> ComparedRun | None:
        """What came of a network; None until it is done."""
        return self._done.get(number)

    def steps_of(self, number: int) -> int:
        """All steps of one network: until it is there, trained and judged."""
        planned = self.plan[number - 1]
        is_own = self._is_own(planned)
        return 1 if is_own else self.spec.network_steps(planned.method, len(self.own.batches))

    def steps_done(self, number: int) -> int:
        """Those that one network has done, here or elsewhere."""
        return self._steps_done.get(number, 0)

    @property
    def compared(self) -> list[ComparedRun]:
        """What is done so far, in the order of the plan."""
        return [self._done[number] for number in sorted(self._done)]

    @property
    def step(self) -> int:
        """Steps that all networks have done together."""
        return sum(self._steps_done.values())

    def _leave(self) -> None:
        """Ends with the network that is under way here, done or not."""
        if self.number is not None and self.number not in self._done:
            del self._steps_done[self.number]
        self.number = self.proposal = self.trainer = self.before = None

    def _reported(self, number: int, data: dict[str, object]) -> StepReport:
        self._steps_done[number] += 1
        planned = self.plan[number - 1]
        which = {"network": number, "networks": len(self.plan)}
        told = {"method": planned.method, "share": planned.point.share, "seed": planned.seed}
        return StepReport("compare", self.step, self.steps, {**which, **told, **data})

    def _is_own(self, planned: Planned) -> bool:
        return planned is self.plan[0]

    def _setting(self, planned: Planned) -> Setting:
        """What the method has at hand; the search's own choice at share 1 is the job's, whatever came to it."""
        worth, budgets = self.learnt.evidence_of_own.worth, planned.point.budgets
        is_own = planned.point.share == 1.0
        indices = self.own.network.architecture.indices if is_own else best_near(worth, budgets).indices
        seed = self.spec.seed + planned.seed
        return Setting(self.learnt, indices, budgets, seed, self.data, self.spec.finish, self.task)

    def _network(self, planned: Planned) -> Network:
        """With the weights that its training starts from."""
        return self.proposal.network() if self.proposal else METHODS[planned.method](self._setting(planned))

    def _trainer(self, network: Network, planned: Planned) -> Trainer:
        length = 1 if planned.method == SEARCHED else BASELINES[planned.method].length
        settings = finish_of(planned.method, self.spec.finish.lasting(length))
        return Trainer(network, data=self.data, settings=settings, seed=self.spec.seed + planned.seed, task=self.task)

    def _run(self, planned: Planned, trainer: Trainer, before: Quality) -> ComparedRun:
        trainer.settle()
        after, architecture = quality_of(trainer.network, self.data, self.task), trainer.network.architecture
        indices = architecture.indices
        return ComparedRun(
            method=planned.method,
            share=planned.point.share,
            seed=planned.seed,
            layers=architecture.layers,
            predicted={budget.name: budget.total(indices) for budget in self.budgets},
            before=before.metric,
            after=after.metric,
            top5_before=before.top5,
            top5_after=after.top5,
        )

    def state_dict(self) -> State:
        """All that the remaining steps depend on, beside what was learnt and the job's own trainer."""
        trainer = None if self.trainer is self.own else self.trainer
        return {
            "format": FORMAT,
            "compared": [[number, run.model_dump(mode="json")] for number, run in sorted(self._done.items())],
            "number": self.number,
            "steps_done": 0 if self.number is None else self._steps_done[self.number],
            "before": None if self.before is None else asdict(self.before),
            "proposal": None if self.proposal is None else self.proposal.state_dict(),
            "indices": None if trainer is None else list(trainer.network.architecture.indices),
            "trainer": None if trainer is None else trainer.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        """Goes on where `state_dict` was taken, bit for bit. Raises StateError on a state of another version."""
        if state.get("format") != FORMAT:
            raise StateError("the checkpoint of this comparison is of another version of lutnas: submit the job again")
        for number, run in state["compared"]:
            self.take(number, ComparedRun.model_validate(run))
        if state["number"] is None:
            return
        self.number = int(state["number"])
        self._steps_done[self.number] = state["steps_done"]
        planned = self.plan[self.number - 1]
        if state["proposal"] is not None:
            self.proposal = PROPOSALS[planned.method](self._setting(planned))
            self.proposal.load_state_dict(state["proposal"])
        if state["trainer"] is not None:
            self.before = Quality(**state["before"])
            network = self.learnt.start(tuple(state["indices"]), self.spec.seed + planned.seed)
            self.trainer = self._trainer(network, planned)
            self.trainer.load_state_dict(state["trainer"])
