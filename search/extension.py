"""A derived network trained for longer: from the weights that a job left, by the finish of `search.run` alone.

The training is a new one (`search.finish.Trainer`): its own cosine from `finish.lr` to 0 with a warm-up, its momentum
empty, as a warm restart has it (Loshchilov & Hutter 2017, SGDR). Zeros stay where they are, whatever
`finish.pruning` says, and nobody teaches. Pictures come in an order
that follows from the weights: the epochs of before are not gone through once more.

Errors:
    WeightsMisfit (ValueError)   the weights are no network of the job's space
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from search.architecture import Architecture
from search.budget import Budget
from search.datasets.data import ImageData
from search.finish import Quality, Trainer, quality_of
from search.loading import NotLoadable, load
from search.outcome import Result, export_trained, predicted
from search.reports import StepReport
from search.space import Space
from search.spec import Pruning, SearchSpec
from search.state import State, StateError, copied

FORMAT = 4  # of `state_dict`: another one was written by another version


class WeightsMisfit(ValueError):
    """The weights are no network of the job's space."""


class ExtensionRun:
    """The finish of `spec` from the network in the file `weights`; `state_dict()` between any two reports.

    The same file, spec and data give the same result, through any interruption. Driven as a `search.run.SearchRun` is.
    Raises WeightsMisfit.
    """

    def __init__(
        self, spec: SearchSpec, *, space: Space, data: ImageData, budgets: Sequence[Budget], weights: Path
    ) -> None:
        try:
            network = load(weights)
        except NotLoadable as error:
            raise WeightsMisfit(str(error)) from error
        if network.architecture.space != space:
            raise WeightsMisfit(f"{weights}: is a network of {network.architecture.space.name}, not of {space.name}")
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        self.spec, self.data, self.budgets = spec, data, tuple(budgets)
        settings = spec.finish.model_copy(update={"pruning": Pruning(schedule="one-shot"), "distillation": None})
        self.trainer = Trainer(network, data=data, settings=settings, seed=int(digest[:7], 16))
        self.before: Quality | None = None
        self.origin = (
            f"The network was trained before, into weights of sha256 {digest}; this training went on from them for "
            f"{spec.finish.epochs} epochs, from a learning rate of {spec.finish.lr:g}, with the zeros that they have."
        )

    def __iter__(self) -> Iterator[StepReport]:
        """Does what remains, as reports of phase `finish`."""
        if self.before is None:
            given = self.trainer  # with the statistics that shipped
            self.before = quality_of(given.network.eval(), given.data, given.task)
        yield from self.trainer

    @property
    def steps_left(self) -> dict[str, int]:
        """Steps that remain of each phase."""
        return {"finish": self.trainer.steps - self.trainer.step}

    @property
    def architecture(self) -> Architecture:
        """That of the weights: it does not change."""
        return self.trainer.network.architecture

    def predicted(self) -> dict[str, float]:
        """The architecture's total of each budget, by the budget's name and in its unit."""
        return predicted(self.budgets, self.architecture.indices)

    def export(self, folder: Path) -> Result:
        """`search.outcome.export_trained`; nothing was searched, so there is nothing beside the network. Raises
        ExportMismatch.
        """
        return export_trained(self.trainer, folder, budgets=self.budgets, before=self.before, notes=[self.origin])

    def state_dict(self) -> State:
        """All that the remaining work depends on, beside the weights that it began from; copied."""
        assert self.before is not None, "no step was done yet"
        trainer, before = self.trainer.state_dict(), asdict(self.before)
        return copied({"format": FORMAT, "phase": "extension", "before": before, "trainer": trainer})

    def load_state_dict(self, state: State) -> None:
        """Goes on where `state_dict` was taken, bit for bit. Raises StateError on a state of another version."""
        if (state.get("phase"), state.get("format")) != ("extension", FORMAT):
            raise StateError("the checkpoint is of another version of lutnas: extend the job again")
        self.before = Quality(**state["before"])
        self.trainer.load_state_dict(copied(state["trainer"]))
