"""What rounding shifts on average is taken off again."""

import pytest
import torch

from search.blocks import Stem
from search.network import Network
from search.quantizers.bias_correction import correct_biases, mean_outputs
from search.quantizers.recording import in_front_of_norms, normed, norms_of
from tests.search.quantizers.builders import calibration_batches, loss_of, rounded_twin, trained


def shift(rounded: Network, plain: Network) -> float:
    """The greatest error of a mean, over all channels of all layers and the logits."""
    batches = calibration_batches()
    ours, theirs = mean_outputs(rounded, batches), mean_outputs(plain, batches)
    return max(float((ours[name] - theirs[name]).abs().max()) for name in theirs)


@pytest.mark.parametrize("precision", ["w4a8", "w4a4"])
def test_mean_errors_vanish_and_the_loss_falls(precision: str) -> None:
    plain, batches = trained(), calibration_batches()
    rounded = rounded_twin(plain, precision, batches)
    loss = loss_of(rounded)
    assert shift(rounded, plain) > 0.5
    correct_biases(rounded, plain, batches)
    assert shift(rounded, plain) < 1e-5
    assert loss_of(rounded) < loss


def test_the_loss_of_eight_bits_does_not_suffer() -> None:
    plain, batches = trained(), calibration_batches()
    rounded = rounded_twin(plain, "w8a8", batches)
    loss = loss_of(rounded)
    correct_biases(rounded, plain, batches)
    assert loss_of(rounded) < loss + 0.01


def test_only_biases_change() -> None:
    plain, batches = trained(), calibration_batches(1)
    rounded = rounded_twin(plain, "w4a8", batches)
    before = {name: value.clone() for name, value in rounded.state_dict().items()}
    correct_biases(rounded, plain, batches)
    changed = {name for name, value in rounded.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {f"{name}.bias" for name in norms_of(plain)} | {"head.linear.bias"}


def test_every_batchnorm_is_seen_in_order_and_none_afterwards() -> None:
    network, (x, *_) = trained(), calibration_batches(1)
    seen = list[torch.nn.BatchNorm2d]()
    with torch.no_grad(), in_front_of_norms(network, lambda norm, _: seen.append(norm)):
        watched = network(x)
    assert list(map(id, seen)) == list(map(id, norms_of(network).values()))
    assert len(seen) == 11
    with torch.no_grad():
        assert torch.equal(network(x), watched)
    assert len(seen) == 11


def test_means_are_those_of_what_a_batchnorm_gives() -> None:
    network, (x, *_) = trained(), calibration_batches(1)
    stem = network.stem
    assert isinstance(stem, Stem)
    with torch.no_grad():
        expected = normed(stem.bn, torch.nn.functional.conv2d(x, stem.conv.weight, None, 1, 1)).mean((0, 2, 3))
    torch.testing.assert_close(mean_outputs(network, [x])["stem.bn"].float(), expected)


def test_networks_of_other_layers_are_refused() -> None:
    with pytest.raises(ValueError, match="other layers or widths"):
        correct_biases(trained(), trained(("skip", "k5_e1_g2", "skip")), calibration_batches(1))
