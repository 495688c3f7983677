"""What a layer may become: a block, a precision, a sparsity. Each is one categorical of its own. Torch-free.

Expansion and channel sparsity are one thing (e6 at half the channels is e3), so a block is told by its distinct
`c_mid`, whichever expansion and width it came from: no choice has an alias that would split its probability.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Annotated, NamedTuple, Self

from pydantic import Field, field_validator, model_validator

from search.document import Document

NINE_CANDIDATES = (
    "k3_e1",
    "k3_e1_g2",
    "k3_e3",
    "k3_e6",
    "k5_e1",
    "k5_e1_g2",
    "k5_e3",
    "k5_e6",
    "skip",
)  # FBNet, table 2
DENSE_PATTERN = ""
MOST_OPTIONS = 16  # precisions, widths, or levels of zeros
LEVELS_OF_PATTERN = {"1:4": 0.75, "2:4": 0.5, "4:8": 0.5}


class Candidate(NamedTuple):
    """A block that a layer may use. `kernel` 0 is `skip`."""

    kernel: int
    expansion: int
    groups: int

    @property
    def name(self) -> str:
        """`k3_e6`, `k5_e1_g2` or `skip`."""
        if not self.kernel:
            return "skip"
        return f"k{self.kernel}_e{self.expansion}" + (f"_g{self.groups}" if self.groups > 1 else "")

    @classmethod
    def parse(cls, name: str) -> "Candidate":
        """Reads a candidate's name; raises ValueError on anything else."""
        if name == "skip":
            return SKIP
        found = re.fullmatch(r"k([3579])_e([1-9])(?:_g([2-8]))?", name)
        if not found:
            raise ValueError(f"{name!r} is no candidate: write skip, or kernel and expansion as in k3_e6 or k5_e1_g2")
        return cls(int(found[1]), int(found[2]), int(found[3] or 1))


SKIP = Candidate(0, 0, 0)


class Precision(NamedTuple):
    """Bits of a block's weights and of the activations that its convolutions read. 32 is float."""

    weight_bits: int
    activation_bits: int

    @property
    def name(self) -> str:
        """`fp32`, or as in `w4a8`."""
        return "fp32" if self == FP32 else f"w{self.weight_bits}a{self.activation_bits}"

    @property
    def has_few_bits(self) -> bool:
        """Whether weights or activations have fewer than 8. A training that rounds to 8 loses next to nothing
        (Krishnamoorthi 2018, sec. 3.2; docs/decisions/0009-trials.md).
        """
        return min(self) < 8

    @property
    def is_integer(self) -> bool:
        """Whether blocks of it compute integers (`Operator.is_integer`)."""
        return self.activation_bits == 8 and self.weight_bits <= 8

    @classmethod
    def parse(cls, name: str) -> "Precision":
        """Reads a precision's name; raises ValueError on anything else."""
        if name == "fp32":
            return FP32
        found = re.fullmatch(r"w([2-8])a([2-8])", name)
        if not found:
            raise ValueError(f"{name!r} is no precision: write fp32, or bits of weights and activations as in w8a8")
        return cls(int(found[1]), int(found[2]))


FP32 = Precision(32, 32)


class Level(NamedTuple):
    """A share of zeros in the weights of both 1x1 convolutions of a block. The depthwise weights stay dense."""

    pattern: str
    sparsity: float

    @property
    def name(self) -> str:
        """`dense`, or as in `2:4@0.5`."""
        return f"{self.pattern}@{self.sparsity:g}" if self.sparsity else "dense"

    def kept(self, columns: int) -> int:
        """How many weights of a row of `columns` stay: one at least, or the row would say nothing."""
        if not self.sparsity:
            return columns
        if ":" not in self.pattern:
            return max(1, round((1 - self.sparsity) * columns))
        n, m = map(int, self.pattern.split(":"))
        whole, rest = divmod(columns, m)
        return whole * n + min(n, rest)


DENSE = Level(DENSE_PATTERN, 0.0)


class Block(NamedTuple):
    """A candidate at its middle width; for `skip` and full width `c_mid` follows from the candidate."""

    candidate: Candidate
    c_mid: int


class Choice(NamedTuple):
    """All that a layer chooses. What does not apply to its block (bits of an identity) has its plain value."""

    block: Block
    precision: Precision = FP32
    level: Level = DENSE

    @property
    def candidate(self) -> Candidate:
        """The candidate of the block."""
        return self.block.candidate

    @property
    def c_mid(self) -> int:
        """Middle channels of the block."""
        return self.block.c_mid


class Sparsity(Document):
    """Shares of zeros that a layer may choose from, in one pattern: unstructured, 1:4, 2:4 or 4:8. 0 is dense; beside
    it a pattern N:M has its own share alone (0.75 of 1:4, 0.5 of the others).
    """

    pattern: str = "unstructured"
    levels: Annotated[tuple[Annotated[float, Field(ge=0, lt=1)], ...], Field(min_length=1, max_length=MOST_OPTIONS)] = (
        0.0,
    )

    @field_validator("pattern")
    @classmethod
    def _known(cls, pattern: str) -> str:
        if pattern not in ("unstructured", *LEVELS_OF_PATTERN):
            raise ValueError(f"{pattern!r} is none of unstructured, {', '.join(LEVELS_OF_PATTERN)}")
        return pattern

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.levels)) < len(self.levels):
            raise ValueError("levels: a level stands twice")
        own = LEVELS_OF_PATTERN.get(self.pattern)
        wrong = [level for level in self.levels if own is not None and level not in (0.0, own)]
        if wrong:
            raise ValueError(f"levels: {self.pattern} has {own:g} zeros or none, not {wrong[0]:g}")
        return self

    @classmethod
    def of(cls, names: Sequence[str]) -> "Sparsity":
        """From the names of levels, `dense` or as in `2:4@0.5`, of one pattern. Raises ValueError."""
        patterns, levels = dict[str, None](), list[float]()
        for name in names:
            found = re.fullmatch(r"dense|(unstructured|\d:\d)@(0?\.\d+)", name)
            if not found:
                raise ValueError(f"{name!r} is no level of zeros: write dense, or pattern and share as in 2:4@0.5")
            patterns |= {} if found[1] is None else {found[1]: None}
            levels.append(float(found[2] or 0))
        if len(patterns) > 1:
            raise ValueError(f"{' and '.join(patterns)}: levels of zeros are of one pattern")
        return cls(pattern=next(iter(patterns), "unstructured"), levels=tuple(levels))

    @property
    def choices(self) -> tuple[Level, ...]:
        """The levels, dense ones in one form."""
        return tuple(Level(self.pattern, level) if level else DENSE for level in self.levels)


class Choices(Document):
    """What every layer may choose beside its candidate.

    `width` are shares of the candidates' middle channels, rounded to `width_multiple` (what the device computes in one
    go: 16 on x86, 8 on ARM). Grouped candidates keep their width: the shuffle would tear prefixes apart. `ends` is the
    precision of stem and head. A precision is fp32, or bits of weights and activations from 2 to 8, as in w4a8.
    """

    precision: Annotated[tuple[str, ...], Field(min_length=1, max_length=MOST_OPTIONS)] = ("fp32",)
    width: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=1, max_length=MOST_OPTIONS)] = (
        1.0,
    )
    width_multiple: Annotated[int, Field(ge=1, le=64)] = 8
    sparsity: Sparsity | None = None
    ends: str = "fp32"

    @field_validator("precision")
    @classmethod
    def _precisions(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            Precision.parse(name)
        if len(set(names)) < len(names):
            raise ValueError("a precision stands twice: equal choices would split their probability")
        return names

    @field_validator("ends")
    @classmethod
    def _end(cls, name: str) -> str:
        Precision.parse(name)
        return name

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """The precisions, parsed."""
        return tuple(map(Precision.parse, self.precision))

    @property
    def levels(self) -> tuple[Level, ...]:
        """The shares of zeros."""
        return self.sparsity.choices if self.sparsity else (DENSE,)

    def blocks(self, candidates: Sequence[Candidate], c_in: int) -> tuple[Block, ...]:
        """The distinct blocks of a layer with `c_in` input channels: the candidates in their order, then the
        narrower widths between them, each named after the narrowest candidate that holds it. A candidate that rounding
        leaves no narrower width keeps its full one, offered or not.
        """
        full = [Block(c, c.expansion * c_in) for c in candidates]
        narrow = {block: self._narrower(block) for block in full}
        kept = [block for block in full if 1.0 in self.width or not narrow[block]]
        found = sorted(Block(block.candidate, c_mid) for block, widths in narrow.items() for c_mid in widths)
        named = [Block(narrowest(candidates, b.candidate.kernel, b.c_mid, c_in), b.c_mid) for b in found]
        return tuple(dict.fromkeys([*kept, *named]))

    def _narrower(self, full: Block) -> list[int]:
        """Middle channels of the block's widths below the full one; a grouped block and a skip have none."""
        if full.candidate.groups != 1:
            return []
        rounded = (self._rounded(full.c_mid * width) for width in self.width if width < 1)
        return [c_mid for c_mid in rounded if c_mid < full.c_mid]

    def _rounded(self, channels: float) -> int:
        return max(self.width_multiple, round(channels / self.width_multiple) * self.width_multiple)

    def of(self, blocks: Iterable[Block], *, keeps_shape: bool) -> tuple[Choice, ...]:
        """Every choice of a layer with these blocks, block by block. An identity chooses nothing more, a projecting
        skip no sparsity.
        """
        found = []
        for block in blocks:
            is_skip = not block.candidate.kernel
            precisions = (FP32,) if is_skip and keeps_shape else self.precisions
            levels = (DENSE,) if is_skip else self.levels
            found += [Choice(block, precision, level) for precision in precisions for level in levels]
        return tuple(found)


def narrowest(candidates: Sequence[Candidate], kernel: int, c_mid: int, c_in: int) -> Candidate:
    """The ungrouped candidate of `kernel` with the least expansion that holds `c_mid` channels."""
    fitting = [c for c in candidates if c.kernel == kernel and c.groups == 1 and c.expansion * c_in >= c_mid]
    return min(fitting, key=lambda c: c.expansion)
