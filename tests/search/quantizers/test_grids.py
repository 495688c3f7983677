"""Grids of a trained network are calibrated on pictures while its BatchNorms stay."""

import pytest
import torch

from search.kernels.grids import clip_of
from search.network import Network
from search.norms import NormAct
from search.quantizers.calibration import CALIBRATIONS
from search.quantizers.grids import calibrate_grids, observed, places_of
from tests.search.quantizers.builders import calibration_batches, loss_of, rounded_twin, trained


@pytest.fixture
def rounded() -> Network:
    return rounded_twin(trained(), "w8a8", calibration_batches())


def test_only_steps_of_grids_change(rounded: Network) -> None:
    before = {name: value.clone() for name, value in rounded.state_dict().items()}
    calibrate_grids(rounded, [0.3 * x for x in calibration_batches()], "min-max")
    after = rounded.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items() if not name.endswith(".log_size"))
    sizes = {name for name in after if name.endswith(".log_size")}
    assert sizes == {name for name in after if name not in before or not torch.equal(after[name], before[name])}


def test_the_default_is_the_root_mean_square_that_training_keeps(rounded: Network) -> None:
    batches = calibration_batches()
    place, affine = next(places_of(rounded))
    assert isinstance(place, NormAct)
    assert affine.kind == "unsigned"
    seen = observed(rounded, place, batches)
    with torch.no_grad():
        trained_stem = trained().stem(torch.cat(batches))
    assert seen.count == trained_stem.numel()
    rms = place.step_size(8) * affine.ends[1] / clip_of(8, 1.0, signed=False)
    assert rms == pytest.approx(float(trained_stem.square().mean().sqrt()), rel=0.05)


def test_every_place_that_rounds_is_found_once(rounded: Network) -> None:
    places = [place for place, _ in places_of(rounded)]
    assert len(places) == len({id(place) for place in places}) == 1 + 3 * 4 + 3


@pytest.mark.parametrize("method", CALIBRATIONS)
def test_each_method_sizes_grids_on_which_eight_bits_cost_nothing(rounded: Network, method: str) -> None:
    calibrate_grids(rounded, calibration_batches(), method)
    assert loss_of(rounded) < loss_of(trained()) + 0.05


def test_min_max_loses_far_more_than_mse_at_three_bits_of_activations() -> None:
    """Weights keep 8 bits, which calibration does not size: at 4 of both, their rounding may drown the difference."""
    batches = calibration_batches()
    rounded = rounded_twin(trained(), "w8a3", batches)
    plain = loss_of(trained())
    lost = dict[str, float]()
    for method in ("min-max", "mse"):
        calibrate_grids(rounded, batches, method)
        lost[method] = loss_of(rounded) - plain
    assert lost["mse"] < 0.7 * lost["min-max"]  # 0.15 to 0.45 of it with six trainings
