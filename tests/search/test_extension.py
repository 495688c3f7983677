"""A network trained on: from the weights alone, repeatable to the bit through any interruption, zeros as they were."""

from pathlib import Path
from typing import Any

import pytest
import torch

from search import load, state
from search.choices import Choices, Sparsity
from search.datasets.data import ImageData
from search.extension import ExtensionRun, WeightsMisfit
from search.finish import evaluated
from search.network import load_weights
from search.outcome import Result
from search.run import SearchRun
from search.space import Space
from search.spec import SearchSpec
from search.state import StateError
from tests.search.builders import tiny_space, tiny_spec, weight_budget

ROUNDED_AND_SPARSE = Choices(
    precision=("w8a8", "w4a4"), width=(1, 0.5), width_multiple=4, sparsity=Sparsity(levels=(0.5,)), ends="w8a8"
)
FINISHES: dict[str, tuple[Choices | None, dict[str, Any]]] = {
    "float": (None, {}),
    "moving average": (None, {"ema": 0.9}),
    "rounded and sparse": (ROUNDED_AND_SPARSE, {}),
    "learnt steps": (ROUNDED_AND_SPARSE, {"quantizer": "lsq"}),
    "learnt clips": (ROUNDED_AND_SPARSE, {"quantizer": "pact"}),
    "rounded after": (ROUNDED_AND_SPARSE, {"post_training": {"calibration": "mse", "equalization": True}}),
}


def of(spec: SearchSpec) -> Space:
    return tiny_space().offering(spec.choices)


def searched(spec: SearchSpec, digits: ImageData, folder: Path) -> Path:
    """The weights that a search leaves."""
    run = SearchRun(spec, space=of(spec), data=digits, budgets=[weight_budget(of(spec), 0.6)])
    carried_out(run, folder)
    return folder / "weights.safetensors"


def extended(spec: SearchSpec, digits: ImageData, weights: Path, *, pruning: str = "one-shot") -> ExtensionRun:
    longer = {"epochs": 3, "lr": 0.02, "pruning": {"schedule": pruning}}
    spec = SearchSpec.model_validate({**spec.model_dump(), "finish": {**spec.finish.model_dump(), **longer}})
    budgets = [weight_budget(of(spec), 0.6)]
    return ExtensionRun(spec, space=of(spec), data=digits, budgets=budgets, weights=weights)


def carried_out(run: SearchRun | ExtensionRun, folder: Path) -> Result:
    for _ in run:
        pass
    folder.mkdir()
    return run.export(folder)


def contents(result: Result) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in result.files}


@pytest.mark.parametrize("how", FINISHES)
def test_an_extension_interrupted_at_many_steps_ends_bit_identical(how: str, digits: ImageData, tmp_path: Path) -> None:
    choices, finish = FINISHES[how]
    spec = SearchSpec.model_validate(
        {**tiny_spec().model_dump(), "choices": choices, "finish": {"epochs": 2, "batch_size": 32, **finish}}
    )
    weights = searched(spec, digits, tmp_path / "first")
    before = weights.read_bytes()
    calm = carried_out(extended(spec, digits, weights), tmp_path / "calm")
    run, resumed = extended(spec, digits, weights), 0
    for number in range(1, 1000):
        if next(iter(run), None) is None:
            break
        if number % 4 == 0:
            resumed += 1
            state.save(run.state_dict(), tmp_path / "state")
            torch.rand(number)  # whatever else draws random numbers does not matter
            run = extended(spec, digits, weights)
            run.load_state_dict(state.load(tmp_path / "state"))
    assert resumed > 2
    again = carried_out(run, tmp_path / "again")
    assert contents(again) == contents(calm)
    assert (again.before, again.test_metric, again.notes) == (calm.before, calm.test_metric, calm.notes)
    assert weights.read_bytes() == before
    assert contents(calm)["weights.safetensors"] != before
    assert load(weights).architecture == calm.architecture


def test_it_begins_where_the_first_job_ended_and_goes_down_to_zero(digits: ImageData, tmp_path: Path) -> None:
    spec = tiny_spec()
    weights = searched(spec, digits, tmp_path / "first")
    run = extended(spec, digits, weights)
    rates, phases = list[float](), set[str]()
    for report in run:
        phases.add(report.phase)
        rates.append(run.trainer.optimizer.param_groups[0]["lr"])
    assert run.before is not None
    assert run.before.metric == evaluated(load_weights(weights), digits)
    assert phases == {"finish"}
    assert (len(rates), max(rates)) == (run.trainer.steps, 0.02)
    assert rates[-1] < 0.002
    (tmp_path / "out").mkdir()
    result = run.export(tmp_path / "out")
    assert result.predicted == {"pi4": weight_budget(of(spec), 0.6).total(result.architecture.indices)}
    assert "from a learning rate of 0.02" in result.notes[0]


@pytest.mark.parametrize("pruning", ["one-shot", "gradual"])
def test_zeros_stay_where_they_were(pruning: str, digits: ImageData, tmp_path: Path) -> None:
    spec = tiny_spec().model_copy(update={"choices": ROUNDED_AND_SPARSE})
    weights = searched(spec, digits, tmp_path / "first")
    carried_out(extended(spec, digits, weights, pruning=pruning), tmp_path / "second")
    first, second = (load(file).state_dict() for file in (weights, tmp_path / "second" / "weights.safetensors"))
    masks = [name for name in first if name.endswith("_mask")]
    assert masks
    for name in masks:
        assert torch.equal(first[name], second[name]), name


def test_an_extension_of_an_extension_sees_its_pictures_in_another_order(digits: ImageData, tmp_path: Path) -> None:
    spec = tiny_spec()
    first = searched(spec, digits, tmp_path / "first")
    carried_out(extended(spec, digits, first), tmp_path / "second")
    once, twice = (extended(spec, digits, tmp_path / name / "weights.safetensors") for name in ("first", "second"))
    assert not torch.equal(once.trainer.batches.order(0), twice.trainer.batches.order(0))


def test_weights_of_another_space_and_other_files_are_refused(digits: ImageData, tmp_path: Path) -> None:
    spec = tiny_spec()
    weights = searched(spec, digits, tmp_path / "first")
    other = spec.model_copy(update={"choices": Choices(width=(1, 0.5), width_multiple=4)})
    with pytest.raises(WeightsMisfit, match="not of"):
        extended(other, digits, weights)
    (tmp_path / "broken").write_bytes(b"broken")
    with pytest.raises(WeightsMisfit, match="damaged"):
        extended(spec, digits, tmp_path / "broken")
    run = extended(spec, digits, weights)
    with pytest.raises(StateError, match="extend the job again"):
        run.load_state_dict({"format": 5, "phase": "finish"})
