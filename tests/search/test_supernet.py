"""The supernet's views are the blocks that ship, and theta learns from every step."""

import random

import pytest
import torch
from torch import Tensor

from search.axes import PerAxis
from search.choices import Choices, Sparsity
from search.network import recalibrate
from search.space import Space
from search.supernet import SAMPLERS, Supernet, one_hot
from search.supernet.mixture import mixture
from search.supernet.path import SharedPath
from search.supernet.reference import ReferenceLayer
from search.supernet.shared import SharedLayer
from tests.search.builders import pictures, tiny_space

FORMS = ("shared", "reference")
JOINT = Choices(
    precision=("fp32", "w8a8", "w4a8", "w3a4"),
    width=(1, 0.5),
    width_multiple=4,
    sparsity=Sparsity(levels=(0, 0.5, 0.75)),
)
N_OF_M = Choices(precision=("w8a8", "w4a4"), sparsity=Sparsity(pattern="2:4", levels=(0, 0.5)), ends="w8a8")


def lively(space: Space, form: str) -> Supernet:
    """A supernet whose BatchNorm statistics and gains are not the trivial ones."""
    torch.manual_seed(0)
    supernet = Supernet(space, form).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for name, value in supernet.state_dict().items():
        if "bn" in name and value.is_floating_point() and not name.endswith("rms"):
            value.copy_(torch.rand_like(value) + 0.5)
    recalibrate(supernet_at(supernet, 0), iter([torch.from_numpy(pictures(32, space))]))
    return supernet


def supernet_at(supernet: Supernet, step: int) -> torch.nn.Module:
    """The supernet with the shares of one soft step, as a function of pictures alone."""

    class At(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.supernet = supernet

        def forward(self, x_NCHW: Tensor) -> Tensor:
            logits: Tensor = supernet(x_NCHW, supernet.theta.sample("gumbel", 1.0, 0, step))
            return logits

    return At()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("choices", [Choices(), JOINT, N_OF_M], ids=["blocks", "joint", "n-of-m"])
def test_a_one_hot_supernet_is_the_network_it_hands_over(form: str, choices: Choices) -> None:
    """But for one rounding: the network knows where its input comes on a grid already, a supernet rounds it again."""
    space = tiny_space().offering(choices)
    supernet = lively(space, form).eval()
    supernet.choose_survivors()
    x = torch.from_numpy(pictures(4, space))
    rng = random.Random(0)
    most = max(len(layer.choices) for layer in space.layers)
    for index in range(0, most, 1 if choices == Choices() else 5):
        indices = [(index + rng.randrange(most)) % len(layer.choices) for layer in space.layers]
        with torch.no_grad():
            network = supernet.inherit(indices).to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
            for block in [*network.layers, network.head]:
                block.rounds_input = True
            ours, theirs = supernet(x, one_hot(supernet.axes, indices)), network(x)
        assert theirs.std() > 0.01
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("choices", [Choices(), JOINT, N_OF_M], ids=["blocks", "joint", "n-of-m"])
@pytest.mark.parametrize("sampler", ["gumbel", "softmax"])
@pytest.mark.parametrize("temperature", [5.0, 1.0, 0.5])
def test_every_architecture_parameter_gets_a_gradient_in_train_mode(
    form: str, choices: Choices, sampler: str, temperature: float
) -> None:
    """From the first temperature of a search to the last, whatever there is to choose."""
    space = tiny_space().offering(choices)
    supernet = lively(space, form).train()
    supernet.choose_survivors()
    x, y = torch.from_numpy(pictures(16, space)), torch.arange(16) % 10
    sample = supernet.theta.sample(sampler, temperature, 0, 3)
    torch.nn.functional.cross_entropy(supernet(x, sample), y).backward()  # type: ignore[no-untyped-call]
    for axis, logits in supernet.theta.logits.items():
        assert logits.grad is not None
        least = 1e-10 if choices is JOINT and temperature < 1 else 1e-8
        assert logits.grad[supernet.theta.opened(axis)].abs().min() > least, axis


def test_shares_of_widths_are_no_scale_that_batchnorm_takes_away() -> None:
    """Where what is masked were normalised after it, narrow and wide would answer the same in training."""
    space = tiny_space(candidates=("k3_e6",)).offering(Choices(width=(1, 0.25)))
    supernet = lively(space, "shared").train()
    assert supernet.theta.logits["block"].shape[1] == 2
    x = torch.from_numpy(pictures(32, space))
    answers = []
    for logits in ((3.0, -3.0), (-3.0, 3.0)):
        with torch.no_grad():
            supernet.theta.logits["block"].copy_(torch.tensor(logits).expand(len(space.layers), 2))
            answers.append(supernet(x, supernet.theta.sample("softmax", 1.0, 0, 0)))
    assert float((answers[0] - answers[1]).abs().mean() / answers[0].std()) > 0.05


@pytest.mark.parametrize("gap", [60.0, 88.0, 92.0, 96.0, 103.0, 110.0])
def test_blocks_beside_a_skip_that_is_all_but_certain_leave_gradients_that_are_numbers(gap: float) -> None:
    """At a low temperature their share may be too small for float32 to divide by."""
    space = tiny_space(candidates=("k3_e1", "k5_e3", "skip"))
    supernet = lively(space, "shared").train()
    with torch.no_grad():
        supernet.theta.logits["block"].zero_()
        supernet.theta.logits["block"][:, 2] = gap
    x, y = torch.from_numpy(pictures(16, space)), torch.arange(16) % 10
    loss = torch.nn.functional.cross_entropy(supernet(x, supernet.theta.sample("softmax", 1.0, 0, 0)), y)
    loss.backward()  # type: ignore[no-untyped-call]
    for parameter in supernet.parameters():
        assert parameter.grad is None or bool(parameter.grad.isfinite().all())
    assert supernet.theta.logits["block"].grad is not None


@pytest.mark.parametrize("sampler", ["gumbel-hard", "two-path"])
def test_a_drawn_sample_computes_what_was_drawn_and_moves_theta(sampler: str) -> None:
    space = tiny_space().offering(JOINT)
    supernet = lively(space, "shared").train()
    x, y = torch.from_numpy(pictures(16, space)), torch.arange(16) % 10
    for step in range(4):
        sample = supernet.theta.sample(sampler, 1.0, 0, step)
        torch.nn.functional.cross_entropy(supernet(x, sample), y).backward()  # type: ignore[no-untyped-call]
    for logits in supernet.theta.logits.values():
        assert logits.grad is not None
        assert logits.grad.abs().sum() > 1e-8


@pytest.mark.parametrize("sampler", ["gumbel-hard", "two-path"])
def test_a_step_that_drew_an_identity_in_every_layer_has_a_graph_like_any_other(sampler: str) -> None:
    """It says nothing of what was drawn: blocks, too, have the gradient of what they add to an identity alone."""
    space = tiny_space(stages=({"channels": 8, "layers": 2},), candidates=("k3_e1", "skip"))
    supernet = Supernet(space).train()
    for weight in supernet.weights():
        weight.requires_grad_(False)
    with torch.no_grad():
        supernet.theta.logits["block"][:, 1] = 50.0
    x, y = torch.from_numpy(pictures(16, space)), torch.arange(16) % 10
    for step in range(3):
        sample = supernet.theta.sample(sampler, 1.0, 0, step)
        torch.nn.functional.cross_entropy(supernet(x, sample), y).backward()  # type: ignore[no-untyped-call]
    (gradient,) = (logits.grad for logits in supernet.theta.logits.values())
    assert gradient is not None
    assert gradient.abs().max() < 1e-8


def test_an_ungrouped_layer_mixes_widths_exactly_as_a_sum_of_masked_columns() -> None:
    """With one kernel the mixture is linear in the last convolution, before its BatchNorm: p-weighted prefixes."""
    space = tiny_space(candidates=["k3_e1", "k3_e3", "k3_e6"])
    layer = space.layers[0]
    path = SharedPath(layer, layer.blocks, rounds=False, levels=space.choices.levels, integer=False).eval()
    mix = mixture(space.choices.precisions, torch.ones(1), torch.ones(1))
    x, q = torch.rand(2, 8, 8, 8), torch.tensor([0.2, 0.3, 0.5])
    path.project_bn.eps = 0.0  # running statistics 0 and 1: the identity
    with torch.no_grad():
        alone = torch.stack([path(x, share, mix) for share in torch.eye(3)])
        torch.testing.assert_close(path(x, q, mix), (q.view(3, 1, 1, 1, 1) * alone).sum(0), rtol=1e-5, atol=1e-5)


def test_where_choices_are_widths_and_skip_the_shared_form_equals_the_sum_of_blocks_of_their_own() -> None:
    """Under any shares: a layer is linear in its last convolution, and its last BatchNorm in what comes of it."""
    space = tiny_space(candidates=("k3_e1", "k3_e3", "k3_e6", "skip"))
    shared, reference = lively(space, "shared").eval(), Supernet(space, "reference").eval()
    reference.stem.load_state_dict(shared.stem.state_dict())
    reference.head.load_state_dict(shared.head.state_dict())
    for ours, theirs in zip(shared.layers, reference.layers, strict=True):
        assert isinstance(ours, SharedLayer)
        assert isinstance(theirs, ReferenceLayer)
        for index, block in enumerate(theirs.choices):
            ours.copy_choice(index, block)  # type: ignore[arg-type]  # a ModuleList forgets what it holds
    x = torch.from_numpy(pictures(4, space))
    for step in range(3):
        sample = shared.theta.sample("gumbel", 1.0, 0, step)
        assert sample.block.max() < 0.99
        with torch.no_grad():
            torch.testing.assert_close(shared(x, sample), reference(x, sample), rtol=1e-5, atol=1e-5)


def test_mixing_rounded_weights_equals_mixing_the_outputs_of_rounded_blocks() -> None:
    """Activations in one precision: up to the last BatchNorm a layer is linear in each of its weights."""
    space = tiny_space(candidates=["k3_e3"]).offering(Choices(precision=("w8a8", "w4a8", "w2a8")))
    layer = space.layers[0]
    path = SharedPath(layer, layer.blocks, rounds=True, levels=space.choices.levels, integer=False).eval()
    x, p = torch.rand(2, 8, 8, 8), torch.tensor([0.2, 0.3, 0.5])
    with torch.no_grad():
        weights = [
            path._project(slice(0, 24), [0], torch.ones(1), mixture(space.choices.precisions, share, torch.ones(1)))
            for share in (p, *torch.eye(3))
        ]
        mixed, *alone = (torch.nn.functional.conv2d(x.repeat(1, 3, 1, 1), weight) for weight in weights)
    torch.testing.assert_close(mixed, sum(s * out for s, out in zip(p, alone, strict=True)), rtol=1e-5, atol=1e-5)


def test_sorting_widths_keeps_the_widest_networks_function_and_gives_narrow_ones_the_strongest_channels() -> None:
    space = tiny_space(candidates=["k3_e1", "k3_e3", "k3_e6", "k5_e1_g2"])
    supernet = lively(space, "shared").eval()
    widest, x = one_hot(supernet.axes, [2, 2, 2]), torch.from_numpy(pictures(4, space))
    with torch.no_grad():
        before = supernet(x, widest)
        for tensor, dimension, order in supernet.sort_widths():
            tensor.copy_(tensor.index_select(dimension, order))
        torch.testing.assert_close(supernet(x, widest), before, rtol=1e-5, atol=1e-5)
    path = supernet.layers[0].path
    assert isinstance(path, SharedPath)
    carried = path.project.weight[:, 8:].flatten(2).norm(dim=(0, 2)) * path.depthwise_bn.weight[8:].abs()
    assert (carried.diff() <= 0).all()


def test_the_largest_path_is_the_widest_that_is_open_in_most_bits_and_fewest_zeros() -> None:
    supernet = Supernet(tiny_space().offering(JOINT))
    layer, theta = supernet.space.layers[1], supernet.theta
    of_path = [row[1].tolist() for row in theta.largest()]
    assert layer.blocks[of_path[0].index(1.0)].candidate.name == "k5_e6"
    assert of_path[1:] == [[1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    theta.opened("block")[1, of_path[0].index(1.0)] = False
    left = layer.blocks[int(theta.largest().block[1].argmax())]
    assert (left.candidate.name, left.c_mid) == ("k3_e6", 48)
    choices = Choices(precision=("w4a8", "w8a4", "w8a8"), sparsity=Sparsity(levels=(0.75, 0, 0.5)))
    for candidates in (["k3_e6_g2", "k3_e6"], ["k3_e6", "k3_e6_g2"]):
        supernet = Supernet(tiny_space(candidates=candidates).offering(choices))
        block, precision, level = (row[0] for row in supernet.theta.largest())
        assert supernet.space.layers[0].blocks[int(block.argmax())].candidate.groups == 1
        assert supernet.axes.precisions[int(precision.argmax())].name == "w8a8"
        assert supernet.axes.levels[int(level.argmax())].sparsity == 0


def test_closed_choices_have_no_share_and_a_layer_keeps_its_best() -> None:
    supernet = Supernet(tiny_space())
    with torch.no_grad():
        supernet.theta.logits["block"][:, 3] = 9.0
    assert supernet.theta.close_below(0.01) == 24
    sample = supernet.theta.sample("gumbel", 1.0, 0, 0)
    assert sample.block[:, 3].tolist() == [1.0, 1.0, 1.0]
    assert supernet.theta.close_below(2.0) == 0


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_shares_sum_to_one_and_leave_missing_options_out(sampler: str) -> None:
    theta_LK = torch.tensor([[0.0, 1.0, -torch.inf], [0.0, 0.0, 0.0]])
    p_LK = SAMPLERS[sampler](theta_LK, 0.3, torch.Generator().manual_seed(1))
    torch.testing.assert_close(p_LK.sum(1), torch.ones(2))
    assert p_LK[0, 2] == 0
    assert int((p_LK > 0).sum(1).max()) <= {"gumbel-hard": 1, "two-path": 2}.get(sampler, 3)


@pytest.mark.parametrize("sampler", ["gumbel", "gumbel-hard", "two-path"])
def test_noise_favours_options_as_often_as_theta_says(sampler: str) -> None:
    theta_LK = torch.log(torch.tensor([[0.7, 0.2, 0.1]])).expand(20000, 3)
    drawn = SAMPLERS[sampler](theta_LK, 0.05, torch.Generator().manual_seed(2)).argmax(1)
    shares = torch.bincount(drawn) / 20000
    torch.testing.assert_close(shares, torch.tensor([0.7, 0.2, 0.1]), atol=0.02, rtol=0)


def test_layers_with_fewer_candidates_never_choose_one_they_lack() -> None:
    space = tiny_space(
        stages=[{"channels": 8, "layers": 1, "candidates": ["k3_e1", "skip"]}, {"channels": 8, "layers": 1}]
    )
    supernet = Supernet(space)
    assert supernet.theta.logits["block"].shape == (2, 9)
    assert supernet.theta.probabilities().block[0, 2:].tolist() == [0.0] * 7


def test_probabilities_of_choices_are_products_that_sum_to_one() -> None:
    supernet = Supernet(tiny_space().offering(JOINT))
    with torch.no_grad():
        for logits in supernet.theta.logits.values():
            logits.copy_(torch.randn(logits.shape, generator=torch.Generator().manual_seed(0)))
    p: PerAxis[Tensor] = supernet.theta.probabilities()
    per_choice = supernet.theta.per_choice(p)
    torch.testing.assert_close(per_choice.sum(1), torch.ones(3))
    last = supernet.space.layers[0].choices[5]
    by_hand = p.block[0, 0] * p.precision[0, JOINT.precisions.index(last.precision)] * p.level[0, 2]
    assert per_choice[0, 5].item() == pytest.approx(by_hand.item())
