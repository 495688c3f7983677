"""Reads an ONNX graph of QuantizeLinear and DequantizeLinear, and computes what lies between them in integers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from search.executor.layers import convolution, linear
from search.executor.rounding import ROUNDINGS, Rounding

GUARD = 16  # bits below a step while two tensors are brought to one grid (Jacob 2017, appendix A.2)
PICTURES = 64  # at once: what windows of a convolution take stays small


class NotExecutable(ValueError):
    """The file holds what the executor has no rule for."""


class Stored(NamedTuple):
    """A tensor of integers: value = scale * (steps - zero). `scale` () float32, or one a row of a weight."""

    steps: np.ndarray
    scale: np.ndarray
    zero: int

    @property
    def whole(self) -> np.ndarray:
        """Without the zero, int64."""
        return self.steps.astype(np.int64) - self.zero


class Sums(NamedTuple):
    """What a layer adds up, int64 in steps of `scale`: () or one a channel, float32. Its value is that of the sum over
    `divisor`.
    """

    whole: np.ndarray
    scale: np.ndarray
    divisor: int = 1


class Pair(NamedTuple):
    """A sum of two tensors of different steps, not yet taken."""

    left: Stored
    right: Stored


Value = Stored | Sums | Pair | np.ndarray


class Executor:
    """An exported network. Calls take float32 pixels (N, C, H, W) and give float32."""

    def __init__(self, model: Any, *, rounding: Rounding = "onnx") -> None:
        from onnx import numpy_helper

        self._rounding, self._round = rounding, ROUNDINGS[rounding]
        self._nodes = list(model.graph.node)
        self._constants = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
        (given,), (wanted,) = model.graph.input, model.graph.output
        self._given, self._wanted = given.name, wanted.name
        self._rules: dict[str, Callable[[Any, list[Value]], Value]] = {
            "QuantizeLinear": self._quantize, "DequantizeLinear": self._dequantize, "Conv": self._conv,
            "Gemm": self._gemm, "Relu": self._relu, "Add": self._add, "GlobalAveragePool": self._pool,
            "Reshape": self._reshape, "Transpose": self._transpose, "Flatten": self._flatten,
            "SpaceToDepth": self._blocks, "Concat": self._concat, "Identity": lambda node, inputs: inputs[0],
        }  # fmt: skip

    def __call__(self, pixels_NCHW: np.ndarray) -> np.ndarray:
        """The output. Raises NotExecutable."""
        starts = range(0, len(pixels_NCHW), PICTURES)
        parts = [self._run(pixels_NCHW[start : start + PICTURES], {}) for start in starts]
        return np.concatenate([part[self._wanted] for part in parts])

    def beside(self, pixels_NCHW: np.ndarray, told: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What the tensors of `told` are here where each is computed from what `told` says of those before. Raises
        NotExecutable.
        """
        found = self._run(pixels_NCHW, told)
        return {name: found[name] for name in told}

    def _run(self, pixels_NCHW: np.ndarray, told: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The output, and the tensors of `told` before they are replaced."""
        values: dict[str, Value] = {**self._constants, self._given: pixels_NCHW}
        found = dict[str, np.ndarray]()
        for node in self._nodes:
            if node.op_type not in self._rules:
                raise NotExecutable(f"{node.name}: {node.op_type} has no rule in integers")
            (name,) = node.output
            values[name] = self._rules[node.op_type](node, [values[name] for name in node.input])
            if name in told or name == self._wanted:
                found[name] = in_floats(values[name])
            if name in told:
                values[name] = _as(values[name], told[name])
        return found

    def _quantize(self, node: Any, inputs: list[Value]) -> Stored:
        value, scale, zero = inputs[0], *_constants(node, inputs[1:])
        if isinstance(value, Sums):
            steps = self._round(value.whole, _channels(value.scale / scale / value.divisor, value.whole.ndim))
        elif isinstance(value, Pair):
            steps = self._rounded_pair(value, scale, int(zero))
        elif isinstance(value, np.ndarray):
            steps = np.rint(value / scale).astype(np.int64)
        else:
            raise NotExecutable(f"{node.name}: a tensor of integers is quantised anew")
        kind, about = np.iinfo(zero.dtype), int(zero)
        return Stored(np.clip(steps + about, kind.min, kind.max).astype(zero.dtype), scale, about)

    def _rounded_pair(self, pair: Pair, scale: np.ndarray, zero: int) -> np.ndarray:
        """As onnxruntime's fused sum does it where that is followed; else both rounded to steps GUARD bits finer, and
        then their sum.
        """
        if self._rounding == "onnx":
            return fused_sum(pair, scale, zero)
        fine = sum(self._round(part.whole << GUARD, np.asarray(part.scale / scale)) for part in pair)
        return np.asarray((fine + (1 << (GUARD - 1))) >> GUARD)

    def _dequantize(self, node: Any, inputs: list[Value]) -> Stored:
        value, (scale, zero) = inputs[0], _constants(node, inputs[1:])
        if isinstance(value, Stored):
            return value
        if not isinstance(value, np.ndarray) or zero.any():  # weights and biases are about 0
            raise NotExecutable(f"{node.name}: is no constant about 0")
        return Stored(value, scale, 0)

    def _conv(self, node: Any, inputs: list[Value]) -> Sums:
        x, weight, bias = self._stored(node, inputs)
        told = _attributes(node)
        kernel = weight.steps.shape[2:]
        whole = convolution(
            x.whole, weight.whole, pads=tuple(told.get("pads", (0, 0, 0, 0))), groups=told.get("group", 1),
            strides=tuple(told.get("strides", (1,) * len(kernel))),
        )  # fmt: skip
        return Sums(whole + bias.whole[:, None, None], x.scale * weight.scale)

    def _gemm(self, node: Any, inputs: list[Value]) -> Sums:
        x, weight, bias = self._stored(node, inputs)
        if not _attributes(node).get("transB"):
            raise NotExecutable(f"{node.name}: its weight is not (outputs, inputs)")
        return Sums(linear(x.whole, weight.whole) + bias.whole, x.scale * weight.scale)

    def _relu(self, node: Any, inputs: list[Value]) -> Value:
        (value,) = inputs
        if isinstance(value, Sums):
            return value._replace(whole=np.maximum(value.whole, 0))
        raise NotExecutable(f"{node.name}: a ReLU stands after a layer")

    def _add(self, node: Any, inputs: list[Value]) -> Pair:
        return Pair(*self._stored(node, inputs))

    def _pool(self, node: Any, inputs: list[Value]) -> Sums:
        (x,) = self._stored(node, inputs)
        return Sums(x.whole.sum((2, 3), keepdims=True), x.scale, x.steps.shape[2] * x.steps.shape[3])

    def _reshape(self, node: Any, inputs: list[Value]) -> Value:
        (x,) = self._stored(node, inputs[:1])
        assert isinstance(inputs[1], np.ndarray)
        sizes = [x.steps.shape[n] if size == 0 else int(size) for n, size in enumerate(inputs[1])]
        return x._replace(steps=x.steps.reshape(sizes))

    def _transpose(self, node: Any, inputs: list[Value]) -> Value:
        (x,) = self._stored(node, inputs)
        return x._replace(steps=x.steps.transpose(_attributes(node)["perm"]))

    def _flatten(self, node: Any, inputs: list[Value]) -> Value:
        (x,) = self._stored(node, inputs)
        return x._replace(steps=x.steps.reshape(len(x.steps), -1))

    def _blocks(self, node: Any, inputs: list[Value]) -> np.ndarray:
        """Of pixels, before they become integers."""
        (pixels,), size = inputs, _attributes(node)["blocksize"]
        if not isinstance(pixels, np.ndarray):
            raise NotExecutable(f"{node.name}: SpaceToDepth stands after the input")
        n, c, h, w = pixels.shape
        split = pixels.reshape(n, c, h // size, size, w // size, size)
        return split.transpose(0, 3, 5, 1, 2, 4).reshape(n, size * size * c, h // size, w // size)

    def _concat(self, node: Any, inputs: list[Value]) -> Value:
        """Tensors of one grid; others have to be brought there before (Jacob 2017, appendix A.3)."""
        parts = self._stored(node, inputs)
        if any((part.scale, part.zero) != (parts[0].scale, parts[0].zero) for part in parts):
            raise NotExecutable(f"{node.name}: joins tensors of different grids")
        steps = np.concatenate([part.steps for part in parts], axis=_attributes(node)["axis"])
        return parts[0]._replace(steps=steps)

    def _stored(self, node: Any, inputs: Sequence[Value]) -> list[Stored]:
        """The inputs of a node, all of them integers."""
        found = [value for value in inputs if isinstance(value, Stored)]
        if len(found) < len(inputs):
            raise NotExecutable(f"{node.name}: {node.op_type} reads floats")
        return found


def fused_sum(pair: Pair, scale: np.ndarray, zero: int) -> np.ndarray:
    """Steps of `scale` without the zero: left * ratio + (right * ratio + constant) in float32 by fused multiply-adds,
    the order and the constant being those of onnxruntime's QLinearAdd. Products of two float32 are exact in float64.
    """
    (left, left_ratio), (right, right_ratio) = ((part, np.float32(part.scale / scale)) for part in pair)
    taken = np.float32(left_ratio * np.float32(left.zero)) + np.float32(right_ratio * np.float32(right.zero))
    constant = np.float32(np.float32(zero) - taken)
    inner = (right.steps.astype(np.float64) * right_ratio + constant).astype(np.float32)
    outer = (left.steps.astype(np.float64) * left_ratio + inner).astype(np.float32)
    return np.rint(outer).astype(np.int64) - zero


def in_floats(value: Value) -> np.ndarray:
    """What integers stand for, float32."""
    match value:
        case Stored():
            return np.asarray(value.whole.astype(np.float32) * value.scale)
        case Sums():
            scale = _channels(value.scale, value.whole.ndim)
            return np.asarray(value.whole.astype(np.float32) * scale / np.float32(value.divisor))
        case Pair():
            return np.asarray(in_floats(value.left) + in_floats(value.right))
        case _:
            return value


def _as(value: Value, told: np.ndarray) -> Value:
    """What `told` says in the form of `value`: floats, or steps of its grid."""
    if not isinstance(value, Stored):
        return told
    steps = np.rint(told / value.scale).astype(np.int64) + value.zero
    return value._replace(steps=steps.astype(value.steps.dtype))


def _constants(node: Any, inputs: Sequence[Value]) -> tuple[np.ndarray, np.ndarray]:
    """Scale and zero of a node."""
    scale, zero = inputs
    if not isinstance(scale, np.ndarray) or not isinstance(zero, np.ndarray):
        raise NotExecutable(f"{node.name}: its grid is no constant")
    return scale, zero


def _channels(scale: np.ndarray, dimensions: int) -> np.ndarray:
    """A scale a channel, along dimension 1."""
    wide = np.asarray(scale, np.float32)
    return wide.reshape(-1, *[1] * (dimensions - 2)) if wide.ndim else wide


def _attributes(node: Any) -> dict[str, Any]:
    from onnx import helper

    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
