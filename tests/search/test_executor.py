"""The executor against onnxruntime, element by element: single layers in 8 bits, then whole networks."""

import random
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from latency.onnx_session import session
from search.architecture import Architecture
from search.choices import Choices
from search.executor import ROUNDINGS, Executor, NotExecutable, Rounding
from search.executor.network import Pair, Stored, fused_sum
from search.export import onnx_model
from search.finish import Trainer
from search.network import Network
from search.spec import Finish
from tests.search.builders import tiny_digits, tiny_space

# channels in, out, kernel, stride, groups
CONVOLUTIONS = [
    (c_in, c_out, kernel, stride, groups)
    for kernel in (1, 3, 5)
    for stride in (1, 2)
    for c_in, c_out, groups in ((16, 24, 1), (24, 24, 24), (16, 32, 4), (3, 8, 1))
]


def quantised_layer(
    c_in: int, c_out: int, kernel: int, stride: int, groups: int, *, signed: bool, seed: int
) -> tuple[onnx.ModelProto, np.ndarray]:
    """uint8 in, a convolution with a scale a row, uint8 out, as floats at both ends; and pictures for it."""
    rng = np.random.default_rng(seed)
    weight = rng.integers(-127, 128, (c_out, c_in // groups, kernel, kernel)).astype(np.int8)
    scale_O = rng.uniform(0.001, 0.004, c_out).astype(np.float32)
    products = max(1, weight[0].size) ** 0.5 * 70 * 70
    size_in, size_out = np.float32(0.02), np.float32(0.02 * 0.0025 * products / 60)
    bias = rng.integers(-products, products, c_out).astype(np.int32)
    zero = np.array(128 if signed else 0, np.uint8)
    constants = {
        "in.scale": size_in, "in.zero": zero, "out.scale": size_out, "out.zero": zero, "w": weight,
        "w.scale": scale_O, "w.zero": np.zeros(c_out, np.int8), "b": bias, "b.scale": size_in * scale_O,
        "b.zero": np.zeros(c_out, np.int32),
    }  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "in.scale", "in.zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "in.scale", "in.zero"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "w.scale", "w.zero"], ["wd"], axis=0),
        helper.make_node("DequantizeLinear", ["b", "b.scale", "b.zero"], ["bd"], axis=0),
        helper.make_node("Conv", ["d", "wd", "bd"], ["c"], kernel_shape=[kernel] * 2, pads=[kernel // 2] * 4,
                         strides=[stride] * 2, group=groups),
        helper.make_node("QuantizeLinear", ["c", "out.scale", "out.zero"], ["cq"]),
        helper.make_node("DequantizeLinear", ["cq", "out.scale", "out.zero"], ["y"]),
    ]  # fmt: skip
    x = rng.normal(0 if signed else 1.5, 1, (8, c_in, 11, 10)).astype(np.float32)
    return model_of(nodes, constants, ["N", c_in, 11, 10], ["N", c_out, None, None]), x


def model_of(nodes: list[Any], constants: dict[str, Any], given: list[Any], wanted: list[Any]) -> onnx.ModelProto:
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, given)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, wanted)]
    graph = helper.make_graph(nodes, "layer", inputs, outputs, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def by_onnxruntime(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    opened = session(model.SerializeToString())
    return np.asarray(opened.run(None, {opened.get_inputs()[0].name: x})[0])


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("shape", CONVOLUTIONS, ids=str)
def test_a_convolution_equals_onnxruntimes_in_every_element(shape: tuple[int, ...], signed: bool) -> None:
    model, x = quantised_layer(*shape, signed=signed, seed=sum(shape))
    theirs = by_onnxruntime(model, x)
    assert len(np.unique(theirs)) > 100  # the grid is used
    np.testing.assert_array_equal(Executor(model)(x), theirs)


@pytest.mark.parametrize("seed", range(8))
def test_a_sum_equals_onnxruntimes_fused_one_in_every_element(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape, zeros = [4, 16, 64, 64], (128, 128 if seed % 2 else 0, 128)
    names, sizes = ("left", "right", "sum"), rng.uniform(0.01, 0.06, 3).astype(np.float32)
    steps = [rng.integers(0, 256, shape).astype(np.uint8) for _ in range(2)]
    grids = {f"{name}.scale": size for name, size in zip(names, sizes, strict=True)}
    grids |= {f"{name}.zero": np.array(zero, np.uint8) for name, zero in zip(names, zeros, strict=True)}
    nodes = [helper.make_node("DequantizeLinear", [n, f"{n}.scale", f"{n}.zero"], [f"{n}.d"]) for n in names[:2]]
    nodes += [helper.make_node("Add", ["left.d", "right.d"], ["d"]),
              helper.make_node("QuantizeLinear", ["d", "sum.scale", "sum.zero"], ["sum"])]  # fmt: skip
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in grids.items()]
    tensors = [helper.make_tensor_value_info(name, TensorProto.UINT8, shape) for name in names]
    graph = helper.make_graph(nodes, "sum", tensors[:2], tensors[2:], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    opened = session(model.SerializeToString())
    theirs = np.asarray(opened.run(None, dict(zip(names, steps, strict=False)))[0])
    pair = Pair(*(Stored(*one) for one in zip(steps, sizes, zeros, strict=False)))
    ours = np.clip(fused_sum(pair, sizes[2], zeros[2]) + zeros[2], 0, 255)
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("rounding", ["tflite", "dyadic"])
def test_other_roundings_are_within_one_step_and_seldom_off(rounding: Rounding) -> None:
    off, count = 0, 0
    for shape in CONVOLUTIONS:
        model, x = quantised_layer(*shape, signed=True, seed=sum(shape))
        step = float(next(numpy_helper.to_array(i) for i in model.graph.initializer if i.name == "out.scale"))
        steps = np.rint((Executor(model, rounding=rounding)(x) - Executor(model)(x)) / step)
        assert np.abs(steps).max() <= 1
        off, count = off + int((steps != 0).sum()), count + steps.size
    # TFLite rounds twice, so one sum in 2^(shift + 1) is a step off; multipliers here have shifts of 8 and 9.
    assert off / count <= {"tflite": 3e-3, "dyadic": 5e-4}[rounding]


@pytest.mark.parametrize("rounding", ["tflite", "dyadic"])
def test_multipliers_in_whole_numbers_are_those_of_floats(rounding: Rounding) -> None:
    sums = np.random.default_rng(0).integers(-(2**22), 2**22, 20_000)
    for multiplier in (1e-5, 3.3e-4, 0.0123, 0.5, 0.99999, 1.7):
        got = ROUNDINGS[rounding](sums, np.array(multiplier))
        assert np.abs(got - sums * multiplier).max() <= 1.0 + 2**22 * multiplier * 2.0**-16


@pytest.fixture(scope="module", params=range(4))
def trained(request: pytest.FixtureRequest) -> Network:
    """A random architecture in integers from end to end, trained a little."""
    seed: int = request.param
    space, rng = tiny_space().offering(Choices(precision=("w8a8", "w4a8"), ends="w8a8")), random.Random(seed)
    torch.manual_seed(seed)
    network = Network(Architecture.from_indices(space, [rng.randrange(len(layer.choices)) for layer in space.layers]))
    trainer = Trainer(network, data=tiny_digits(), settings=Finish(epochs=2, batch_size=16), seed=seed)
    assert list(trainer)
    trainer.settle()
    return network


def noise() -> np.ndarray:
    return (np.random.default_rng(0).integers(0, 256, (500, 1, 8, 8)) / 255).astype(np.float32)


def test_a_whole_network_gives_onnxruntimes_logits(trained: Network) -> None:
    model = onnx_model(trained)
    ours, theirs = Executor(model)(noise()), by_onnxruntime(model, noise())
    np.testing.assert_allclose(ours, theirs, atol=1e-6 * np.abs(theirs).max())
    np.testing.assert_array_equal(ours.argmax(1), theirs.argmax(1))


@pytest.mark.parametrize("rounding", ["tflite", "dyadic"])
def test_a_whole_network_in_another_rounding_names_nearly_the_same_classes(
    trained: Network, rounding: Rounding
) -> None:
    model = onnx_model(trained)
    ours, theirs = Executor(model, rounding=rounding)(noise()), by_onnxruntime(model, noise())
    assert (ours.argmax(1) == theirs.argmax(1)).mean() > 0.95


def test_joining_tensors_of_one_grid_is_done_and_of_two_refused() -> None:
    constants = {"s": np.float32(0.1), "t": np.float32(0.2), "z": np.array(128, np.uint8)}

    def joined(second: str) -> onnx.ModelProto:
        nodes = [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
            helper.make_node("QuantizeLinear", ["x", second, "z"], ["r"]),
            helper.make_node("DequantizeLinear", ["r", second, "z"], ["e"]),
            helper.make_node("Concat", ["d", "e"], ["y"], name="join", axis=1),
        ]
        return model_of(nodes, constants, ["N", 2, 3, 3], ["N", 4, 3, 3])

    x = np.random.default_rng(0).standard_normal((2, 2, 3, 3)).astype(np.float32)
    np.testing.assert_array_equal(Executor(joined("s"))(x), by_onnxruntime(joined("s"), x))
    with pytest.raises(NotExecutable, match="join: joins tensors of different grids"):
        Executor(joined("t"))(x)


def test_a_network_with_float_layers_is_refused_by_node() -> None:
    space = tiny_space().offering(Choices(precision=("fp32",)))
    model = onnx_model(Network(Architecture.from_indices(space, [0] * len(space.layers))))
    with pytest.raises(NotExecutable, match="stem/conv: Conv reads floats"):
        Executor(model)(noise())
