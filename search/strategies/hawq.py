"""HAWQ as a strategy (Dong 2020, Yao 2021): blocks are given, a float network of them is trained, and bits follow from
Omega by the exact allocation under all of the job's budgets; no search is trained.

Zeros, where the space offers levels of them, are allocated with the bits (search.sensitivity).

Legend: L layers, K choices.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from search.architecture import Architecture
from search.blocks import MobileBlock
from search.budget import Budget, Indices
from search.compression.allocation import allocate
from search.datasets.data import ImageData
from search.evidence import Evidence
from search.float_sensitivity import FloatSensitivity
from search.measuring import Measure, Measuring
from search.network import Network, recalibrate
from search.randomness import seeded
from search.reports import StepReport
from search.space import Space
from search.spec import Finish, Hawq, SearchSpec
from search.state import State
from search.supernet import Supernet
from search.supernet.pretrained import load_pretrained
from search.task import Classification, Task
from search.unrounded import in_floats

NOTE = "minus HAWQ's Omega, the greatest of all choices being 1000: no accuracy, and no architecture was searched"


class HawqSearch:
    """See `search.strategies.Strategy`. `space` has one block a layer (search.given). Raises ValueError where it has
    more, and on a task that has no second derivatives here (search.compression.plain).
    """

    def __init__(
        self, spec: SearchSpec, *, space: Space, data: ImageData, budgets: Sequence[Budget], task: Task,
        measure: Measure | None, pretrained: Mapping[str, Tensor] | None,
    ) -> None:  # fmt: skip
        if any(len(layer.blocks) > 1 for layer in space.layers):
            raise ValueError(f"strategy hawq: {space.name} offers several blocks a layer; pass search.given.space_of")
        if not isinstance(task, Classification):
            raise ValueError(f"strategy hawq: {type(task).__name__} has no head that is differentiable twice")
        self.settings = spec.hawq or Hawq()
        self.space, self.seed, self.task = space, spec.seed, task
        self.blocks = (0,) * len(space.layers)  # any choice tells the block
        hawq, finish = self.settings, spec.finish
        self.floats = FloatSensitivity(
            self._float_network(pretrained), data=data, pictures=hawq.pictures, vectors=hawq.vectors, seed=spec.seed,
            task=task, settings=Finish(epochs=hawq.epochs, batch_size=finish.batch_size, lr=finish.lr),
        )  # fmt: skip
        self.measuring = Measuring(budgets, measure)
        self._evidence: Evidence | None = None
        self.chosen: Indices | None = None

    def _float_network(self, pretrained: Mapping[str, Tensor] | None) -> Network:
        plain = in_floats(Architecture.from_indices(self.space, self.blocks), dense=True)
        with seeded(self.seed, "hawq"):
            if pretrained is None:
                return Network(plain, self.task.head)
            supernet = Supernet(plain.space, head=self.task.head)
        load_pretrained(supernet, pretrained)
        return supernet.inherit(plain.indices)

    @property
    def evidence(self) -> Evidence | None:
        """Minus Omega."""
        return self._evidence

    @property
    def evidence_of_own(self) -> Evidence | None:
        """The same."""
        return self._evidence

    @property
    def steps(self) -> int:
        """Steps of the float network, and vectors."""
        return self.floats.steps

    @property
    def steps_left(self) -> dict[str, int]:
        """Of float, trace."""
        return self.floats.steps_left

    def __iter__(self) -> Iterator[StepReport]:
        """Does what remains. Raises OverBudget, Unreachable, FloatingPointError."""
        yield from self.floats
        self._evidence = self._evidence or self._found()
        omega_LK = [[-worth for worth in row] for row in self._evidence.worth]
        while not self.measuring.holds:
            self.chosen = allocate(omega_LK, self.measuring.bounds)
            measured = self.measuring.judge(self.chosen, self.inherit)
            if measured is not None:
                yield measured

    def _found(self) -> Evidence:
        omega_LK = self.floats.sensitivity.omegas(self.space, self.blocks)
        assert all(math.isfinite(omega) for row in omega_LK for omega in row), "one block a layer"
        return Evidence(space=self.space, worth=[[-omega for omega in row] for row in omega_LK], samples=0, note=NOTE)

    def best(self) -> Indices:
        """The least Omega of all that hold the budgets."""
        assert self.chosen is not None, "nothing was chosen yet"
        return self.chosen

    def inherit(self, indices: Indices) -> Network:
        """With the float network's weights; statistics are taken anew, as what rounds has some that it had not."""
        network = Network(Architecture.from_indices(self.space, indices), self.task.head)
        network.load_state_dict({**network.state_dict(), **self.floats.network.state_dict()})
        for block in network.layers:
            if isinstance(block, MobileBlock) and block.level.sparsity:
                block.choose_survivors()
        recalibrate(network, self.floats.trainer.calibration())
        return network

    def notes(self) -> tuple[str, ...]:
        """How the bits were found, and how sure their figures are."""
        origin = f" by {self.settings.architecture}" if self.settings.architecture else ""
        return (
            f"The blocks were given{origin}. Bits and zeros are the least sum of HAWQ's Omega within the budgets, by "
            f"{self.settings.vectors} vectors (standard error of the traces' sum {self.floats.sensitivity.error:.1%}).",
        )

    def write(self, folder: Path) -> list[Path]:
        """None: there is no supernet that another search could start from."""
        return []

    def state_dict(self) -> State:
        """Of the float network, the traces and the choice."""
        return {
            **self.floats.state_dict(),
            "measuring": self.measuring.state_dict(),
            "evidence": None if self._evidence is None else self._evidence.model_dump_json(),
            "chosen": self.chosen,
        }

    def load_state_dict(self, state: State) -> None:
        """Goes on where `state_dict` was taken, bit for bit."""
        self.floats.load_state_dict(state)
        self.measuring.load_state_dict(state["measuring"])
        self._evidence = Evidence.model_validate_json(state["evidence"]) if state["evidence"] else None
        self.chosen = None if state["chosen"] is None else tuple(state["chosen"])

    def learnt(self) -> State:
        """The float network, its traces and the evidence; no optimiser."""
        assert self._evidence is not None, "nothing was chosen yet"
        return {**self.floats.learnt(), "evidence": self._evidence.model_dump_json()}

    def load_learnt(self, state: State) -> None:
        """Is done, as where `learnt` was taken."""
        self.floats.load_learnt(state)
        self._evidence = Evidence.model_validate_json(state["evidence"])
