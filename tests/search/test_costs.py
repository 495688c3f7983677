"""What a choice costs apart from time, against closed forms and against torch's own tensors."""

import math

import pytest
import torch

from latency.operator import Operator, boundary
from latency.weights import shapes_of
from search.architecture import Architecture
from search.costs import activation_bytes, macs, parameters, stored_bytes, weights
from search.network import Network
from tests.search.builders import tiny_space

BLOCK = Operator("mbconv", 8, 8, 16, 96, 24, 2, 5, 1)
GROUPED = Operator("mbconv", 8, 8, 16, 16, 16, 1, 3, 2)
SKIP = Operator("skip", 8, 8, 16, 0, 24, 2)
STEM = Operator("stem", 28, 28, 1, 0, 16, 2, 3)
HEAD = Operator("head", 7, 7, 32, 64, 10)
IDENTITY = Operator("skip", 8, 8, 16, 0, 16, 1)


def quantised(operator: Operator, bits: int, **more: object) -> Operator:
    fields = {name: getattr(operator, name) for name in operator.__slots__}
    return Operator(**{**fields, "weight_bits": bits, "activation_bits": bits, **more})


def test_multiply_adds_are_those_of_every_convolution_with_its_groups() -> None:
    assert macs(BLOCK) == 8 * 8 * 16 * 96 + 4 * 4 * 96 * 25 + 4 * 4 * 96 * 24
    assert macs(GROUPED) == 8 * 8 * (16 * 16 // 2 + 16 * 9 + 16 * 16 // 2)
    assert macs(SKIP) == 4 * 4 * 16 * 24
    assert macs(STEM) == 14 * 14 * 16 * 9
    assert macs(HEAD) == 7 * 7 * 32 * 64 + 64 * 10
    assert macs(IDENTITY) == macs(Operator("base")) == 0


@pytest.mark.parametrize("candidates", [["k3_e6", "k5_e3", "k3_e1_g2"], ["skip", "skip", "skip"]])
def test_multiply_adds_of_a_network_are_those_that_torch_counts(candidates: list[str]) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    network = Network(Architecture.of(tiny_space(), candidates)).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 1, 8, 8))
    assert 2 * sum(map(macs, network.architecture.operators())) == counter.get_total_flops()


@pytest.mark.parametrize("operator", [BLOCK, GROUPED, SKIP, STEM, HEAD, IDENTITY])
def test_weights_and_biases_are_those_of_the_graph(operator: Operator) -> None:
    assert parameters(operator) == sum(map(math.prod, shapes_of(operator).values()))
    of_graph = [shape for name, shape in shapes_of(operator).items() if name.endswith(".weight")]
    assert [(w.rows, w.size) for w in weights(operator)] == [(shape[0], math.prod(shape)) for shape in of_graph]


def test_an_operator_stores_weights_biases_and_scales_where_it_is_quantised() -> None:
    count, rows = 96 * 16 + 96 * 25 + 24 * 96, 96 + 96 + 24
    assert stored_bytes(BLOCK) == 4 * count + 4 * rows == 4 * parameters(BLOCK)
    assert stored_bytes(quantised(BLOCK, 8)) == count + 4 * rows + 4 * rows
    assert stored_bytes(quantised(BLOCK, 4)) == count / 2 + 8 * rows
    half = quantised(BLOCK, 8, sparsity=0.5, pattern="2:4")
    assert stored_bytes(half) == (96 * 16 + 24 * 96) * 5 / 8 + 96 * 25 + 8 * rows
    assert stored_bytes(IDENTITY) == 0


def test_activations_are_those_alive_at_once_and_a_residual_keeps_its_input() -> None:
    assert activation_bytes(BLOCK) == 4 * max(64 * (16 + 96), 96 * (64 + 16), 16 * (96 + 24))
    wide = Operator("mbconv", 8, 8, 16, 96, 16, 1, 3, 1)
    assert activation_bytes(wide) == 4 * 64 * (96 + 96 + 16)
    assert activation_bytes(quantised(wide, 8)) == 64 * (96 + 96 + 16)
    assert activation_bytes(SKIP) == 4 * (64 * 16 + 16 * 24)
    assert activation_bytes(STEM) == 4 * (28 * 28 + 14 * 14 * 16)
    assert activation_bytes(HEAD) == 4 * 49 * (32 + 64)
    assert activation_bytes(IDENTITY) == 0
    assert activation_bytes(boundary(BLOCK)) == activation_bytes(boundary(quantised(BLOCK, 8))) == 5 * 64 * 16
