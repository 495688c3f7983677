"""The ONNX graph of an operator. The profiler times it and the exporter joins networks from it: one code for both.

A shape suffix is a legend: OIHW weights, NCHW tensors. BatchNorm is folded by whoever gives the weights.
`onnx` is imported only inside the functions that need it.

At fewer than 32 activation bits, what a convolution reads is rounded in the graph: simulated in float, on the grids of
training, not computed in integers. Weights come rounded.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from latency.operator import Operator

Weights = Mapping[str, np.ndarray]
OPSET = 17  # old enough for every runtime that is still sold, new enough for what is used here
IR_VERSION = 8


def shapes_of(operator: Operator) -> dict[str, tuple[int, ...]]:
    """Names and shapes of an operator's weights, e.g. `expand.weight` (c_mid, c_in / groups, 1, 1), then of the steps
    of its grids, e.g. `input.size` (): none at 32 activation bits.
    """
    return _weight_shapes(operator) | {f"{place}.size": () for place in grid_places(operator)}


def grid_places(operator: Operator) -> tuple[str, ...]:
    """Where an operator rounds: its `input`, on a signed grid, and behind the ReLU of each convolution named, on an
    unsigned one. A stem's pixels have eight bits already, an identity rounds nothing.
    """
    o = operator
    if o.activation_bits == 32 or o.is_identity:
        return ()
    return {"mbconv": ("input", "expand", "depthwise"), "skip": ("input",), "head": ("input", "conv")}.get(o.kind, ())


def _weight_shapes(operator: Operator) -> dict[str, tuple[int, ...]]:
    o = operator
    match o.kind:
        case "mbconv":
            return {
                "expand.weight": (o.c_mid, o.c_in // o.groups, 1, 1), "expand.bias": (o.c_mid,),
                "depthwise.weight": (o.c_mid, 1, o.kernel, o.kernel), "depthwise.bias": (o.c_mid,),
                "project.weight": (o.c_out, o.c_mid // o.groups, 1, 1), "project.bias": (o.c_out,),
            }  # fmt: skip
        case "skip":
            return {} if o.keeps_shape else {"project.weight": (o.c_out, o.c_in, 1, 1), "project.bias": (o.c_out,)}
        case "stem":
            return {"conv.weight": (o.c_out, o.c_in, o.kernel, o.kernel), "conv.bias": (o.c_out,)}
        case "head":
            return {
                "conv.weight": (o.c_mid, o.c_in, 1, 1), "conv.bias": (o.c_mid,),
                "linear.weight": (o.c_out, o.c_mid), "linear.bias": (o.c_out,),
            }  # fmt: skip
        case "base":
            return {}
        case _:
            raise ValueError(f"{o.key}: no graph is known for kind {o.kind!r}")


def random_weights(operator: Operator, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Weights of the right shapes and a harmless size, float32; grids that hold most of a standard Gaussian."""
    weights = {
        name: (rng.standard_normal(shape) / np.sqrt(max(1, int(np.prod(shape[1:]))))).astype(np.float32)
        for name, shape in _weight_shapes(operator).items()
    }
    size = np.array(8.0 / 2**operator.activation_bits)
    return weights | {f"{place}.size": size for place in grid_places(operator)}


@dataclass
class GraphBuilder:
    """Collects ONNX nodes and initialisers; each `append` continues at the last tensor."""

    last: str = "input"
    nodes: list[Any] = field(default_factory=list)
    initializers: list[Any] = field(default_factory=list)

    def append(self, operator: Operator, weights: Weights, name: str) -> None:
        """Adds `operator` behind what stands, with nodes named `NAME/...`; none for an identity. `weights` as
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
                self._round(operator, weights, name, "input")
                self._conv(
                    f"{name}/project", weights["project.weight"], weights["project.bias"], stride=operator.stride
                )
            case "stem":
                self._conv(
                    f"{name}/conv", weights["conv.weight"], weights["conv.bias"], stride=operator.stride, relu=True
                )
            case "head":
                self._head(operator, weights, name)
            case "base":
                self.node("Identity", f"{name}/identity")

    def _mbconv(self, o: Operator, weights: Weights, name: str) -> None:
        block_input = self.last  # the residual sum takes it as it came
        self._round(o, weights, name, "input")
        self._conv(f"{name}/expand", weights["expand.weight"], weights["expand.bias"], groups=o.groups, relu=True)
        self._round(o, weights, name, "expand")
        if o.groups > 1:
            self._shuffle(o, name)
        depthwise = weights["depthwise.weight"]
        self._conv(
            f"{name}/depthwise", depthwise, weights["depthwise.bias"], stride=o.stride, groups=o.c_mid, relu=True
        )
        self._round(o, weights, name, "depthwise")
        self._conv(f"{name}/project", weights["project.weight"], weights["project.bias"], groups=o.groups)
        if o.keeps_shape:
            self.node("Add", f"{name}/add", block_input)

    def _shuffle(self, o: Operator, name: str) -> None:
        """Channel shuffle (ShuffleNet, sec. 3.1): channel g * n + i goes to i * groups + g."""
        split = [0, o.groups, o.c_mid // o.groups, o.h, o.w]
        self.node("Reshape", f"{name}/split", self.constant(f"{name}/split_shape", np.array(split, np.int64)))
        self.node("Transpose", f"{name}/shuffle", perm=[0, 2, 1, 3, 4])
        self.node(
            "Reshape", f"{name}/merge", self.constant(f"{name}/merge_shape", np.array([0, o.c_mid, o.h, o.w], np.int64))
        )

    def _head(self, o: Operator, weights: Weights, name: str) -> None:
        self._round(o, weights, name, "input")
        self._conv(f"{name}/conv", weights["conv.weight"], weights["conv.bias"], relu=True)
        self._round(o, weights, name, "conv")
        self.node("GlobalAveragePool", f"{name}/pool")
        self.node("Flatten", f"{name}/flatten")
        weight = self.constant(f"{name}/linear.weight", weights["linear.weight"])
        bias = self.constant(f"{name}/linear.bias", weights["linear.bias"])
        self.node("Gemm", f"{name}/linear", weight, bias, transB=1)

    def _conv(
        self,
        name: str,
        weight_OIHW: np.ndarray,
        bias: np.ndarray,
        *,
        stride: int = 1,
        groups: int = 1,
        relu: bool = False,
    ) -> None:
        kernel = weight_OIHW.shape[-1]
        inputs = self.constant(f"{name}.weight", weight_OIHW), self.constant(f"{name}.bias", bias)
        pads, strides, window = [kernel // 2] * 4, [stride] * 2, [kernel] * 2
        self.node("Conv", name, *inputs, kernel_shape=window, strides=strides, pads=pads, group=groups)
        if relu:
            self.node("Relu", f"{name}/relu")

    def _round(self, o: Operator, weights: Weights, name: str, place: str) -> None:
        """Rounds the last tensor on the grid of `place`; nothing where the operator has none.

        Not QuantizeLinear: where a convolution stands between two of them, onnxruntime quantises its float weights as
        it likes (WeightBiasQuantization; logits moved by up to 6 % with 1.32). And signed int8 ends at -128, where
        ours, symmetric, ends at -127.
        """
        if place not in grid_places(o):
            return
        size, signed, grid = weights[f"{place}.size"], place == "input", f"{name}/{place}/grid"
        top = 2 ** (o.activation_bits - signed) - 1
        inverse, step, bottom, limit = (
            self.constant(f"{grid}.{part}", np.array(value, np.float32))
            for part, value in (("inverse", 1 / size), ("size", size), ("bottom", -top if signed else 0), ("top", top))
        )
        self.node("Mul", f"{grid}/steps", inverse)
        self.node("Round", f"{grid}/round")  # halves to even, as torch does
        self.node("Clip", f"{grid}/clip", bottom, limit)
        self.node("Mul", f"{grid}/values", step)

    def constant(self, name: str, value: np.ndarray) -> str:
        """Stores an initialiser and gives its name back."""
        from onnx import numpy_helper

        self.initializers.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def node(self, op_type: str, name: str, *inputs: str, **attributes: Any) -> None:
        """Adds one node that reads the last tensor and `inputs`; its output, named as the node, becomes the last."""
        from onnx import helper

        self.nodes.append(helper.make_node(op_type, [self.last, *inputs], [name], name, **attributes))
        self.last = name

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
    """Shape of what `operator` gives: NCHW, or (batch, classes) behind a head."""
    return [batch, operator.c_out] if operator.kind == "head" else [batch, operator.c_out, *operator.out_hw]


def chain(operators: Sequence[Operator], weights: Iterable[Weights], names: Iterable[str], *, batch: int | str) -> Any:
    """One `onnx.ModelProto` of `operators` one behind the other; raises ValueError where two do not fit."""
    first, last = operators[0], operators[-1]
    for before, after in pairwise(operators):
        if output_shape(before, 1)[1:] != [after.c_in, after.h, after.w]:
            raise ValueError(f"{after.key} cannot follow {before.key}: shapes differ")
    builder = GraphBuilder()
    for operator, weight, name in zip(operators, weights, names, strict=True):
        builder.append(operator, weight, name)
    return builder.model([batch, first.c_in, first.h, first.w], output_shape(last, batch))
