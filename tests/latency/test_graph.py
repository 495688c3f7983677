"""The graphs against convolutions written out in numpy, run by onnxruntime."""

from dataclasses import replace

import numpy as np
import pytest

from latency.graph import chain
from latency.onnx_session import session
from latency.operator import Operator
from latency.weights import random_weights, shapes_of


def conv(
    x_CHW: np.ndarray, weight_OIHW: np.ndarray, bias: np.ndarray, *, stride: int = 1, groups: int = 1
) -> np.ndarray:
    outputs, per_group, kernel, _ = weight_OIHW.shape
    half = kernel // 2
    padded = np.pad(x_CHW, ((0, 0), (half, half), (half, half)))
    rows = range(0, x_CHW.shape[1], stride)
    columns = range(0, x_CHW.shape[2], stride)
    y = np.zeros((outputs, len(rows), len(columns)))
    for o in range(outputs):
        first = o // (outputs // groups) * per_group
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                window = padded[first : first + per_group, row : row + kernel, column : column + kernel]
                y[o, i, j] = (window * weight_OIHW[o]).sum() + bias[o]
    return y


def on_grid(x: np.ndarray, o: Operator, w: dict[str, np.ndarray], place: str) -> np.ndarray:
    if o.activation_bits == 32:
        return x
    if f"{place}.size" not in w:
        return x
    size, bits = w[f"{place}.size"], o.activation_bits
    lowest, greatest = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if place in ("input", "project") else (0, 2**bits - 1)
    return np.asarray(np.clip(np.round(x / size), lowest, greatest) * size)


def mbconv(x: np.ndarray, o: Operator, w: dict[str, np.ndarray]) -> np.ndarray:
    read = on_grid(x, o, w, "input")
    y = np.maximum(conv(read, w["expand.weight"], w["expand.bias"], groups=o.groups), 0)
    y = on_grid(y, o, w, "expand")
    shuffled = np.empty_like(y)
    for channel in range(o.c_mid):
        group, place = divmod(channel, o.c_mid // o.groups)
        shuffled[place * o.groups + group] = y[channel]
    y = np.maximum(conv(shuffled, w["depthwise.weight"], w["depthwise.bias"], stride=o.stride, groups=o.c_mid), 0)
    y = conv(on_grid(y, o, w, "depthwise"), w["project.weight"], w["project.bias"], groups=o.groups)
    y = on_grid(y, o, w, "project")
    return (read if o.is_integer else x) + y if o.keeps_shape else y


def run(operators: list[Operator], weights: list[dict[str, np.ndarray]], x_NCHW: np.ndarray) -> np.ndarray:
    model = chain(operators, weights, [f"layer{i}" for i in range(len(operators))], batch="N")
    opened = session(model.SerializeToString())
    return np.asarray(opened.run(None, {"input": x_NCHW})[0])


@pytest.mark.parametrize(
    "operator",
    [
        Operator("mbconv", 5, 6, 4, 8, 4, 1, 3, 2),
        Operator("mbconv", 5, 6, 6, 6, 9, 2, 5, 3),
        Operator("mbconv", 4, 4, 3, 9, 3, 1, 3, 1),
        Operator("mbconv", 5, 6, 4, 8, 4, 1, 3, 2, activation_bits=8),
        Operator("mbconv", 5, 6, 4, 8, 4, 1, 3, 1, 8, 8),
        Operator("mbconv", 5, 6, 6, 6, 9, 2, 5, 3, 4, 8),
        Operator("mbconv", 5, 6, 6, 6, 9, 2, 5, 3, activation_bits=4),
    ],
    ids=lambda o: o.key,
)
def test_a_block_with_groups_shuffle_and_residual_computes_what_numpy_does(operator: Operator) -> None:
    rng = np.random.default_rng(0)
    weights = random_weights(operator, rng)
    x = rng.standard_normal((2, operator.c_in, operator.h, operator.w)).astype(np.float32)
    got = run([operator], [weights], x)
    np.testing.assert_allclose(got, np.stack([mbconv(picture, operator, weights) for picture in x]), atol=1e-4)


def test_stem_skip_and_head_compute_what_numpy_does() -> None:
    stem, skip, head = (
        Operator("stem", 7, 7, 1, 0, 4, 2, 3),
        Operator("skip", 4, 4, 4, 0, 6, 2),
        Operator("head", 2, 2, 6, 8, 3),
    )
    rng = np.random.default_rng(1)
    s, k, h = (random_weights(o, rng) for o in (stem, skip, head))
    x = rng.standard_normal((1, 1, 7, 7)).astype(np.float32)
    y = np.maximum(conv(x[0], s["conv.weight"], s["conv.bias"], stride=2), 0)
    y = conv(y, k["project.weight"], k["project.bias"], stride=2)
    pooled = np.maximum(conv(y, h["conv.weight"], h["conv.bias"]), 0).mean(axis=(1, 2))
    expected = h["linear.weight"] @ pooled + h["linear.bias"]
    np.testing.assert_allclose(run([stem, skip, head], [s, k, h], x)[0], expected, atol=1e-4)


def test_a_projecting_skip_and_a_head_of_four_bits_round_what_they_read() -> None:
    skip = Operator("skip", 4, 4, 4, 0, 6, 2, activation_bits=4)
    head = Operator("head", 2, 2, 6, 8, 3, activation_bits=4)
    rng = np.random.default_rng(1)
    k, h = (random_weights(o, rng) for o in (skip, head))
    x = rng.standard_normal((1, 4, 4, 4)).astype(np.float32)
    y = conv(on_grid(x[0], skip, k, "input"), k["project.weight"], k["project.bias"], stride=2)
    y = np.maximum(conv(on_grid(y, head, h, "input"), h["conv.weight"], h["conv.bias"]), 0)
    expected = h["linear.weight"] @ on_grid(y, head, h, "conv").mean(axis=(1, 2)) + h["linear.bias"]
    np.testing.assert_allclose(run([skip, head], [k, h], x)[0], expected, atol=1e-4)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_a_grid_is_two_s_complement_and_rounds_halves_to_even(bits: int) -> None:
    top = 2 ** (bits - 1) - 1
    steps = np.array([-1e9, -top - 2, -top - 1.4, -0.5, 0, 0.5, 1.5, top, top + 1, 1e9])
    skip = Operator("skip", 1, len(steps), 1, 0, 2, 1, activation_bits=bits)  # its weight copies the input once
    weights = {"project.weight": np.array([[[[1]]], [[[0]]]], np.float32), "project.bias": np.zeros(2, np.float32)}
    weights |= {"input.size": np.array(0.25)}
    weights |= {"project.size": np.array(0.25), "project.weight.size": np.full(2, 1.0, np.float32)}
    got = run([skip], [weights], (steps * 0.25).astype(np.float32).reshape(1, 1, 1, -1))[0, 0, 0]
    bottom = -top - 1
    np.testing.assert_array_equal(got, 0.25 * np.clip([bottom] * 3 + [0, 0, 0, 2] + [top] * 3, bottom, top))


def test_grids_need_no_more_than_bits_below_32() -> None:
    sizes = {"input.size": (), "expand.size": (), "depthwise.size": ()}
    simulated = Operator("mbconv", 4, 4, 3, 9, 3, 1, 3, 1, 4, 4)
    assert shapes_of(simulated) == shapes_of(Operator("mbconv", 4, 4, 3, 9, 3, 1, 3, 1)) | sizes
    integer = {"expand.weight.size": (9,), "depthwise.weight.size": (9,), "project.weight.size": (3,)}
    assert shapes_of(replace(simulated, activation_bits=8)) == shapes_of(simulated) | {"project.size": ()} | integer
    assert shapes_of(Operator("skip", 4, 4, 3, 0, 3, 1, activation_bits=8)) == {}
    assert set(shapes_of(Operator("stem", 4, 4, 1, 0, 3, 1, 3, 0, 8, 4))) == {"conv.weight", "conv.bias"}


def test_operators_that_do_not_fit_are_refused_by_name() -> None:
    one, other = Operator("mbconv", 4, 4, 3, 9, 3, 2, 3, 1), Operator("skip", 4, 4, 3, 0, 6, 1)
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"skip 4x4 3-0-6 s1 cannot follow mbconv 4x4 3-9-3 s2 k3: shapes differ"):
        chain([one, other], [random_weights(o, rng) for o in (one, other)], ["a", "b"], batch=1)


def test_weights_of_another_shape_are_refused_by_layer() -> None:
    operator = Operator("skip", 4, 4, 3, 0, 6, 1)
    weights = random_weights(operator, np.random.default_rng(0)) | {"project.bias": np.zeros(5, np.float32)}
    with pytest.raises(ValueError, match=r"layer3\.project\.bias: .* needs shape \(6,\), got \(5,\)"):
        chain([operator], [weights], ["layer3"], batch=1)
