"""The differentiable search as a strategy: a supernet with theta is trained, then finalists are chosen among.

It runs over the part of the space that the budgets leave a need for (search.alike); what others see of it is over the
whole.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from search.alike import Part, needed
from search.architecture import Architecture
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
from search.warm_starts import misfit


class Differentiable:
    """See `search.strategies.Strategy`."""

    def __init__(
        self, spec: SearchSpec, *, space: Space, data: ImageData, budgets: Sequence[Budget], task: Task,
        measure: Measure | None, pretrained: Mapping[str, Tensor] | None,
    ) -> None:  # fmt: skip
        self.part = _part(spec, space, budgets, is_measured=measure is not None)
        budgets = [self.part.budget(budget) for budget in budgets]
        self.searcher = Searcher(
            self.part.space, data=data, budgets=budgets, settings=spec.search, seed=spec.seed, task=task,
            pretrained=pretrained,
        )  # fmt: skip
        self.choosing = Choosing(spec, searcher=self.searcher, data=data, budgets=budgets, task=task, measure=measure)

    @property
    def evidence(self) -> Evidence | None:
        """From scores of sub-networks and from theta."""
        return None if self.choosing.evidence is None else self.part.evidence(self.choosing.evidence)

    @property
    def evidence_of_own(self) -> Evidence | None:
        """As `evidence`, with what was left out behind all else."""
        evidence = self.choosing.evidence
        return None if evidence is None else self.part.evidence(evidence, at_last=True)

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
        for report in self.searcher:
            if report.distribution is not None:
                report = replace(report, distribution=self.part.distribution(report.distribution))
            yield report
        yield from self.choosing

    def best(self) -> Indices:
        """The finalist that is best as far as it went."""
        return self.part.of_whole(self.choosing.best())

    def inherit(self, indices: Indices) -> Network:
        """With copies of the supernet's weights; where a precision was left out, with those of the one that is as
        accurate. What rounding remembers is new where the search knew no rounding.
        """
        own = self.part.own(indices)
        network, architecture = self.searcher.supernet.inherit(own), Architecture.from_indices(self.part.whole, indices)
        if self.part.of_whole(own) == tuple(indices):
            network.architecture = architecture
            return network
        known = network.state_dict()
        found = Network(architecture, lambda _: network.head)
        found.load_state_dict({name: known.get(name, value) for name, value in found.state_dict().items()})
        return found

    def notes(self) -> tuple[str, ...]:
        """What was left out: the report has the search's own sections for the rest."""
        if not self.part.left_out:
            return ()
        kept = next(p.name for p in self.part.space.choices.precisions if not p.has_few_bits)
        return (
            f"{' and '.join(self.part.left_out)} was left out of the search: in {kept} alone, networks as large hold "
            "the budgets, and are as accurate.",
        )

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
        assert self.choosing.evidence is not None, "nothing was chosen yet"
        return {
            "supernet": dict(self.searcher.supernet.state_dict()),
            "objective": self.searcher.objective.state_dict(),
            "evidence": self.choosing.evidence.model_dump_json(),
        }

    def load_learnt(self, state: State) -> None:
        """Is done, as where `learnt` was taken."""
        self.searcher.step = len(self.searcher.plan)
        self.searcher.supernet.load_state_dict(state["supernet"])
        self.searcher.objective.load_state_dict(state["objective"])
        self.choosing.evidence = Evidence.model_validate_json(state["evidence"])


def _part(spec: SearchSpec, space: Space, budgets: Sequence[Budget], *, is_measured: bool) -> Part:
    """The whole where the job wants it so; where budgets may be tightened by what a device says; where weights of the
    reference form, which has some for each choice, are to fit other searches; where a warm start needs all.
    """
    search = spec.search
    if not search.leave_out or is_measured or search.supernet == "reference":
        return Part(space, space)
    part = needed(space, budgets)
    is_whole = search.warm_start is not None and misfit(search.warm_start, part.space)
    return Part(space, space) if is_whole else part
