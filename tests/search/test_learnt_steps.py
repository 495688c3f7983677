"""Networks whose grids have steps of their own: learnt by LSQ or PACT, kept, resumed, exported."""

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch

from search.architecture import Architecture, LayerChoice
from search.batches import pixels
from search.blocks import MobileBlock
from search.export import write_onnx
from search.finish import Trainer
from search.finish.optimizers import optimizers
from search.kernels.learnt import Learning
from search.network import Network, load_weights, recalibrate, save_weights, take_own_steps
from search.norms import NormAct
from search.quantizers.grids import calibrate_grids, places_of
from search.quantizers.learning import learn_steps
from search.spec import Finish
from tests.search.builders import mixed_space, pictures, tiny_digits

LEARNINGS: tuple[Learning, ...] = ("lsq", "pact")


def mixed_network(seed: int = 0) -> Network:
    """Integer, simulated and float blocks, and a skip."""
    space = mixed_space("w8a8")
    names = [("k3_e1", "w8a8"), ("k5_e3", "w4a4"), ("skip", "w8a8"), ("k3_e1", "fp32"), ("skip", "fp32")]
    torch.manual_seed(seed)
    layers = tuple(LayerChoice(candidate=candidate, precision=precision) for candidate, precision in names)
    return Network(Architecture(space=space, layers=layers))


def steps_of(network: Network) -> dict[str, torch.nn.Parameter]:
    return {name: p for name, p in network.named_parameters() if name.endswith(".log_scale")}


def steps(network: Network) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in steps_of(network).items()}


def trainer(learning: Learning, epochs: int = 2) -> Trainer:
    settings = Finish(epochs=epochs, batch_size=32, quantizer=learning)
    return Trainer(mixed_network(), data=tiny_digits(), settings=settings, seed=3)


@pytest.mark.parametrize("learning", LEARNINGS)
def test_learning_begins_on_the_grids_that_statistics_left(learning: Learning) -> None:
    network = mixed_network().eval()
    x_NCHW = torch.from_numpy(pictures(8, network.architecture.space))
    with torch.inference_mode():
        before = network(x_NCHW)
        learn_steps(network, learning)
        after = network(x_NCHW)
    # Values at the edge of two steps may go to the other one, as float32 divides here and multiplies there.
    assert (before - after).abs().max() < 0.05 * before.abs().max()
    assert (before - after).abs().mean() < 0.01 * before.abs().max()


def test_lsq_gives_steps_to_all_that_is_rounded_and_pact_to_what_stands_behind_a_relu() -> None:
    by_lsq, by_pact = mixed_network(), mixed_network()
    learn_steps(by_lsq, "lsq")
    learn_steps(by_pact, "pact")
    assert set(steps(by_pact)) < set(steps(by_lsq))
    assert {name.rpartition(".")[0] for name in steps(by_pact)} == {
        name
        for name, module in by_lsq.named_modules()
        if getattr(module, "log_scale", None) is not None and getattr(module, "signed", True) is False
    }
    assert not [name for name in steps(by_lsq) if name.startswith("layers.3.")]  # fp32


@pytest.mark.parametrize("learning", LEARNINGS)
def test_steps_learn_and_none_runs_away(learning: Learning) -> None:
    one = trainer(learning)
    before = steps(one.network)
    for _ in one:
        pass
    after = steps(one.network)
    assert all((after[name] - before[name]).abs().max() < 0.5 for name in after)
    moved = [name for name in after if not torch.equal(before[name], after[name])]
    assert len(moved) > len(after) / 2


def test_learnt_steps_follow_what_statistics_would_take() -> None:
    """A row or an activation that grows takes its grid along; steps that were found stay as they are."""
    network = mixed_network()
    learn_steps(network, "lsq")
    block = network.layers[1]
    assert isinstance(block, MobileBlock)
    row, place = block.project, block.depthwise_bn
    assert isinstance(place, NormAct)
    rows, step = row.step_sizes(4), place.step_size(4)
    with torch.no_grad():
        row.weight.mul_(4.0)
        place.rms.mul_(4.0)
    torch.testing.assert_close(row.step_sizes(4), 4 * rows)
    assert place.step_size(4) == pytest.approx(4 * step)
    row.fix(rows)
    with torch.no_grad():
        row.weight.mul_(4.0)
    torch.testing.assert_close(row.step_sizes(4), rows)


def test_steps_that_were_found_learn_from_where_they_are() -> None:
    network = mixed_network()
    block = network.layers[1]
    assert isinstance(block, MobileBlock)
    found = block.project.step_sizes(4) * torch.linspace(0.5, 2.0, len(block.project.weight))
    block.project.fix(found)
    learn_steps(network, "lsq")
    torch.testing.assert_close(block.project.step_sizes(4), found)
    assert block.project.log_size is None
    assert block.project.log_scale is not None
    assert block.project.log_scale.requires_grad


def test_found_steps_of_activations_that_learn_stay_near_where_they_are() -> None:
    """Nothing keeps a root mean square while a step stays; once the step is a share of it, it has to be true."""
    data, network = tiny_digits(), mixed_network()
    batches = [pixels(torch.from_numpy(data.x_train))]
    recalibrate(network, iter(batches))
    calibrate_grids(network, batches, "mse")
    places = [(place, affine.bits) for place, affine in places_of(network) if place.log_size is not None]
    found = [place.step_size(bits) for place, bits in places]
    assert len(found) > 5
    for place, _ in places:
        place.rms.fill_(17.0)  # as if it were another network's
    settings = Finish(epochs=4, batch_size=32, quantizer="lsq", lr=0.001)
    for _ in Trainer(network, data=data, settings=settings, seed=3):
        pass
    now = [place.step_size(bits) for place, bits in places if place.log_scale is not None]
    assert now == pytest.approx(found, rel=0.25)


def test_what_a_head_calls_a_scale_learns_as_its_other_weights_do() -> None:
    network = mixed_network()
    network.head.box_log_scale = torch.nn.Parameter(torch.tensor(0.0))  # any module may
    for quantizer in ("lsq", "statistics"):
        weights, steps = optimizers(network, Finish(quantizer=quantizer))
        held = [p for group in weights.param_groups for p in group["params"]]
        assert any(p is network.head.box_log_scale for p in held)
        assert (steps is None) == (quantizer == "statistics")
    assert not any(p.requires_grad for p in steps_of(network).values())


def test_a_network_takes_the_kind_of_steps_that_a_state_has() -> None:
    learnt, found, plain = mixed_network(), mixed_network(), mixed_network()
    learn_steps(learnt, "lsq")
    calibrate_grids(found, [torch.from_numpy(pictures(8, found.architecture.space))])
    for source in (found, learnt, plain):
        for target in (learnt, found, plain):
            network, state = deepcopy(target), source.state_dict()
            take_own_steps(network, state)
            network.load_state_dict(state)


@pytest.mark.parametrize("learning", LEARNINGS)
def test_a_training_with_learnt_steps_goes_on_bit_for_bit(learning: Learning) -> None:
    whole = trainer(learning)
    for _ in whole:
        pass
    first = trainer(learning)
    for report in first:
        if report.step == 4:
            break
    second = trainer(learning)
    second.load_state_dict(first.state_dict())
    for _ in second:
        pass
    ours, theirs = whole.network.state_dict(), second.network.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("learning", LEARNINGS)
def test_learnt_steps_are_kept_with_the_weights_and_shipped_in_the_file(learning: Learning, tmp_path: Path) -> None:
    one = trainer(learning)
    for _ in one:
        pass
    one.settle()
    probe = torch.from_numpy(tiny_digits().x_test.astype(np.float32) / 255)
    write_onnx(one.network, tmp_path / "model.onnx", probe)  # raises where onnxruntime computes something else
    save_weights(one.network, tmp_path / "weights.safetensors")
    loaded = load_weights(tmp_path / "weights.safetensors")
    with torch.inference_mode():
        np.testing.assert_array_equal(loaded(probe).numpy(), one.network(probe).numpy())
