"""Networks whose weights learnt which way to round lose less than ones rounded to nearest."""

import pytest
import torch

from search.quantizers import roundings
from search.quantizers.adaround import Rounds
from search.quantizers.bias_correction import correct_biases
from search.quantizers.roundings import call_of, layers_of, learn_roundings
from tests.search.quantizers.builders import calibration_batches, loss_of, rounded_twin, trained

HASTY = Rounds(steps=150, batch=32)


def test_every_layer_is_called_once_in_the_order_of_its_definition() -> None:
    network, x_NCHW = trained(), calibration_batches(1)[0]
    for number, (layer, _, _) in enumerate(layers_of(network)):
        assert torch.equal(call_of(network, number, x_NCHW).weight, layer.weight)


@pytest.mark.parametrize("precision", ["w4a8", "w2a8"])
def test_learnt_roundings_lose_less_than_corrected_biases_do(precision: str) -> None:
    plain, batches = trained(), calibration_batches()
    corrected, learnt = rounded_twin(plain, precision, batches), rounded_twin(plain, precision, batches)
    correct_biases(corrected, plain, batches)
    learn_roundings(learnt, plain, batches, seed=0, rounds=HASTY)
    assert loss_of(learnt) < loss_of(corrected)


def test_weights_end_on_the_grid_that_their_rows_keep() -> None:
    plain, batches = trained(), calibration_batches(1)
    learnt = rounded_twin(plain, "w4a8", batches)
    before = [layer.step_sizes(bits) for layer, _, bits in layers_of(learnt)]
    learn_roundings(learnt, plain, batches, seed=0, rounds=Rounds(steps=5, batch=32))
    for (layer, _, bits), sizes_O in zip(layers_of(learnt), before, strict=True):
        torch.testing.assert_close(layer.step_sizes(bits), sizes_O)
        torch.testing.assert_close(layer.rounded(bits), layer.weight.detach())


def test_large_layers_learn_from_as_many_pictures_as_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, batches = trained(), calibration_batches()
    most = max(call_of(plain, number, batches[0][:1]).read.numel() for number in range(len(layers_of(plain))))
    monkeypatch.setattr(roundings, "MOST_BYTES", 40 * 4 * most)
    few, cut = rounded_twin(plain, "w4a8", batches), rounded_twin(plain, "w4a8", batches)
    learn_roundings(few, plain, batches, seed=0, rounds=Rounds(steps=5, batch=32))
    monkeypatch.undo()
    learn_roundings(cut, plain, [torch.cat(batches)[:40]], seed=0, rounds=Rounds(steps=5, batch=32))
    assert all(torch.equal(a, b) for a, b in zip(few.state_dict().values(), cut.state_dict().values(), strict=True))


def test_the_same_seed_learns_the_same_roundings() -> None:
    plain, batches = trained(), calibration_batches(1)
    one, other = rounded_twin(plain, "w4a8", batches), rounded_twin(plain, "w4a8", batches)
    for network in (one, other):
        learn_roundings(network, plain, batches, seed=3, rounds=Rounds(steps=20, batch=32))
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))
