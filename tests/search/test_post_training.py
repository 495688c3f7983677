"""Networks that are trained in float and rounded after that."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from search.architecture import Architecture, LayerChoice
from search.export import write_onnx
from search.finish import Trainer, evaluated
from search.network import Network, load_weights, save_weights
from search.quantizers.post_training import round_network
from search.quantizers.rows import RoundedLinear
from search.spec import Finish, PostTraining
from tests.search.builders import mixed_space, tiny_digits

PIXELS = torch.from_numpy(tiny_digits().x_test.astype(np.float32) / 255)


def trainer(epochs: int = 6, **settings: object) -> Trainer:
    space = mixed_space("w8a8")
    names = [("k3_e1", "w8a8"), ("k5_e3", "w8a8"), ("k5_e3", "w8a8"), ("k3_e1", "fp32"), ("k5_e3", "w8a8")]
    torch.manual_seed(0)
    layers = tuple(LayerChoice(candidate=candidate, precision=precision) for candidate, precision in names)
    network = Network(Architecture(space=space, layers=layers))
    document = {"epochs": epochs, "batch_size": 32, "post_training": settings}
    return Trainer(network, data=tiny_digits(train=600, test=200), settings=Finish.model_validate(document), seed=2)


def done(one: Trainer) -> Trainer:
    for _ in one:
        pass
    one.settle()
    return one


@pytest.mark.parametrize(
    "settings",
    [{}, {"calibration": "min-max", "equalization": True}, {"pictures": "zero-shot"}, {"rounding": "adaround"}],
    ids=str,
)
def test_a_network_of_8_bits_keeps_what_it_learnt_in_float(settings: dict) -> None:
    one = done(trainer(**settings))
    data = tiny_digits(train=600, test=200)
    rounded, plain = evaluated(one.network, data), evaluated(one.learner, data)
    assert plain > 0.7
    assert rounded > plain - 0.03


def test_nothing_is_rounded_while_it_trains_and_all_is_behind_it() -> None:
    one = trainer(epochs=1)
    assert all(o.activation_bits == 32 for o in one.learner.architecture.operators())
    assert any(o.activation_bits == 8 for o in one.network.architecture.operators())
    before = one.network.state_dict()["stem.conv.weight"].clone()
    for _ in one:
        pass
    assert torch.equal(one.network.state_dict()["stem.conv.weight"], before)
    one.settle()
    assert torch.equal(one.network.state_dict()["stem.conv.weight"], one.learner.state_dict()["stem.conv.weight"])


def test_rows_that_were_rounded_before_are_rounded_for_the_weights_of_now() -> None:
    one = done(trainer(epochs=1, rounding="adaround"))
    layer = one.network.head.linear
    assert isinstance(layer, RoundedLinear)
    found = layer.step_sizes(8)
    with torch.no_grad():
        one.learner.state_dict()["head.linear.weight"].mul_(4.0)
    for rounding in ("adaround", "nearest"):
        settings = PostTraining.model_validate({"rounding": rounding})
        round_network(one.network, one.learner, list(one.calibration()), settings, seed=2)
        torch.testing.assert_close(layer.step_sizes(8), 4 * found)
    assert not layer.has_own


def test_it_goes_on_bit_for_bit_before_and_after_it_was_rounded() -> None:
    whole = done(trainer(epochs=2))
    first, second, third = trainer(epochs=2), trainer(epochs=2), trainer(epochs=2)
    for report in first:
        if report.step == 7:
            break
    second.load_state_dict(first.state_dict())
    third.load_state_dict(done(second).state_dict())
    third.settle()
    for other in (second, third):
        ours, theirs = whole.network.state_dict(), other.network.state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_its_file_computes_what_torch_computes_and_its_weights_load(tmp_path: Path) -> None:
    one = done(trainer(epochs=2))
    write_onnx(one.network, tmp_path / "model.onnx", PIXELS)
    save_weights(one.network, tmp_path / "weights.safetensors")
    with torch.inference_mode():
        assert torch.equal(load_weights(tmp_path / "weights.safetensors")(PIXELS), one.network(PIXELS))


def test_learning_steps_and_rounding_afterwards_exclude_each_other() -> None:
    with pytest.raises(ValidationError, match="post_training does after it"):
        Finish.model_validate({"quantizer": "lsq", "post_training": {}})
    with pytest.raises(ValidationError, match="percentile"):
        Finish.model_validate({"post_training": {"calibration": "percentile@101"}})
