"""The differentiable search as a strategy: a supernet with theta is trained, then finalists are chosen among."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from search.budget import Budget, Indices
from search.choosing import Choosing
from search.datasets.data import ImageData
from search.evidence import Evidence
from search.files import PRETRAINED
from search.measuring import Measure
from search.network import Network
from search.reports import StepReport
from search.searcher import Searcher
from search.space import Space
from search.spec import SearchSpec
from search.state import State
from search.supernet.pretrained import save_pretrained
from search.task import Task


class Differentiable:
    """See `search.strategies.Strategy`."""

    def __init__(
        self, spec: SearchSpec, *, space: Space, data: ImageData, budgets: Sequence[Budget], task: Task,
        measure: Measure | None, pretrained: Mapping[str, Tensor] | None,
    ) -> None:  # fmt: skip
        self.searcher = Searcher(
            space, data=data, budgets=budgets, settings=spec.search, seed=spec.seed, task=task, pretrained=pretrained
        )
        self.choosing = Choosing(spec, searcher=self.searcher, data=data, budgets=budgets, task=task, measure=measure)

    @property
    def evidence(self) -> Evidence | None:
        """From scores of sub-networks and from theta."""
        return self.choosing.evidence

    @property
    def steps(self) -> int:
        """Steps of the supernet."""
        return len(self.searcher.plan)

    @property
    def steps_left(self) -> dict[str, int]:
        """Of search, warm-start, draw, assess, trial."""
        searcher = self.searcher
        own = {"search": self.steps - searcher.step, "warm-start": searcher.warm_start_left}
        return {**own, **self.choosing.steps_left}

    def __iter__(self) -> Iterator[StepReport]:
        """Does what remains. Raises OverBudget, Unreachable, FloatingPointError."""
        yield from self.searcher
        yield from self.choosing

    def best(self) -> Indices:
        """The finalist that is best as far as it went."""
        return self.choosing.best()

    def inherit(self, indices: Indices) -> Network:
        """With copies of the supernet's weights."""
        return self.searcher.supernet.inherit(indices)

    def notes(self) -> tuple[str, ...]:
        """None: the report has the search's own sections."""
        return ()

    def write(self, folder: Path) -> list[Path]:
        """The supernet's weights."""
        save_pretrained(self.searcher.supernet, folder / PRETRAINED)
        return [folder / PRETRAINED]

    def state_dict(self) -> State:
        """Of the searcher and the choice."""
        return {"searcher": self.searcher.state_dict(), "choosing": self.choosing.state_dict()}

    def load_state_dict(self, state: State) -> None:
        """Goes on where `state_dict` was taken, bit for bit."""
        self.searcher.load_state_dict(state["searcher"])
        self.choosing.load_state_dict(state["choosing"])

    def learnt(self) -> State:
        """The supernet, what it is expected to take, and the evidence."""
        assert self.evidence is not None, "nothing was chosen yet"
        return {
            "supernet": dict(self.searcher.supernet.state_dict()),
            "objective": self.searcher.objective.state_dict(),
            "evidence": self.evidence.model_dump_json(),
        }

    def load_learnt(self, state: State) -> None:
        """Is done, as where `learnt` was taken."""
        self.searcher.step = len(self.searcher.plan)
        self.searcher.supernet.load_state_dict(state["supernet"])
        self.searcher.objective.load_state_dict(state["objective"])
        self.choosing.evidence = Evidence.model_validate_json(state["evidence"])
