"""Lottery tickets: iterative magnitude pruning with rewinding to step k (Frankle & Carbin 2019; Frankle 2020, alg. 2).

Train, drop a share of what is left by magnitude, go back to the weights of step k, again. The two controls tell what a
ticket owes to its mask and what to its weights: the mask shuffled within each layer, and the mask on new weights.
"""

import copy
from collections.abc import Iterator
from typing import Literal

import torch
from torch import nn

from search.compression.layers import weighted
from search.compression.magnitude import Masks, Scope, choose, density, scores
from search.compression.training import Recipe, Training
from search.datasets.data import ImageData
from search.randomness import generator, seeded
from search.reports import StepReport
from search.state import State

Kind = Literal["ticket", "shuffled mask", "new weights"]


class Tickets:
    """Prunes `model` `rounds` times, `share` of the rest each; then `training` trains the ticket and its controls. An
    iterator of step reports, over all trainings of the pruning.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        data: ImageData,
        recipe: Recipe,
        seed: int,
        rounds: int,
        rewind_step: int = 0,
        share: float = 0.2,
        scope: Scope = "global",
    ) -> None:
        self.model, self.data, self.recipe, self.seed = model, data, recipe, seed
        self.rounds, self.rewind_step, self.share, self.scope = rounds, rewind_step, share, scope
        self.round = 0
        self.masks = {name: torch.ones_like(layer.weight, dtype=torch.bool) for name, layer in weighted(model).items()}
        self.current = self._from_weights(model)
        self.rewound: State | None = self.current.state_dict() if rewind_step == 0 else None

    def _from_weights(self, model: nn.Module) -> Training:
        return Training(model, data=self.data, recipe=self.recipe, seed=self.seed, masks=self.masks)

    def _from_rewound(self, masks: Masks) -> Training:
        assert self.rewound is not None, "step k is not reached yet"
        model = copy.deepcopy(self.model)
        training = Training(model, data=self.data, recipe=self.recipe, seed=self.seed, masks=masks)
        training.load_state_dict(self.rewound)
        return training

    def __iter__(self) -> Iterator[StepReport]:
        """Does what remains: `rounds` trainings, a pruning after each."""
        while self.round < self.rounds:
            for report in self.current:
                if self.rewound is None and report.step == self.rewind_step:
                    self.rewound = self.current.state_dict()
                yield self._report(report)
            self._prune()

    def _report(self, report: StepReport) -> StepReport:
        per_round = self.current.steps - self.rewind_step
        data = {**report.data, "round": self.round + 1, "density": density(self.masks)}
        before = self.round * per_round + (self.rewind_step if self.round else 0)
        done = before + report.step - (self.rewind_step if self.round else 0)
        return StepReport("tickets", done, self.rewind_step + self.rounds * per_round, data)

    def _prune(self) -> None:
        self.round += 1
        sparsity = 1 - (1 - self.share) ** self.round
        self.masks = choose(scores(self.current.model), sparsity, scope=self.scope, among=self.masks)
        self.current = self._from_rewound(self.masks)

    def training(self, kind: Kind = "ticket", *, seed: int = 0) -> Training:
        """The training of the ticket or a control, from its first step; `seed` shuffles, or draws the new weights."""
        if kind == "new weights":
            model = copy.deepcopy(self.model)
            reset(model, seed)
            return self._from_weights(model)
        return self._from_rewound(self.masks if kind == "ticket" else shuffled(self.masks, seed))

    def state_dict(self) -> State:
        """All that the remaining rounds depend on."""
        return {
            "round": self.round,
            "masks": dict(self.masks),
            "current": self.current.state_dict(),
            "rewound": self.rewound,
        }

    def load_state_dict(self, state: State) -> None:
        """Goes on where `state_dict` was taken, bit for bit."""
        self.round, self.masks, self.rewound = state["round"], dict(state["masks"]), state["rewound"]
        self.current = self._from_weights(copy.deepcopy(self.model))
        self.current.load_state_dict(state["current"])


def shuffled(masks: Masks, seed: int) -> Masks:
    """The same number of weights in each layer, elsewhere."""
    return {
        name: mask.flatten()[torch.randperm(mask.numel(), generator=generator(seed, f"shuffle {name}"))].view_as(mask)
        for name, mask in masks.items()
    }


def reset(model: nn.Module, seed: int) -> None:
    """New weights in every module that knows how to draw its own."""
    with seeded(seed, "new weights"):
        for module in model.modules():
            draw = getattr(module, "reset_parameters", None)
            if draw is not None:
                draw()
