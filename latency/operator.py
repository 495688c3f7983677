"""The identity of an operator: what is timed, at its shapes and precision. It is the key of every table.

Errors:
    OperatorError (ValueError)   a field that no operator can have; `.field` names it
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Literal, get_args

Kind = Literal["mbconv", "skip", "stem", "head", "boundary", "base"]
KINDS: tuple[str, ...] = get_args(Kind)
PATTERNS = ("", "unstructured", "1:4", "2:4", "4:8")


class OperatorError(ValueError):
    """A field of an operator that cannot be; `field` names it."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


@dataclass(frozen=True, slots=True, order=True)
class Operator:
    """One timed unit of a network. Shapes are those of the input; 0 stands where a field does not apply.

    `mbconv`  1x1 convolution to `c_mid`, depthwise `kernel`, 1x1 to `c_out`; with `groups` > 1 both 1x1 are grouped and
              the channels shuffled after the first (FBNet, fig. 3). Shape-preserving ones add their input.
    `skip`    the identity, or where the shape changes a 1x1 convolution with `stride`.
    `stem`    the first convolution with ReLU.
    `head`    1x1 convolution to `c_mid` with ReLU, mean over the picture, linear layer to `c_out` classes.
    `boundary` what a tensor of the shape costs that changes its format: into integers at 8 `activation_bits`, out of
              them at 32.
    `base`    what one call costs, whatever it runs.
    """

    kind: Kind
    h: int = 0
    w: int = 0
    c_in: int = 0
    c_mid: int = 0
    c_out: int = 0
    stride: int = 0
    kernel: int = 0
    groups: int = 0
    weight_bits: int = 32
    activation_bits: int = 32
    sparsity: float = 0.0
    pattern: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise OperatorError("kind", f"{self.kind!r} is none of {', '.join(KINDS)}")
        counts = self.h, self.w, self.c_in, self.c_mid, self.c_out, self.stride, self.kernel, self.groups
        if min(counts) <= 0:  # nearly no row of a table, and a table has many: one look for all
            self._check_counts(counts)
        for name in ("weight_bits", "activation_bits"):
            if not 1 <= getattr(self, name) <= 32:
                raise OperatorError(name, f"{getattr(self, name)} is not between 1 and 32")
        if not (math.isfinite(self.sparsity) and 0.0 <= self.sparsity < 1.0):
            raise OperatorError("sparsity", f"{self.sparsity} is not in [0, 1)")
        if self.pattern not in PATTERNS:
            raise OperatorError("pattern", f"{self.pattern!r} is none of {', '.join(p or 'empty' for p in PATTERNS)}")
        if self.groups > 1 and (self.c_in % self.groups or self.c_mid % self.groups or self.c_out % self.groups):
            raise OperatorError(
                "groups", f"{self.groups} does not divide the channels {self.c_in}, {self.c_mid}, {self.c_out}"
            )

    def _check_counts(self, counts: tuple[int, ...]) -> None:
        for name, count in zip(COUNTS, counts, strict=True):
            if count < 0:
                raise OperatorError(name, f"{count} is negative")
        for name in NEEDED[self.kind]:
            if getattr(self, name) == 0:
                raise OperatorError(name, f"a {self.kind} needs it, and at least 1")

    @property
    def keeps_shape(self) -> bool:
        """Whether the output has the input's shape, so that an mbconv adds its input and a skip is the identity."""
        return self.stride == 1 and self.c_in == self.c_out

    @property
    def is_identity(self) -> bool:
        """Whether it computes nothing: a skip that keeps the shape."""
        return self.kind == "skip" and self.keeps_shape

    @property
    def is_integer(self) -> bool:
        """Whether it reads and computes integers, as runtimes do at 8 bits of activations and 2 to 8 of weights. What
        has fewer bits of activations is simulated in float.
        """
        return self.computes and self.activation_bits == 8 and 2 <= self.weight_bits <= 8

    @property
    def computes(self) -> bool:
        """Whether it has weights: no identity, boundary or base."""
        return self.kind in ("mbconv", "skip", "stem", "head") and not self.is_identity

    @property
    def out_hw(self) -> tuple[int, int]:
        """Height and width of the output: `ceil(input / stride)`, as padding by half the kernel gives."""
        return -(-self.h // self.stride), -(-self.w // self.stride)

    @property
    def key(self) -> str:
        """A short text for people and logs, equal for equal operators."""
        if self.kind == "base":
            return "base"
        if self.kind == "boundary":
            return f"boundary {self.h}x{self.w} {self.c_in} to a{self.activation_bits}"
        shape = f"{self.kind} {self.h}x{self.w} {self.c_in}-{self.c_mid}-{self.c_out} s{self.stride}"
        block = f" k{self.kernel}" + (f" g{self.groups}" if self.groups > 1 else "") if self.kernel else ""
        bits = (
            f" w{self.weight_bits}a{self.activation_bits}"
            if (self.weight_bits, self.activation_bits) != (32, 32)
            else ""
        )
        sparse = f" {self.pattern}@{self.sparsity:g}" if self.sparsity else ""
        return shape + block + bits + sparse


FIELDS = tuple(f.name for f in fields(Operator))
COUNTS = ("h", "w", "c_in", "c_mid", "c_out", "stride", "kernel", "groups")
NEEDED: dict[str, tuple[str, ...]] = {
    "mbconv": COUNTS,
    "skip": ("h", "w", "c_in", "c_out", "stride"),
    "stem": ("h", "w", "c_in", "c_out", "stride", "kernel"),
    "head": ("h", "w", "c_in", "c_mid", "c_out"),
    "boundary": ("h", "w", "c_in"),
    "base": (),
}
BASE = Operator("base")


def boundary(operator: Operator) -> Operator:
    """The change of format in front of `operator`, where what comes has the other one."""
    return Operator("boundary", operator.h, operator.w, operator.c_in, activation_bits=8 if operator.is_integer else 32)


def with_boundaries(operators: Iterable[Operator]) -> Iterator[Operator]:
    """The operators of a network in order, with a boundary where the format changes; identities pass it on. The first
    one reads pixels and the last one gives floats as their own rows say.
    """
    is_integer: bool | None = None
    for operator in operators:
        if operator.computes:
            if is_integer not in (None, operator.is_integer):
                yield boundary(operator)
            is_integer = operator.is_integer
        yield operator
