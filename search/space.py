"""Search spaces as data: what a layer may be, and which operators a device has to run for it. Torch-free.

A space is a JSON document (`search/spaces/*.json` are the presets). Its input shape and its number of classes are
parameters: `space.resized(...)` gives the same space over other pictures.

Errors:
    SpaceError (ValueError)   a document that is no space, or a name that is none of the presets
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from importlib import resources
from typing import Annotated, NamedTuple, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from latency.operator import Operator, boundary
from search.choices import NINE_CANDIDATES, Block, Candidate, Choice, Choices, Precision
from search.document import Document, Name

Channels = Annotated[int, Field(ge=1, le=8192)]
MOST_CHOICES = 40_000  # of all layers: laid out in half a second, and `size` has fewer than the 4300 digits of an int


class SpaceError(ValueError):
    """A document that is no space, or a name that is none of the presets."""


class Input(Document):
    """Shape of one picture: float32 pixels in [0, 1], (channels, height, width)."""

    channels: Annotated[int, Field(ge=1, le=64)]
    height: Annotated[int, Field(ge=1, le=4096)]
    width: Annotated[int, Field(ge=1, le=4096)]

    def __str__(self) -> str:
        return f"{self.channels}x{self.height}x{self.width}"


class Stem(Document):
    """The first convolution: fixed, not searched. `kernel` is odd."""

    channels: Channels
    kernel: Annotated[int, Field(ge=1, le=7)] = 3
    stride: Annotated[int, Field(ge=1, le=4)] = 1

    @field_validator("kernel")
    @classmethod
    def _odd(cls, kernel: int) -> int:
        if kernel % 2 == 0:  # padding by half of it gives no `Operator.out_hw`
            raise ValueError(f"{kernel} is even: write 1, 3, 5 or 7, whose output is input over stride, rounded up")
        return kernel


class Stage(Document):
    """`layers` searchable layers of `channels`; the first has the `stride`. `candidates` overrides the space's. With
    `c_mid` it is one layer of one candidate, which has so many middle channels whatever the space's widths are.
    """

    channels: Channels
    layers: Annotated[int, Field(ge=1, le=64)]
    stride: Annotated[int, Field(ge=1, le=4)] = 1
    candidates: tuple[str, ...] | None = None
    c_mid: Channels | None = None

    def blocks(self, candidates: tuple[Candidate, ...], c_in: int, choices: Choices) -> tuple[Block, ...]:
        """The distinct blocks of one of its layers with `c_in` input channels."""
        return choices.blocks(candidates, c_in) if self.c_mid is None else (Block(candidates[0], self.c_mid),)

    def most_choices(self, candidates: Sequence[Candidate], choices: Choices) -> int:
        """No more than so many have its layers together; blocks that are alike count as often as they come."""
        widths = len(choices.width) if self.c_mid is None else 1
        blocks = sum(widths if candidate.groups == 1 else 1 for candidate in candidates)
        return self.layers * blocks * len(choices.precision) * len(choices.levels)

    def narrowed_wrongly(self, c_in: int) -> str | None:
        """Why its one candidate cannot have `c_mid` middle channels; None where it can."""
        if self.c_mid is None:
            return None
        if self.layers != 1 or self.candidates is None or len(self.candidates) != 1:
            return "is of one layer of one candidate of its own alone"
        candidate = Candidate.parse(self.candidates[0])
        if candidate.groups != 1 or not candidate.kernel:
            return f"{candidate.name} has one width alone; leave it out"
        most = candidate.expansion * c_in
        return None if self.c_mid <= most else f"{candidate.name} of {c_in} channels has at most {most}"


class Head(Document):
    """1x1 convolution to `channels`, mean over the picture, linear classifier: fixed."""

    channels: Channels


class Layer(NamedTuple):
    """A searchable position: its input (h, w, c_in), what it must give (c_out, stride) and what it may be.

    `choices` are all pairs of a block with what else may be chosen for it; their order is that of every cost matrix.
    """

    number: int
    h: int
    w: int
    c_in: int
    c_out: int
    stride: int
    blocks: tuple[Block, ...]
    choices: tuple[Choice, ...]

    @property
    def keeps_shape(self) -> bool:
        """Whether a block here adds its input, and skip is the identity."""
        return self.stride == 1 and self.c_in == self.c_out

    def operator(self, choice: Choice) -> Operator:
        """The operator that `choice` is at this position."""
        (kernel, _, groups), (weight_bits, activation_bits) = choice.candidate, choice.precision
        shape = (self.h, self.w, self.c_in, choice.c_mid, self.c_out, self.stride)
        return Operator(
            "mbconv" if kernel else "skip",
            *shape,
            kernel,
            groups,
            weight_bits,
            activation_bits,
            choice.level.sparsity,
            choice.level.pattern,
        )


class Space(Document):
    """A search space. `layers` are its searchable positions, `operators()` all that a device has to run for it."""

    name: Name
    input: Input
    classes: Annotated[int, Field(ge=2, le=100_000)]
    stem: Stem
    stages: Annotated[tuple[Stage, ...], Field(min_length=1, max_length=64)]
    candidates: Annotated[tuple[str, ...], Field(min_length=1)] = NINE_CANDIDATES
    head: Head
    choices: Choices = Choices()
    note: Annotated[str, Field(max_length=2000)] = ""

    @field_validator("candidates")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            Candidate.parse(name)
        if len(set(names)) < len(names):
            raise ValueError("a candidate stands twice: equal candidates would split their probability")
        return names

    @model_validator(mode="after")
    def _buildable(self) -> Self:
        for number, stage in enumerate(self.stages):
            if stage.candidates is not None:
                if not stage.candidates:
                    raise ValueError(f"stages[{number}].candidates: is empty")
                self._known(stage.candidates)
            c_in = self.stages[number - 1].channels if number else self.stem.channels
            wrong = stage.narrowed_wrongly(c_in)
            if wrong:
                raise ValueError(f"stages[{number}].c_mid: {wrong}")
        most = sum(stage.most_choices(self._candidates_of(stage), self.choices) for stage in self.stages)
        if most > MOST_CHOICES:  # before any is laid out
            layers = sum(stage.layers for stage in self.stages)
            raise ValueError(
                f"the {layers} layers have up to {most:,} choices together, of which {MOST_CHOICES:,} are taken: "
                "offer fewer precisions, widths, levels of zeros, candidates or layers"
            )
        try:
            list(self.operators())
        except ValueError as error:
            raise ValueError(f"stages: a candidate cannot be built: {error}") from error
        return self

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The searchable positions in order, with the shapes that reach them."""
        h, w = self.stem_operator.out_hw
        c_in, layers = self.stem.channels, list[Layer]()
        for stage in self.stages:
            candidates = self._candidates_of(stage)
            for number in range(stage.layers):
                stride = stage.stride if number == 0 else 1
                blocks = stage.blocks(candidates, c_in, self.choices)
                choices = self.choices.of(blocks, keeps_shape=stride == 1 and c_in == stage.channels)
                layers.append(Layer(len(layers), h, w, c_in, stage.channels, stride, blocks, choices))
                h, w, c_in = -(-h // stride), -(-w // stride), stage.channels
        return tuple(layers)

    def _candidates_of(self, stage: Stage) -> tuple[Candidate, ...]:
        return tuple(Candidate.parse(name) for name in stage.candidates or self.candidates)

    @cached_property
    def operators_LK(self) -> tuple[tuple[Operator, ...], ...]:
        """The operator of each choice at each searchable position."""
        return tuple(tuple(map(layer.operator, layer.choices)) for layer in self.layers)

    @property
    def stem_operator(self) -> Operator:
        """The stem as an operator."""
        i, s = self.input, self.stem
        bits = Precision.parse(self.choices.ends)
        return Operator("stem", i.height, i.width, i.channels, 0, s.channels, s.stride, s.kernel, 0, *bits)

    @property
    def head_operator(self) -> Operator:
        """The head as an operator."""
        last = self.layers[-1]
        h, w = -(-last.h // last.stride), -(-last.w // last.stride)
        bits = Precision.parse(self.choices.ends)
        return Operator("head", h, w, last.c_out, self.head.channels, self.classes, 0, 0, 0, *bits)

    def operators(self, *, identities: bool = False) -> Iterator[Operator]:
        """Every distinct operator that a table needs an entry for, boundaries last. An identity costs nothing and needs
        none; `identities` gives them too, as a table may have an entry all the same.
        """
        positions = self.operators_LK
        seen = dict.fromkeys([Operator("base"), self.stem_operator, self.head_operator])
        for operators in positions:
            seen.update(dict.fromkeys(operators))
        seen.update(dict.fromkeys(_boundaries([[self.stem_operator], *positions, [self.head_operator]])))
        return (o for o in seen if identities or not o.is_identity)

    def offering(self, choices: Choices | None) -> "Space":
        """The same space with these choices beside the candidates; with its own where `choices` is None."""
        return self if choices is None else Space.model_validate({**self.model_dump(), "choices": choices.model_dump()})

    def resized(self, *, name: str, input: Input, classes: int) -> "Space":
        """The same space over other pictures and classes."""
        return Space.model_validate(
            {**self.model_dump(), "name": name, "input": input.model_dump(), "classes": classes}
        )

    @property
    def size(self) -> int:
        """The number of architectures."""
        count = 1
        for layer in self.layers:
            count *= len(layer.choices)
        return count


def _boundaries(positions: Sequence[Sequence[Operator]]) -> Iterator[Operator]:
    """The changes of format that networks of one operator a position may need."""
    coming = set[bool]()
    for operators in positions:
        computing = [operator for operator in operators if not operator.is_identity]
        yield from (boundary(operator) for operator in computing if (not operator.is_integer) in coming)
        passed_on = coming if len(computing) < len(operators) else set()
        coming = {operator.is_integer for operator in computing} | passed_on


def preset_names() -> list[str]:
    """Names of the spaces that come with lutnas."""
    folder = resources.files("search") / "spaces"
    return sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json"))


def preset(name: str) -> Space:
    """A space that comes with lutnas; raises SpaceError with the names there are."""
    if name not in preset_names():
        raise SpaceError(f"{name!r} is none of the preset spaces {', '.join(preset_names())}")
    return Space.model_validate_json((resources.files("search") / "spaces" / f"{name}.json").read_bytes())


def parse(document: str | bytes) -> Space:
    """Reads a space from JSON; raises SpaceError that names each wrong field."""
    try:
        return Space.model_validate_json(document)
    except ValidationError as error:
        lines = (f"{'.'.join(map(str, e['loc'])) or 'space'}: {e['msg']}" for e in error.errors())
        raise SpaceError("; ".join(lines)) from error
