"""The graphs against convolutions written out in numpy, run by onnxruntime."""

import numpy as np
import onnxruntime
import pytest

from latency.graph import chain, random_weights
from latency.operator import Operator


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


def mbconv(x: np.ndarray, o: Operator, w: dict[str, np.ndarray]) -> np.ndarray:
    y = np.maximum(conv(x, w["expand.weight"], w["expand.bias"], groups=o.groups), 0)
    shuffled = np.empty_like(y)
    for channel in range(o.c_mid):
        group, place = divmod(channel, o.c_mid // o.groups)
        shuffled[place * o.groups + group] = y[channel]
    y = np.maximum(conv(shuffled, w["depthwise.weight"], w["depthwise.bias"], stride=o.stride, groups=o.c_mid), 0)
    y = conv(y, w["project.weight"], w["project.bias"], groups=o.groups)
    return x + y if o.keeps_shape else y


def run(operators: list[Operator], weights: list[dict[str, np.ndarray]], x_NCHW: np.ndarray) -> np.ndarray:
    model = chain(operators, weights, [f"layer{i}" for i in range(len(operators))], batch="N")
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"input": x_NCHW})[0])


@pytest.mark.parametrize(
    "operator",
    [
        Operator("mbconv", 5, 6, 4, 8, 4, 1, 3, 2),
        Operator("mbconv", 5, 6, 6, 6, 9, 2, 5, 3),
        Operator("mbconv", 4, 4, 3, 9, 3, 1, 3, 1),
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
