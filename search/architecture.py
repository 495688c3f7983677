"""One architecture of a space: a typed document that people, the API and the engine share. Torch-free."""

from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import Field, model_validator

from latency.operator import Operator
from search.choices import DENSE, Block, Candidate, Choice, Level, Precision
from search.document import Document
from search.space import Layer, Space


class LayerChoice(Document):
    """What one layer became. `c_mid` stands where the block is narrower than its candidate."""

    candidate: str
    c_mid: Annotated[int, Field(ge=1)] | None = None
    precision: str = "fp32"
    pattern: str = ""
    sparsity: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @classmethod
    def of(cls, layer: Layer, choice: Choice) -> "LayerChoice":
        """The document of `choice` at `layer`."""
        full = choice.candidate.expansion * layer.c_in
        return cls(
            candidate=choice.candidate.name,
            c_mid=None if choice.c_mid == full else choice.c_mid,
            precision=choice.precision.name,
            pattern=choice.level.pattern,
            sparsity=choice.level.sparsity,
        )

    def at(self, layer: Layer) -> Choice:
        """The choice that this is at `layer`; raises ValueError on names that are none."""
        candidate = Candidate.parse(self.candidate)
        block = Block(candidate, candidate.expansion * layer.c_in if self.c_mid is None else self.c_mid)
        level = Level(self.pattern, self.sparsity) if self.sparsity else DENSE
        return Choice(block, Precision.parse(self.precision), level)

    @property
    def name(self) -> str:
        """For people: the candidate, and what differs from it at full width, in fp32, dense: `k3_e6 c72 w8a8`."""
        width = f" c{self.c_mid}" if self.c_mid else ""
        precision = "" if self.precision == "fp32" else f" {self.precision}"
        return self.candidate + width + precision + (f" {self.pattern}@{self.sparsity:g}" if self.sparsity else "")


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
            if choice.at(layer) not in layer.choices:
                raise ValueError(f"layers[{layer.number}]: {choice.name!r} is no choice of this layer")
        return self

    @classmethod
    def of(cls, space: Space, candidates: Sequence[str]) -> "Architecture":
        """From candidate names, one a layer, each at full width, in fp32, dense."""
        return cls(space=space, layers=tuple(LayerChoice(candidate=name) for name in candidates))

    @classmethod
    def from_indices(cls, space: Space, indices: Sequence[int]) -> "Architecture":
        """From the index of each layer's choice."""
        pairs = zip(space.layers, indices, strict=True)
        return cls(space=space, layers=tuple(LayerChoice.of(layer, layer.choices[i]) for layer, i in pairs))

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The choice of each layer."""
        return tuple(choice.at(layer) for layer, choice in zip(self.space.layers, self.layers, strict=True))

    @property
    def indices(self) -> tuple[int, ...]:
        """The index of each layer's choice among the choices of its layer."""
        return tuple(layer.choices.index(c) for layer, c in zip(self.space.layers, self.choices, strict=True))

    def layer_operators(self) -> tuple[Operator, ...]:
        """The operator of each searchable layer."""
        return tuple(layer.operator(c) for layer, c in zip(self.space.layers, self.choices, strict=True))

    def operators(self) -> tuple[Operator, ...]:
        """The whole network in order: stem, layers, head."""
        return (self.space.stem_operator, *self.layer_operators(), self.space.head_operator)
