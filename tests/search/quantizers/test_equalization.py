"""Equalised networks compute what they did, and their channels have one size from layer to layer."""

import pytest
import torch

from search.blocks import Head, MobileBlock
from search.network import Network
from search.quantizers.affine import Affine, dynamic
from search.quantizers.equalization import TOLERANCE, chains_of, equalize
from tests.search.quantizers.builders import calibration_batches, loss_of, rounded_twin, trained

Candidates = tuple[str, str, str]
NETWORKS: tuple[Candidates, ...] = (
    ("k3_e6", "k5_e1_g2", "k3_e3"),  # sums, and a shuffle within a layer that changes the shape
    ("skip", "k5_e1_g2", "skip"),  # identities pass channels on: chains from the stem, through a shuffle, to the head
    ("skip", "skip", "k3_e1_g2"),  # a projecting skip
)
CHAINS = {NETWORKS[0]: 4, NETWORKS[1]: 4, NETWORKS[2]: 3}
WORST = 2 * TOLERANCE


def scattered(candidates: Candidates) -> Network:
    """A network of channels of very different sizes, which computes what the trained one does."""
    network = trained(candidates)
    generator = torch.Generator().manual_seed(0)
    for block in network.modules():
        if isinstance(block, MobileBlock):
            s_C = torch.exp(1.5 * torch.randn(block.project.weight.shape[1], generator=generator))
            for parameter in (block.depthwise_bn.weight, block.depthwise_bn.bias):
                parameter.data /= s_C.repeat(block.operator.groups)
            block.project.weight.data *= s_C.view(1, -1, 1, 1)
    return network


def rounded_by_tensor(network: Network, bits: int) -> Network:
    """Every folded weight inside the blocks on one grid."""
    for block in network.modules():
        if isinstance(block, MobileBlock):
            for name in ("expand", "depthwise", "project"):
                layer, norm = block.get_submodule(name), block.biased()[name]
                assert isinstance(layer, torch.nn.Conv2d)
                assert isinstance(norm, torch.nn.BatchNorm2d)
                assert norm.running_var is not None
                gain = (norm.weight.detach() / torch.sqrt(norm.running_var + norm.eps)).view(-1, 1, 1, 1)
                layer.weight.data = dynamic(layer.weight.detach() * gain, Affine(bits)) / gain
    return network


@pytest.mark.parametrize("candidates", NETWORKS)
def test_an_equalised_network_gives_the_same_logits(candidates: Candidates) -> None:
    network, (x, *_) = trained(candidates), calibration_batches(1)
    with torch.no_grad():
        before = network(x)
        equalize(network)
        assert float((network(x) - before).abs().max()) < 2e-5


@pytest.mark.parametrize("candidates", NETWORKS)
def test_ranges_are_equal_in_every_layer_that_channels_pass(candidates: Candidates) -> None:
    network = trained(candidates)
    chains = chains_of(network)
    assert len(chains) == CHAINS[candidates]
    spread = max(float((torch.stack(list(chain.ranges())).log().std(0)).max()) for chain in chains)
    assert spread > 0.3
    assert equalize(network) < TOLERANCE
    for chain in chains:
        first, *others = chain.ranges()
        assert len(others) == (1 if chain.passes is None else 2)
        for other in others:
            torch.testing.assert_close(other, first, rtol=WORST, atol=0)


def test_statistics_of_every_batchnorm_stay() -> None:
    network = trained()
    before = {name: value.clone() for name, value in network.named_buffers()}
    equalize(network)
    assert all(torch.equal(value, before[name]) for name, value in network.named_buffers())


def test_a_second_time_changes_nothing() -> None:
    network = trained(NETWORKS[1])
    equalize(network)
    assert equalize(network) < TOLERANCE


def test_channels_that_nothing_reads_are_left() -> None:
    network, (x, *_) = trained(), calibration_batches(1)
    head = network.head
    assert isinstance(head, Head)
    head.linear.weight.data[:, 3] = 0
    with torch.no_grad():
        before = network(x)
        equalize(network)
        assert torch.isfinite(network(x)).all()
        assert float((network(x) - before).abs().max()) < 2e-5


@pytest.mark.parametrize("candidates", NETWORKS[:2])
def test_one_grid_a_tensor_costs_less_behind_it(candidates: Candidates) -> None:
    before, after = scattered(candidates), scattered(candidates)
    equalize(after)
    exact = loss_of(trained(candidates))
    assert loss_of(before) == pytest.approx(exact, abs=1e-4)
    harm = [loss_of(rounded_by_tensor(network, 8)) - exact for network in (before, after)]
    assert harm[0] > 0.1
    assert abs(harm[1]) < 0.1 * harm[0]


def test_a_network_that_rounds_already_is_refused() -> None:
    network = rounded_twin(trained(), "w8a8", calibration_batches(1))
    with pytest.raises(ValueError, match="stem: w8a8; equalise the float network, then round it"):
        equalize(network)
