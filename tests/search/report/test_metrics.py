"""Counts of trained blocks, against counts by hand and against the closed forms of what a choice costs."""

import numpy as np
import pytest
import torch

from latency.operator import Operator
from latency.weights import random_weights
from search.architecture import Architecture, LayerChoice
from search.choices import Choices, Sparsity
from search.costs import macs, parameters, stored_bytes
from search.network import Network
from search.report.metrics import Metrics, metrics, total
from tests.search.builders import tiny_space

BLOCK = Operator("mbconv", 8, 8, 16, 96, 24, 2, 5, 1)
GROUPED = Operator("mbconv", 8, 8, 16, 32, 16, 1, 3, 2)
SKIP = Operator("skip", 8, 8, 16, 0, 24, 2)
STEM = Operator("stem", 28, 28, 1, 0, 16, 2, 3)
HEAD = Operator("head", 7, 7, 32, 64, 10)
IDENTITY = Operator("skip", 8, 8, 16, 0, 16, 1)
SPARSE = Operator("mbconv", 8, 8, 16, 96, 24, 2, 5, 1, 32, 32, 0.5, "2:4")


def counted(operator: Operator) -> Metrics:
    return metrics(operator, random_weights(operator, np.random.default_rng(0)))


@pytest.mark.parametrize("operator", [BLOCK, GROUPED, SKIP, STEM, HEAD, IDENTITY, SPARSE])
def test_counts_of_weights_are_those_that_the_operator_alone_tells(operator: Operator) -> None:
    found = counted(operator)
    assert (found.parameters, found.macs) == (parameters(operator), macs(operator))
    assert found.bits["dense"] == 8 * stored_bytes(operator, "dense")
    assert found.bits["auto"] == 8 * stored_bytes(operator)


def test_a_dense_block_by_hand() -> None:
    found = counted(BLOCK)
    assert found.parameters == found.nonzeros == (96 * 16 + 96) + (96 * 25 + 96) + (24 * 96 + 24)
    assert found.macs == found.effective_macs == 64 * 96 * 16 + 16 * 96 * 25 + 16 * 24 * 96
    assert (found.compression_ratio, found.theoretical_speedup) == (1.0, 1.0)


def test_a_grouped_block_by_hand() -> None:
    """Two groups: an output channel of either 1x1 convolution sees half of the input."""
    found = counted(GROUPED)
    assert found.parameters == (32 * 8 + 32) + (32 * 9 + 32) + (16 * 16 + 16)
    assert found.macs == 64 * (32 * 8 + 32 * 9 + 16 * 16)


@pytest.mark.parametrize(("operator", "times"), [(BLOCK, 22.0), (GROUPED, 12.8), (STEM, 1.0)])
def test_a_count_that_forgets_the_groups_is_off_by_this_factor(operator: Operator, times: float) -> None:
    """As ShrinkBench counts: out_h out_w c_in c_out k^2, whatever the groups."""
    o, (h, w) = operator, operator.out_hw
    if o.kind == "stem":
        forgetful = h * w * o.c_in * o.c_out * o.kernel**2
    else:
        forgetful = o.h * o.w * o.c_in * o.c_mid + h * w * (o.c_mid * o.c_mid * o.kernel**2 + o.c_mid * o.c_out)
    assert forgetful / counted(operator).macs == pytest.approx(times, rel=0.01)


def test_half_of_both_pointwise_weights_by_hand() -> None:
    found = counted(SPARSE)
    pointwise, spatial, rows = 96 * 16 + 24 * 96, 96 * 25, 96 + 96 + 24
    assert found.nonzeros == pointwise // 2 + spatial + rows
    assert found.effective_macs == 64 * 96 * 8 + 16 * 96 * 25 + 16 * 12 * 96
    assert found.theoretical_speedup == found.macs / found.effective_macs
    assert found.compression_ratio == found.parameters / found.nonzeros
    assert found.bits["2:4"] == pointwise // 2 * (32 + 2) + 32 * (spatial + rows)
    assert "1:4" not in found.bits


def test_every_value_that_is_zero_spares_one_product_a_pixel() -> None:
    weights = random_weights(BLOCK, np.random.default_rng(0))
    weights["expand.weight"][3, 4], weights["depthwise.weight"][5, 0, 1, 2], weights["project.bias"][7] = 0, 0, 0
    found = metrics(BLOCK, weights)
    assert found.macs - found.effective_macs == 64 + 16
    assert found.parameters - found.nonzeros == 3


def test_a_network_is_the_sum_of_its_operators_and_a_pattern_is_dense_where_it_does_not_fit() -> None:
    found = total([counted(SPARSE), counted(BLOCK), counted(IDENTITY)])
    assert found.parameters == 2 * parameters(BLOCK)
    assert found.bits["2:4"] == counted(SPARSE).bits["2:4"] + counted(BLOCK).bits["dense"]
    assert found.float_bits == 32 * found.parameters


def test_the_weights_of_a_trained_network_are_counted_as_it_uses_them() -> None:
    """Masked, and rounded to two bits: zeros of both kinds count, and cannot be fewer than those asked for."""
    space = tiny_space(choices=Choices(precision=("fp32", "w2a8"), sparsity=Sparsity(pattern="2:4", levels=(0, 0.5))))
    two_bits, sparse = LayerChoice(candidate="k3_e3", precision="w2a8"), {"pattern": "2:4", "sparsity": 0.5}
    layers = (two_bits, LayerChoice(candidate="k3_e1", **sparse), LayerChoice(candidate="k3_e6"))
    torch.manual_seed(0)
    network = Network(Architecture(space=space, layers=layers)).eval()
    operators, folded = network.architecture.operators(), network.folded().values()
    _, rounded, halved, dense, _ = (metrics(o, weights) for o, weights in zip(operators, folded, strict=True))
    assert rounded.bits["auto"] <= rounded.bits["dense"]
    assert rounded.theoretical_speedup > 1.2
    assert halved.bits["2:4"] == 8 * stored_bytes(operators[2], "auto")
    assert dense.effective_macs == dense.macs == macs(operators[3])
