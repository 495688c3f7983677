"""One architecture of a space: a typed document that people, the API and the engine share. Torch-free."""

from collections.abc import Sequence
from typing import Self

from pydantic import Field, model_validator

from latency.operator import Operator
from search.space import Candidate, Document, Space


class LayerChoice(Document):
    """What one layer became."""

    candidate: str


class Architecture(Document):
    """A space and the choice of each of its layers."""

    space: Space
    layers: tuple[LayerChoice, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _in_space(self) -> Self:
        if len(self.layers) != len(self.space.layers):
            raise ValueError(
                f"layers: {len(self.layers)} choices for the {len(self.space.layers)} layers of {self.space.name}"
            )
        for layer, choice in zip(self.space.layers, self.layers, strict=True):
            if choice.candidate not in (c.name for c in layer.candidates):
                raise ValueError(f"layers[{layer.number}]: {choice.candidate!r} is no candidate of this layer")
        return self

    @classmethod
    def of(cls, space: Space, candidates: Sequence[str]) -> "Architecture":
        """From candidate names, one a layer."""
        return cls(space=space, layers=tuple(LayerChoice(candidate=name) for name in candidates))

    @classmethod
    def from_indices(cls, space: Space, indices: Sequence[int]) -> "Architecture":
        """From the index of each layer's candidate."""
        return cls.of(space, [layer.candidates[i].name for layer, i in zip(space.layers, indices, strict=True)])

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The candidate of each layer."""
        return tuple(Candidate.parse(choice.candidate) for choice in self.layers)

    def layer_operators(self) -> tuple[Operator, ...]:
        """The operator of each searchable layer."""
        return tuple(layer.operator(c) for layer, c in zip(self.space.layers, self.candidates, strict=True))

    def operators(self) -> tuple[Operator, ...]:
        """The whole network in order: stem, layers, head."""
        return (self.space.stem_operator, *self.layer_operators(), self.space.head_operator)
