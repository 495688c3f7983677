"""What the weights of an operator are called and how they look: what training folds, exporting joins, profiling makes.

A layer is a convolution or the classifier. At fewer than 32 bits of activations there are grids: one that a block's
`input` is rounded on, others after the layers they are named after. An integer operator also rounds what it projects,
so that all it computes stays integer, and tells the step of each row of its weights.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from latency.integers import LEAST_SCALE
from latency.operator import Operator

Weights = Mapping[str, np.ndarray]
PIXEL = 1 / 255  # the grid of pixels in [0, 1]: they have eight bits already
SIGNED = frozenset({"input", "project"})  # grids in front of a block and after its linear end; others are after ReLU
_INTEGER = {
    "mbconv": ("input", "expand", "depthwise", "project"),
    "skip": ("input", "project"),
    "stem": ("conv",),
    "head": ("input", "conv", "pool"),
}
_SIMULATED = {"mbconv": ("input", "expand", "depthwise"), "skip": ("input",), "head": ("input", "conv")}


def grid_places(operator: Operator) -> tuple[str, ...]:
    """Where an operator rounds activations. An identity rounds nothing, nor does a stem that is simulated in float: its
    pixels have eight bits already.
    """
    o = operator
    if o.activation_bits == 32 or o.is_identity:
        return ()
    return (_INTEGER if o.is_integer else _SIMULATED).get(o.kind, ())


def reads_a_grid(operators: Sequence[Operator]) -> tuple[bool, ...]:
    """Which of `operators` in a network are integer ones whose input comes on a grid of 8 bits already, so that they
    round none: after an integer stem or block that adds nothing to what it projects. Identities pass that on.
    """
    comes, found = False, list[bool]()
    for operator in operators:
        found.append(comes and operator.is_integer)
        if not operator.is_identity:
            comes = operator.is_integer and not (operator.kind == "mbconv" and operator.keeps_shape)
    return tuple(found)


def shapes_of(operator: Operator) -> dict[str, tuple[int, ...]]:
    """Names and shapes of an operator's weights, e.g. `expand.weight` (c_mid, c_in / groups, 1, 1), then of the steps
    of its grids, e.g. `input.size` (), and where it is an integer operator of the rows of its weights, e.g.
    `expand.weight.size` (c_mid,).
    """
    shapes = layer_shapes(operator)
    sizes = {f"{place}.size": () for place in grid_places(operator)}
    rows = {f"{name}.size": shape[:1] for name, shape in shapes.items() if name.endswith(".weight")}
    return shapes | sizes | (rows if operator.is_integer else {})


def layer_shapes(operator: Operator) -> dict[str, tuple[int, ...]]:
    """Names and shapes of weights and biases. Raises ValueError on a kind that has no graph."""
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
    weights: dict[str, np.ndarray] = {
        name: (rng.standard_normal(shape) / np.sqrt(max(1, int(np.prod(shape[1:]))))).astype(np.float32)
        for name, shape in layer_shapes(operator).items()
    }
    if operator.sparsity:
        for name in ("expand.weight", "project.weight"):
            weights[name] *= _survivors(weights[name], operator)
    if operator.is_integer:
        top = 2 ** (operator.weight_bits - 1) - 1
        for name in [name for name in weights if name.endswith(".weight")]:
            rows = weights[name].reshape(len(weights[name]), -1)
            size = np.maximum(np.abs(rows).max(1) / top, LEAST_SCALE).astype(np.float32)  # a row may be all zeros
            weights[name] = (np.rint(rows / size[:, None]) * size[:, None]).reshape(weights[name].shape)
            weights[f"{name}.size"] = size
    size_of_grids = np.array(8.0 / 2**operator.activation_bits)
    return weights | {f"{place}.size": size_of_grids for place in grid_places(operator)}


def _survivors(weight: np.ndarray, operator: Operator) -> np.ndarray:
    """Ones and zeros of the shape of a weight: of each M neighbours of a row (without a pattern: of each row) as many
    zeros as the operator has, the least magnitudes.
    """
    rows = np.abs(weight.reshape(len(weight), -1))
    m = int(operator.pattern.partition(":")[2] or rows.shape[1])
    padded = np.pad(rows, ((0, 0), (0, -rows.shape[1] % m))).reshape(-1, m)
    rank = padded.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
    kept = (rank >= round(operator.sparsity * m)).reshape(len(rows), -1)[:, : rows.shape[1]]
    return np.asarray(kept.reshape(weight.shape), np.float32)
