"""One whole search job as one iterator: search, derive, train the result, compare, export. Whoever drives it keeps
control.

run = SearchRun(spec, space=space, data=data, budgets=budgets)
for report in run:            # stop at any report, keep run.state_dict(), go on later with load_state_dict
    ...
result = run.export(folder)
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from torch import Tensor

from search.architecture import Architecture
from search.baselines import BASELINES, misfits
from search.baselines.methods import Learnt
from search.choosing import Choosing
from search.comparison import Comparison
from search.datasets.data import ImageData
from search.derive import Budget, refuse_unreachable
from search.evidence import Evidence
from search.files import EVIDENCE
from search.finish import Quality, Trainer, network_to_train
from search.finish.distillation import refuse_unteachable
from search.machine import give_back
from search.measuring import Measure
from search.network import Network
from search.outcome import Result, export_trained, predicted
from search.points import operating_points
from search.reports import StepReport
from search.searcher import Searcher
from search.space import Space
from search.spec import SearchSpec
from search.state import State, StateError, copied
from search.strategies import Strategy
from search.strategies.differentiable import Differentiable
from search.strategies.hawq import HawqSearch
from search.task import CLASSIFICATION, Classification, Task

STRATEGIES: dict[str, Callable[..., Strategy]] = {"differentiable": Differentiable, "hawq": HawqSearch}
FORMAT = 18  # of `state_dict`: another one was written by another version


class MisfitError(ValueError):
    """The space does not fit the data (its input shape or classes), or what the job compares with, or leaves nothing to
    choose.
    """


class SearchRun:
    """A search job from the first step to the trained network; `state_dict()` between any two reports. Raises
    Unreachable where no architecture holds the budgets, MisfitError, ValueError: before anything is trained.
    """

    def __init__(
        self, spec: SearchSpec, *, space: Space, data: ImageData, budgets: Sequence[Budget],
        measure: Measure | None = None, task: Task = CLASSIFICATION,
        pretrained: Mapping[str, Tensor] | None = None,
    ) -> None:  # fmt: skip
        if space.input != data.input or space.classes < data.classes:
            raise MisfitError(
                f"space {space.name} takes {space.input} pictures of {space.classes} classes, "
                f"{data.name} has {data.input} of {data.classes}: take a space of that input, or post one"
            )
        if spec.strategy == "differentiable" and space.size == 1:
            raise MisfitError(f"{space.name} leaves nothing to choose: each layer has one choice")
        if spec.search.pretrained is not None and pretrained is None:
            raise ValueError(f"search.pretrained: pass the weights of {spec.search.pretrained} as `pretrained`")
        if spec.on_device is not None and measure is None:
            raise ValueError("on_device: pass `measure`, which asks the devices")
        if measure is not None and spec.compared:
            raise ValueError("baselines, comparison: what they give is not measured, and would have other budgets")
        refuse_unteachable(spec.finish, task)
        refuse_unreachable(budgets)
        if spec.baselines:
            for _, reason in misfits(spec.baselines, space, operating_points(budgets, spec.comparison.points)):
                raise MisfitError(f"baselines: {reason}")
        for name in spec.baselines:
            if BASELINES[name].classifies and not isinstance(task, Classification):
                raise MisfitError(f"baselines: {name} looks into the head of a classifier, which this task has not")
        self.spec, self.space, self.data, self.budgets = spec, space, data, tuple(budgets)
        self.task = task
        self.strategy = STRATEGIES[spec.strategy](
            spec, space=space, data=data, budgets=budgets, task=task, measure=measure, pretrained=pretrained
        )
        self.trainer: Trainer | None = None
        self.comparison: Comparison | None = None
        self.before: Quality | None = None

    def __iter__(self) -> Iterator[StepReport]:
        """Does what remains; the report of phase `derive` stands between the choice of a finalist and its training."""
        yield from self.until_trained()
        if self.spec.compared:
            yield from self.comparing()

    def until_trained(self) -> Iterator[StepReport]:
        """Does what remains before the comparison."""
        if self.trainer is None:
            yield from _by_phase(self.strategy)
            self.trainer = self._start_training(self.strategy.best())
            if self.spec.finish.weights == "inherited":
                self.before = self.trainer.quality_as_given()
            yield self._derived()
        yield from _by_phase(self.trainer)

    def comparing(self) -> Comparison:
        """What compares the trained network, for a job that wants it compared; whoever drives this may share it out."""
        assert self.trainer is not None, "the derived network is not trained yet"
        self.comparison = self.comparison or self._start_comparing(self.trainer)
        return self.comparison

    @property
    def steps_left(self) -> dict[str, int]:
        """Steps that remain of each phase: those of the strategy, teach, finish, compare."""
        finish = self.spec.finish
        batches = max(1, len(self.data.y_train) // finish.batch_size)
        teach, steps = finish.teaching_epochs * batches, finish.epochs * batches
        compare = self.spec.compare_steps(batches) - (self.comparison.step if self.comparison else 0)
        if self.trainer is not None:
            teach = self.trainer.teacher.steps - self.trainer.teacher.step if self.trainer.teacher else 0
            left = self.trainer.steps - self.trainer.step
            done = dict.fromkeys(self.strategy.steps_left, 0)
            return {**done, "teach": teach, "finish": left, "compare": compare}
        return {**self.strategy.steps_left, "teach": teach, "finish": steps, "compare": compare}

    @property
    def searcher(self) -> Searcher:
        """Of the differentiable strategy. Its space, and the indices it gives, are those of `strategy.part`, which may
        offer fewer precisions than the job's space (search.alike).
        """
        assert isinstance(self.strategy, Differentiable), "no supernet is searched"
        return self.strategy.searcher

    @property
    def choosing(self) -> Choosing:
        """Of the differentiable strategy, over the same space as `searcher`."""
        assert isinstance(self.strategy, Differentiable), "no finalists are chosen among"
        return self.strategy.choosing

    @property
    def architecture(self) -> Architecture:
        """The derived architecture; only after the search."""
        assert self.trainer is not None, "the search has not derived yet"
        return self.trainer.network.architecture

    def _start_training(self, indices: Sequence[int]) -> Trainer:
        network = self._to_train(indices, self.spec.seed)
        return Trainer(network, data=self.data, settings=self.spec.finish, seed=self.spec.seed, task=self.task)

    def _to_train(self, indices: Sequence[int], seed: int) -> Network:
        """With the weights that the job wants its training to start from; `seed` is for new ones."""
        architecture, inherit = self._architecture(indices), partial(self.strategy.inherit, tuple(indices))
        return network_to_train(self.spec.finish, architecture, inherit, seed=seed, task=self.task)

    def _new(self, indices: Sequence[int], seed: int) -> Network:
        return Network.new(self._architecture(indices), seed, self.task.head)

    def _architecture(self, indices: Sequence[int]) -> Architecture:
        return Architecture.from_indices(self.space, indices)

    def _start_comparing(self, own: Trainer) -> Comparison:
        assert self.strategy.evidence_of_own is not None
        learnt = Learnt(
            self._evidence(), self.strategy.evidence_of_own, self._to_train, self.strategy.inherit, self._new
        )
        return Comparison(self.spec, learnt=learnt, own=own, budgets=self.budgets, data=self.data, task=self.task)

    def _evidence(self) -> Evidence:
        assert self.strategy.evidence is not None
        return self.strategy.evidence

    def predicted(self) -> dict[str, float]:
        """The derived architecture's total of each budget, by the budget's name and in its unit."""
        return predicted(self.budgets, self.architecture.indices)

    def _derived(self) -> StepReport:
        steps = self.strategy.steps
        candidates = [choice.name for choice in self.architecture.layers]
        return StepReport("derive", steps, steps, {"candidates": candidates, "predicted": self.predicted()})

    def export(self, folder: Path, *, onnx: bool = True) -> Result:
        """`search.outcome.export_trained`, with evidence.json, from which other budgets are answered (search.evidence),
        and of a search supernet.safetensors, from which others may start. Raises what that raises.
        """
        assert self.trainer is not None, "the search has not derived yet"
        compared = () if self.comparison is None else tuple(self.comparison.compared)
        assert len(compared) == self.spec.compared, "the comparison is not done"
        return export_trained(
            self.trainer, folder, budgets=self.budgets, before=self.before, notes=self.strategy.notes(), onnx=onnx,
            others=self._write, compared=compared,
        )  # fmt: skip

    def _write(self, folder: Path) -> list[Path]:
        (folder / EVIDENCE).write_text(self._evidence().model_dump_json() + "\n", encoding="utf-8")
        return [folder / EVIDENCE, *self.strategy.write(folder)]

    def state_dict(self) -> State:
        """All that the remaining work depends on, copied: steps that follow leave it as it is."""
        if self.trainer is None:
            return copied({"format": FORMAT, "phase": "search", "strategy": self.strategy.state_dict()})
        finish = {
            "format": FORMAT,
            "phase": "finish",
            "indices": list(self.architecture.indices),
            "learnt": self.strategy.learnt(),
            "before": None if self.before is None else asdict(self.before),
            "trainer": self.trainer.state_dict(),
            "comparison": None if self.comparison is None else self.comparison.state_dict(),
        }
        return copied(finish)

    def load_state_dict(self, state: State) -> None:
        """Goes on where `state_dict` was taken, bit for bit. Raises StateError on a state of another version."""
        if state.get("format") != FORMAT:
            raise StateError("the checkpoint is of another version of lutnas: submit the job again")
        state = copied(state)  # optimisers would take its tensors for their own
        if state["phase"] == "search":
            self.strategy.load_state_dict(state["strategy"])
        else:
            self.strategy.load_learnt(state["learnt"])
            self.before = Quality(**state["before"]) if state["before"] else None
            self.trainer = self._start_training(state["indices"])
            self.trainer.load_state_dict(state["trainer"])
            if state["comparison"] is not None:
                self.comparison = self._start_comparing(self.trainer)
                self.comparison.load_state_dict(state["comparison"])


def _by_phase(reports: Iterable[StepReport]) -> Iterator[StepReport]:
    """The same, with memory given back before a phase goes on after its first step."""
    phase = None
    for report in reports:
        if report.phase != phase:
            give_back()
            phase = report.phase
        yield report
