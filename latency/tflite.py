"""The TFLite graph of a chain of operators, from the weights that the ONNX one is made of (`latency.graph`).

Tensors are NHWC. Integer operators have int8 activations (zero at 0 where they are signed, at -128 after a ReLU),
int8 weights with a scale a row and int32 biases; a sum of two of them is taken on the grid of whoever reads it, as
onnxruntime fuses it. The classifier stays in floats: TFLite would want a grid for logits.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from latency.graph import output_shape
from latency.integers import integers
from latency.operator import Operator
from latency.tflite_file import Grid, Options, Shape, TfliteFile, Value
from latency.weights import PIXEL, SIGNED, Weights


class UnsupportedOperator(ValueError):
    """TFLite has no graph for an operator."""


def grid_of(weights: Weights, place: str) -> Grid:
    """The grid of a place that an integer operator rounds at."""
    return Grid(float(np.float32(weights[f"{place}.size"])), 0 if place in SIGNED else -128)


class TfliteBuilder:
    """Collects tensors and operators; each `append` continues at the last value, or at the sum of two of them."""

    def __init__(self, shape: Shape) -> None:
        self.file = TfliteFile(shape)
        self.last = self.file.input
        self.added: Value | None = None  # what `last` has still to be added to

    def append(self, operator: Operator, weights: Weights, name: str) -> None:
        """Adds `operator` after what stands; nothing for an identity. Raises UnsupportedOperator."""
        o = operator
        if min(o.weight_bits, o.activation_bits) < 32 and not o.is_integer and not o.is_identity:
            raise UnsupportedOperator(f"{name}: {o.key} is simulated in float, which TFLite has no operators for")
        match o.kind:
            case "mbconv":
                self._mbconv(o, weights, name)
            case "skip" if o.keeps_shape:
                pass
            case "skip":
                self._read(o, weights)
                self._conv(o, weights, name, "project", stride=o.stride)
            case "stem":
                if o.is_integer:
                    self._quantize(Grid(float(np.float32(PIXEL)), -128))
                self._conv(o, weights, name, "conv", stride=o.stride, relu=True)
            case "head":
                self._head(o, weights, name)
            case "base":
                self._float()
            case _:
                raise UnsupportedOperator(f"{name}: no graph is known for {o.key}")

    def _mbconv(self, o: Operator, weights: Weights, name: str) -> None:
        read = self._read(o, weights)
        self._conv(o, weights, name, "expand", groups=o.groups, relu=True)
        if o.groups > 1:
            self._shuffle(o.groups, name)
        self._conv(o, weights, name, "depthwise", stride=o.stride, groups=o.c_mid, relu=True)
        self._conv(o, weights, name, "project", groups=o.groups)
        if o.keeps_shape:
            self.added = read
            if not o.is_integer:
                self._float()

    def _head(self, o: Operator, weights: Weights, name: str) -> None:
        self._read(o, weights)
        self._conv(o, weights, name, "conv", relu=True)
        axes = self.file.constant(f"{name}/axes", np.array([1, 2], np.int32))
        pool = grid_of(weights, "pool") if o.is_integer else None
        options = self.file.options("ReducerOptions", keepDims=False)
        self._node("MEAN", [self.last, axes], (1, o.c_mid), options, pool, name=f"{name}/pool")
        self._float()
        inputs = [self.file.constant(f"{name}/linear.{part}", weights[f"linear.{part}"]) for part in ("weight", "bias")]
        options = self.file.options("FullyConnectedOptions")
        self._node("FULLY_CONNECTED", [self.last, *inputs], (1, o.c_out), options, name=f"{name}/linear")

    def _read(self, o: Operator, weights: Weights) -> Value:
        """What the operator reads: floats, or integers on the grid they come on or else its own."""
        if not o.is_integer:
            return self._float()
        if self.added is not None or self.last.grid is None:
            self._quantize(grid_of(weights, "input"))
        return self.last

    def _float(self) -> Value:
        """The last value in floats, a sum taken."""
        values = [value if value.grid is None else self._dequantized(value) for value in self._summands()]
        self.last, self.added = values[0], None
        if len(values) == 2:
            self._node("ADD", values, self.last.shape, self.file.options("AddOptions"))
        return self.last

    def _quantize(self, grid: Grid) -> None:
        """The last value on `grid`, a sum of integers taken there."""
        values = self._summands()
        if len(values) == 2 and all(value.grid is not None for value in values):
            self.added = None
            self._node("ADD", values, self.last.shape, self.file.options("AddOptions"), grid)
            return
        self._node("QUANTIZE", [self._float()], self.last.shape, self.file.options("QuantizeOptions"), grid)

    def _summands(self) -> list[Value]:
        return [self.last] if self.added is None else [self.last, self.added]

    def _dequantized(self, value: Value) -> Value:
        return self.file.add("DEQUANTIZE", [value], value.shape, self.file.options("DequantizeOptions"))

    def _shuffle(self, groups: int, name: str) -> None:
        """Channel shuffle (ShuffleNet, sec. 3.1): channel g * n + i goes to i * groups + g."""
        shape, grid = self.last.shape, self.last.grid
        split, turned = (*shape[:3], groups, shape[3] // groups), (*shape[:3], shape[3] // groups, groups)
        order = self.file.constant(f"{name}/order", np.array([0, 1, 2, 4, 3], np.int32))
        self._reshape(split, name)
        self._node("TRANSPOSE", [self.last, order], turned, self.file.options("TransposeOptions"), grid)
        self._reshape(shape, name)

    def _reshape(self, shape: Shape, name: str) -> None:
        to = self.file.constant(f"{name}/shape", np.array(shape, np.int32))
        options = self.file.options("ReshapeOptions", newShape=list(shape))
        self._node("RESHAPE", [self.last, to], shape, options, self.last.grid)

    def _conv(
        self, o: Operator, weights: Weights, name: str, layer: str, *, stride: int = 1, groups: int = 1,
        relu: bool = False,
    ) -> None:  # fmt: skip
        """The convolution `layer` of an operator, padded by half its kernel on every side."""
        weight_OIHW, bias = weights[f"{layer}.weight"], weights[f"{layer}.bias"]
        kernel, is_depthwise = weight_OIHW.shape[-1], layer == "depthwise"
        if stride > 1 and kernel > 1:
            self._pad(kernel // 2, name)
        layout = (1, 2, 3, 0) if is_depthwise else (0, 2, 3, 1)  # IHWO of one I, or OHWI
        if o.is_integer:
            grid, rows = self.last.grid, 3 if is_depthwise else 0
            assert grid is not None, "an integer layer reads a grid"
            size_O = weights[f"{layer}.weight.size"]
            stored = integers(weight_OIHW, bias, size_O=size_O, bits=o.weight_bits, grid=grid.size)
            inputs = [
                self.file.constant(f"{name}/{layer}.weight", stored.weight.transpose(layout), stored.scale_O, rows),
                self.file.constant(f"{name}/{layer}.bias", stored.bias, np.float32(grid.size) * stored.scale_O),
            ]
        else:
            inputs = [self.file.constant(f"{name}/{layer}.weight", weight_OIHW.transpose(layout)),
                      self.file.constant(f"{name}/{layer}.bias", bias)]  # fmt: skip
        padding = self.file.schema.Padding.VALID if stride > 1 else self.file.schema.Padding.SAME
        kind = "DepthwiseConv2DOptions" if is_depthwise else "Conv2DOptions"
        activation = getattr(self.file.schema.ActivationFunctionType, "RELU" if relu else "NONE")
        options = self.file.options(kind, padding=padding, strideW=stride, strideH=stride,
                                fusedActivationFunction=activation)  # fmt: skip
        if is_depthwise:
            options.values.depthMultiplier = 1
        _, h, w, _ = self.last.shape
        inner = 0 if stride == 1 or kernel == 1 else kernel - 1
        shape = (1, -(-(h - inner) // stride), -(-(w - inner) // stride), len(weight_OIHW))
        grid = grid_of(weights, layer) if o.is_integer else None
        code = "DEPTHWISE_CONV_2D" if is_depthwise else "CONV_2D"
        self._node(code, [self.last, *inputs], shape, options, grid, name=f"{name}/{layer}")

    def _pad(self, edge: int, name: str) -> None:
        """Zeros around every picture: TFLite's own padding is uneven where it strides."""
        _, h, w, c = self.last.shape
        widths = self.file.constant(f"{name}/padding", np.array([[0, 0], [edge, edge], [edge, edge], [0, 0]], np.int32))
        shape = (1, h + 2 * edge, w + 2 * edge, c)
        self._node("PAD", [self.last, widths], shape, self.file.options("PadOptions"), self.last.grid)

    def _node(
        self, code: str, inputs: Sequence[Value], shape: Shape, options: Options, grid: Grid | None = None, *,
        name: str = "",
    ) -> None:  # fmt: skip
        self.last = self.file.add(code, inputs, shape, options, grid, name=name)

    def content(self) -> bytes:
        """The file, from float32 to float32."""
        if self._float() == self.file.input:
            self._reshape(self.last.shape, "identity")
        return self.file.content(self.last)


def chain(operators: Sequence[Operator], weights: Iterable[Weights], names: Iterable[str]) -> bytes:
    """One `.tflite` file of `operators` one after another, batch 1, NHWC. Raises UnsupportedOperator, and ValueError
    where two do not fit.
    """
    first = operators[0]
    for before, after in pairwise(operators):
        if output_shape(before, 1)[1:] != [after.c_in, after.h, after.w]:
            raise ValueError(f"{after.key} cannot follow {before.key}: shapes differ")
    builder = TfliteBuilder((1, first.h, first.w, first.c_in))
    for operator, weight, name in zip(operators, weights, names, strict=True):
        builder.append(operator, weight, name)
    return builder.content()
