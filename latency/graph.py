"""The ONNX graph of an operator. The profiler times it and the exporter joins networks from it: one code for both.

A shape suffix is a legend: OIHW weights, NCHW tensors. BatchNorm is folded by whoever gives the weights.
`onnx` is imported only inside the functions that need it.

Integer operators (`Operator.is_integer`) are written as QuantizeLinear and DequantizeLinear around each layer: uint8
activations, int8 weights with a scale a row, int32 biases on the product of the two steps. Runtimes fuse that into
integer kernels (Jacob 2017, sec. 2.2). At fewer bits of activations rounding is simulated in float, on the grids of
training.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from latency import space_to_depth
from latency.integers import integers, steps_of
from latency.operator import Operator
from latency.weights import PIXEL, SIGNED, Weights, grid_places, shapes_of

LEAST = -3e38  # nothing is below it
OPSET = 17  # old enough for every runtime that is still sold, new enough for what is used here
IR_VERSION = 8


@dataclass
class GraphBuilder:
    """Collects ONNX nodes and initialisers; each `append` continues at the last tensor. `grid` is the step of the grid
    of 8 bits that tensor comes from, if it does.
    """

    last: str = "input"
    grid: float | None = None
    nodes: list[Any] = field(default_factory=list)
    initializers: list[Any] = field(default_factory=list)

    def append(self, operator: Operator, weights: Weights, name: str) -> None:
        """Adds `operator` after what stands, with nodes named `NAME/...`; none for an identity. `weights` as
        `shapes_of`; raises ValueError where a shape differs.
        """
        for key, shape in shapes_of(operator).items():
            if key not in weights or tuple(weights[key].shape) != shape:
                got = tuple(weights[key].shape) if key in weights else "nothing"
                raise ValueError(f"{name}.{key}: {operator.key} needs shape {shape}, got {got}")
        match operator.kind:
            case "mbconv":
                self._mbconv(operator, weights, name)
            case "skip" if operator.keeps_shape:
                pass
            case "skip":
                between_integers = self.grid is not None and operator.activation_bits == 32
                self._round(operator, weights, name, "input")
                self._layer(operator, weights, name, "project", stride=operator.stride)
                if between_integers:  # or onnxruntime would quantise this convolution too: see _round
                    self.node("Max", f"{name}/apart", self.constant(f"{name}/least", np.array(LEAST, np.float32)))
                self._round(operator, weights, name, "project")
            case "stem":
                self._stem(operator, weights, name)
            case "head":
                self._head(operator, weights, name)
            case "base":
                self.node("Identity", f"{name}/identity")

    def _stem(self, o: Operator, weights: Weights, name: str) -> None:
        stride, pads = o.stride, None
        if o.is_integer:
            if space_to_depth.pays(o.c_in, o.h, o.w, stride=o.stride):
                self.node("SpaceToDepth", f"{name}/blocks", blocksize=2)
                weight, pads = space_to_depth.over_blocks(weights["conv.weight"])
                weights, stride = {**weights, "conv.weight": weight}, 1
            self._quantize(f"{name}/pixels", PIXEL, signed=False)
        self._layer(o, weights, name, "conv", stride=stride, relu=True, pads=pads)
        self._round(o, weights, name, "conv")

    def _mbconv(self, o: Operator, weights: Weights, name: str) -> None:
        came = self.last
        self._round(o, weights, name, "input")
        added = self.last if o.is_integer else came  # simulated in float, sums stay wide
        self._layer(o, weights, name, "expand", groups=o.groups, relu=True)
        self._round(o, weights, name, "expand")
        if o.groups > 1:
            self._shuffle(o, name)
        self._layer(o, weights, name, "depthwise", stride=o.stride, groups=o.c_mid, relu=True)
        self._round(o, weights, name, "depthwise")
        self._layer(o, weights, name, "project", groups=o.groups)
        self._round(o, weights, name, "project")
        if o.keeps_shape:
            self.node("Add", f"{name}/add", added)

    def _shuffle(self, o: Operator, name: str) -> None:
        """Channel shuffle (ShuffleNet, sec. 3.1): channel g * n + i goes to i * groups + g."""
        split, grid = [0, o.groups, o.c_mid // o.groups, o.h, o.w], self.grid
        self.node("Reshape", f"{name}/split", self.constant(f"{name}/split_shape", np.array(split, np.int64)))
        self.node("Transpose", f"{name}/shuffle", perm=[0, 2, 1, 3, 4])
        self.node(
            "Reshape", f"{name}/merge", self.constant(f"{name}/merge_shape", np.array([0, o.c_mid, o.h, o.w], np.int64))
        )
        self.grid = grid  # moved, not changed

    def _head(self, o: Operator, weights: Weights, name: str) -> None:
        self._round(o, weights, name, "input")
        self._layer(o, weights, name, "conv", relu=True)
        self._round(o, weights, name, "conv")
        self.node("GlobalAveragePool", f"{name}/pool")
        if o.is_integer:  # flattened as integers: between their floats and the layer it would hide one from the other
            self._quantize(f"{name}/pool/grid", float(weights["pool.size"]), signed=False, flattened=f"{name}/flatten")
        else:
            self._round(o, weights, name, "pool")
            self.node("Flatten", f"{name}/flatten")
        inputs = self._weight(o, weights, f"{name}/linear", "linear")
        self.node("Gemm", f"{name}/linear", *inputs, transB=1)

    def _layer(
        self, o: Operator, weights: Weights, name: str, layer: str, *, stride: int = 1, groups: int = 1,
        relu: bool = False, pads: list[int] | None = None,
    ) -> None:  # fmt: skip
        """The convolution `layer` of an operator, padded by half its kernel where `pads` says nothing else."""
        kernel = weights[f"{layer}.weight"].shape[-1]
        inputs = self._weight(o, weights, f"{name}/{layer}", layer)
        pads, strides, window = pads or [kernel // 2] * 4, [stride] * 2, [kernel] * 2
        self.node("Conv", f"{name}/{layer}", *inputs, kernel_shape=window, strides=strides, pads=pads, group=groups)
        if relu:
            self.node("Relu", f"{name}/{layer}/relu")

    def _weight(self, o: Operator, weights: Weights, name: str, layer: str) -> tuple[str, str]:
        """Names of the weight and bias that `layer` reads; those of an integer operator are stored as integers."""
        weight, bias = weights[f"{layer}.weight"], weights[f"{layer}.bias"]
        if not o.is_integer:
            return self.constant(f"{name}.weight", weight), self.constant(f"{name}.bias", bias)
        assert self.grid is not None, "an integer layer reads a grid"
        size_O = weights[f"{layer}.weight.size"]
        stored = integers(weight, bias, size_O=size_O, bits=o.weight_bits, grid=self.grid)
        return (
            self._dequantized(f"{name}.weight", stored.weight, stored.scale_O),
            self._dequantized(f"{name}.bias", stored.bias, np.float32(self.grid) * stored.scale_O),
        )

    def _dequantized(self, name: str, value: np.ndarray, scale_O: np.ndarray) -> str:
        """A constant of integers, a scale a row, as the floats that a graph in this form computes with."""
        parts = (self.constant(name, value), self.constant(f"{name}.scale", scale_O),
                 self.constant(f"{name}.zero", np.zeros(len(scale_O), value.dtype)))  # fmt: skip
        return self._add("DequantizeLinear", f"{name}/dequantized", *parts, axis=0)

    def _round(self, o: Operator, weights: Weights, name: str, place: str) -> None:
        """Rounds the last tensor on the grid of `place`; nothing where the operator has none, or reads one."""
        if place not in grid_places(o):
            return
        size, grid = weights[f"{place}.size"], f"{name}/{place}/grid"
        if o.is_integer:
            if place != "input" or self.grid is None:
                self._quantize(grid, float(size), signed=place in SIGNED)
            return
        # Not QuantizeLinear: where a convolution stands between two of them, onnxruntime quantises its float weights as
        # it likes (WeightBiasQuantization; logits moved by up to 6 % with 1.32). And it knows no grid below 8 bits.
        bottom, top = steps_of(o.activation_bits, signed=place in SIGNED)
        inverse, step, least, greatest = (
            self.constant(f"{grid}.{part}", np.array(value, np.float32))
            for part, value in (("inverse", 1 / size), ("size", size), ("bottom", bottom), ("top", top))
        )
        self.node("Mul", f"{grid}/steps", inverse)
        self.node("Round", f"{grid}/round")  # halves to even, as torch does
        self.node("Clip", f"{grid}/clip", least, greatest)
        self.node("Mul", f"{grid}/values", step)

    def _quantize(self, name: str, size: float, *, signed: bool, flattened: str | None = None) -> None:
        """To uint8 and back: signed values about 128, which integer kernels are quicker with than with int8. A node
        named `flattened` makes (N, C) of them between.
        """
        scale = self.constant(f"{name}.scale", np.array(size, np.float32))
        zero = self.constant(f"{name}.zero", np.array(128 if signed else 0, np.uint8))
        self.node("QuantizeLinear", f"{name}/quantized", scale, zero)
        if flattened is not None:
            self.node("Flatten", flattened)
        self.node("DequantizeLinear", f"{name}/values", scale, zero)
        self.grid = float(np.float32(size))

    def constant(self, name: str, value: np.ndarray) -> str:
        """Stores an initialiser and gives its name back."""
        from onnx import numpy_helper

        self.initializers.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def node(self, op_type: str, name: str, *inputs: str, **attributes: Any) -> None:
        """Adds one node that reads the last tensor and `inputs`; its output, named as the node, becomes the last."""
        self.last = self._add(op_type, name, self.last, *inputs, **attributes)
        self.grid = None

    def _add(self, op_type: str, name: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(op_type, inputs, [name], name, **attributes))
        return name

    def model(self, input_shape: Sequence[int | str], output_shape: Sequence[int | str], name: str = "lutnas") -> Any:
        """The checked `onnx.ModelProto`, from `input` to `output`, both float32. A text as a dimension leaves it
        open.
        """
        import onnx
        from onnx import TensorProto, helper

        self.node("Identity", "output") if self.last == "input" else self._rename_last("output")
        inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, list(input_shape))]
        outputs = [helper.make_tensor_value_info("output", TensorProto.FLOAT, list(output_shape))]
        graph = helper.make_graph(self.nodes, name, inputs, outputs, self.initializers)
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="lutnas")
        onnx.checker.check_model(model, full_check=True)
        return model

    def _rename_last(self, name: str) -> None:
        self.nodes[-1].output[0] = name
        self.last = name


def output_shape(operator: Operator, batch: int | str) -> list[int | str]:
    """Shape of what `operator` gives: NCHW, or (batch, classes) after a head."""
    return [batch, operator.c_out] if operator.kind == "head" else [batch, operator.c_out, *operator.out_hw]


def chain(operators: Sequence[Operator], weights: Iterable[Weights], names: Iterable[str], *, batch: int | str) -> Any:
    """One `onnx.ModelProto` of `operators` one after another; raises ValueError where two do not fit."""
    first, last = operators[0], operators[-1]
    for before, after in pairwise(operators):
        if output_shape(before, 1)[1:] != [after.c_in, after.h, after.w]:
            raise ValueError(f"{after.key} cannot follow {before.key}: shapes differ")
    builder = GraphBuilder()
    for operator, weight, name in zip(operators, weights, names, strict=True):
        builder.append(operator, weight, name)
    return builder.model([batch, first.c_in, first.h, first.w], output_shape(last, batch))
