"""HAWQ as a job: blocks are given, every budget is held, the same bits through any interruption, what it forecasts."""

import itertools
import math
from pathlib import Path

import pytest
import torch

from search import state
from search.architecture import Architecture, LayerChoice
from search.budget import Budget
from search.budgets import sum_budget
from search.choices import FP32, Choices, Sparsity
from search.costs import stored_bytes
from search.datasets.data import ImageData
from search.derive import reach
from search.forecast import workload
from search.given import NotOffered, as_derived, only, space_of
from search.network import Network
from search.outcome import Result
from search.reports import StepReport
from search.run import SearchRun
from search.space import Space
from search.spec import SearchSpec
from search.strategies.hawq import HawqSearch
from search.supernet.pretrained import read_pretrained
from tests.search.builders import tiny_space, tiny_spec, weight_budget

BITS = Choices(precision=("fp32", "w8a8", "w4a4", "w2a2"), sparsity=Sparsity(levels=(0, 0.5)))
GIVEN = ("k3_e3", "k5_e6", "k3_e1")
SMALL = {"epochs": 2, "pictures": 40, "vectors": 4}


def spec(**changes: object) -> SearchSpec:
    document = {
        "space": "tiny", "dataset": "digits", "constraints": [{"device": "pi4", "max_us": 1000.0}],
        "choices": BITS.model_dump(), "strategy": "hawq", "hawq": {"candidates": GIVEN, **SMALL},
        "finish": {"epochs": 1, "batch_size": 40},
    }  # fmt: skip
    return SearchSpec.model_validate(document | changes)


def budgets(space: Space, share: float) -> list[Budget]:
    """Bytes, and a made-up latency that follows the bits of activations; both bind."""
    size = sum_budget("size", space, stored_bytes, 1.0)
    latency = sum_budget("pi4", space, lambda o: o.c_mid * o.h * o.activation_bits / 100, 1.0)
    return [Budget(b.name, b.costs_LK, b.fixed, _between(b, share), boundaries=b.boundaries) for b in (size, latency)]


def _between(budget: Budget, share: float) -> float:
    least, greatest = reach(budget)
    return least + share * (greatest - least)


def start(digits: ImageData, wanted: SearchSpec | None = None, *, share: float = 0.3, **others: object) -> SearchRun:
    wanted = wanted or spec()
    space = space_of(wanted, tiny_space())
    return SearchRun(wanted, space=space, data=digits, budgets=budgets(space, share), **others)  # type: ignore[arg-type]


def carried_out(run: SearchRun, folder: Path) -> Result:
    for _ in run:
        pass
    folder.mkdir()
    return run.export(folder)


def test_the_space_of_the_job_has_the_given_block_at_full_width_in_every_layer() -> None:
    wide = tiny_space().offering(BITS.model_copy(update={"width": (0.5,)}))
    space = only(wide, GIVEN)
    assert [[block.candidate.name for block in layer.blocks] for layer in space.layers] == [[name] for name in GIVEN]
    shapes = [(layer[:6], layer.keeps_shape) for layer in space.layers]
    assert shapes == [(layer[:6], layer.keeps_shape) for layer in wide.layers]
    assert [layer.blocks[0].c_mid for layer in space.layers] == [24, 48, 12]
    assert [layer.blocks[0].candidate.name for layer in only(tiny_space()).layers] == ["k5_e6"] * 3
    assert space.stem_operator == wide.stem_operator
    assert space.head_operator == wide.head_operator


def test_a_derived_architecture_gives_its_blocks_at_their_widths_and_no_more() -> None:
    wide = tiny_space().offering(BITS.model_copy(update={"width": (1.0, 0.5), "width_multiple": 4}))
    indices = [max(k for k, c in enumerate(layer.choices) if c.c_mid % 12) for layer in wide.layers]
    derived = Architecture.from_indices(wide, indices)
    assert all(choice.c_mid for choice in derived.layers)
    wanted = spec(choices=None, hawq={"architecture": "job_first", **SMALL})
    space = space_of(wanted, tiny_space().offering(BITS), derived)
    assert [[b.c_mid for b in layer.blocks] for layer in space.layers] == [[c.c_mid] for c in derived.choices]
    assert [layer.blocks[0].candidate.name for layer in space.layers] == [c.candidate for c in derived.layers]
    assert [layer[:6] for layer in space.layers] == [layer[:6] for layer in wide.layers]
    assert {choice.precision.name for choice in space.layers[0].choices} == set(BITS.precision)
    assert Space.model_validate_json(space.model_dump_json()) == space
    with pytest.raises(ValueError, match=r"hawq\.architecture: pass what job_first derived as `given`"):
        space_of(wanted, tiny_space())


def test_a_job_from_a_derived_architecture_has_its_widths_and_says_where_they_are_from(
    digits: ImageData, tmp_path: Path
) -> None:
    wide = tiny_space().offering(BITS.model_copy(update={"width": (1.0, 0.5), "width_multiple": 4}))
    layers = [LayerChoice(candidate="k3_e3", c_mid=12), LayerChoice(candidate="skip"), LayerChoice(candidate="k5_e6")]
    derived = Architecture(space=wide, layers=tuple(layers))
    wanted = spec(hawq={"architecture": "job_first", **SMALL})
    space = space_of(wanted, tiny_space(), derived)
    run = SearchRun(wanted, space=space, data=digits, budgets=budgets(space, 0.3))
    result = carried_out(run, tmp_path / "out")
    assert [c.block for c in run.architecture.choices] == [c.block for c in derived.choices]
    assert result.notes[0].startswith("The blocks were given by job_first.")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"stages": [{"channels": 8, "layers": 1}]}, "has a layer 1 of .* the architecture no such layer: name a job"),
        ({"stages": [{"channels": 4, "layers": 3}]}, "has a layer 0 of 8 to 8 channels.* a layer 0 of 8 to 4 channels"),
    ],
)
def test_a_derived_architecture_of_other_layers_is_refused(changes: dict[str, object], told: str) -> None:
    other = tiny_space(**changes)
    derived = Architecture.of(other, ["k3_e1"] * len(other.layers))
    with pytest.raises(NotOffered, match=f"hawq.architecture: tiny {told}"):
        as_derived(tiny_space(), derived)
    narrow = tiny_space(candidates=["k3_e1", "skip"])
    own = Architecture.of(tiny_space(), GIVEN)
    with pytest.raises(NotOffered, match="'k3_e3' is none of k3_e1, skip, which layer 0 may be"):
        as_derived(narrow, own)


@pytest.mark.parametrize(
    ("candidates", "told"),
    [(["k3_e1"], "names 1, and tiny has 3 layers"), (["k3_e1", "k7_e1", "skip"], r"\[1\]: 'k7_e1' is none of")],
)
def test_blocks_that_cannot_be_given_are_refused_by_place(candidates: list[str], told: str) -> None:
    with pytest.raises(ValueError, match=f"hawq.candidates.*{told}"):
        space_of(spec(hawq={"candidates": candidates}), tiny_space())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"search": {"epochs": 20}}, "of search only pretrained may be given"),
        ({"trials": {"finalists": 2}}, "has no finalists to try"),
        ({"hawq": {"candidates": GIVEN, "architecture": "job_a"}}, "those of job_a; leave one of the two out"),
        ({"hawq": {"epochs": 0}}, "0 leaves new weights as they are"),
        ({"strategy": "differentiable"}, "only used with"),
    ],
)
def test_what_the_strategy_does_not_do_is_refused(changes: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        spec(**changes)


def test_documents_of_the_strategy_come_back_as_they_were() -> None:
    assert SearchSpec.model_validate(spec().model_dump()) == spec()
    assert SearchSpec.model_validate_json(tiny_spec().model_dump_json()) == tiny_spec()


@pytest.mark.parametrize("share", [0.05, 0.3, 0.7])
def test_every_budget_is_held_and_no_allocation_within_them_has_less_omega(
    share: float, digits: ImageData, tmp_path: Path
) -> None:
    run = start(digits, share=share)
    result = carried_out(run, tmp_path / "out")
    indices, evidence = result.architecture.indices, run.strategy.evidence
    assert evidence is not None
    assert all(result.predicted[b.name] == b.total(indices) <= b.maximum for b in run.budgets)
    every = itertools.product(*(range(len(layer.choices)) for layer in run.space.layers))
    held = [ix for ix in every if all(b.total(ix) <= b.maximum for b in run.budgets)]
    summed = [math.fsum(row[k] for row, k in zip(evidence.worth, ix, strict=True)) for ix in (*held, indices)]
    assert summed[-1] == pytest.approx(max(summed))


def test_fewer_bits_and_more_zeros_cost_more_and_float_dense_costs_nothing(digits: ImageData) -> None:
    run = start(digits)
    assert {report.phase for report in run} == {"float", "trace", "derive", "finish"}
    evidence = run.strategy.evidence
    assert evidence is not None
    for layer, row in zip(run.space.layers, evidence.worth, strict=True):
        omega = {choice[1:]: -worth for choice, worth in zip(layer.choices, row, strict=True)}
        dense, sparse = ([omega[p, level] for p in run.space.choices.precisions] for level in run.space.choices.levels)
        assert dense[0] == 0
        assert dense == sorted(dense)
        assert all(more > less for more, less in zip(sparse, dense, strict=True))
    assert max(-worth for row in evidence.worth for worth in row) == pytest.approx(1000)


def test_a_job_interrupted_at_many_steps_ends_bit_identical(digits: ImageData, tmp_path: Path) -> None:
    wanted = spec(baselines=["random"], comparison={"points": 2})
    undisturbed = carried_out(start(digits, wanted), tmp_path / "undisturbed")
    run, phases = start(digits, wanted), set[str]()
    for number in range(1, 1000):
        report = next(iter(run), None)
        if report is None:
            break
        if number % 3 == 0 or report.phase in ("trace", "derive"):
            phases.add(report.phase)
            state.save(run.state_dict(), tmp_path / "state")
            torch.rand(number)
            run = start(digits, wanted)
            run.load_state_dict(state.load(tmp_path / "state"))
    assert phases == {"float", "trace", "derive", "finish", "compare"}
    result = carried_out(run, tmp_path / "interrupted")
    assert result == undisturbed.__class__(**{**undisturbed.__dict__, "files": result.files})
    assert [file.read_bytes() for file in result.files] == [file.read_bytes() for file in undisturbed.files]


def test_its_steps_are_those_that_are_forecast_and_left(digits: ImageData) -> None:
    run = start(digits)
    found = workload(run.spec, run.space, examples=len(digits.y_train), test_examples=len(digits.y_test))
    foreseen, counted = run.steps_left, dict[str, int]()
    for report in run:
        counted[report.phase] = counted.get(report.phase, 0) + 1
    assert foreseen == {"float": 8, "trace": 4, "teach": 0, "finish": 4, "compare": 0}
    assert found.search_steps == counted["float"] + counted["trace"] == 12
    assert (found.trial_steps, found.scoring_macs, found.finish_steps) == (0, 0, counted["finish"])
    assert found.memory_bytes > 0
    assert set(run.steps_left.values()) == {0}


def test_training_begins_with_the_float_networks_weights(digits: ImageData) -> None:
    run = start(digits)
    for report in run:
        if report.phase == "derive":
            break
    assert isinstance(run.strategy, HawqSearch)
    assert run.trainer is not None
    floats, derived = run.strategy.floats.network.state_dict(), run.trainer.network.state_dict()
    assert all(torch.equal(derived[name], value) for name, value in floats.items() if name.endswith("conv.weight"))
    assert all(torch.equal(derived[name], value) for name, value in floats.items() if ".expand.weight" in name)
    assert run.before is not None


def test_weights_of_a_search_are_a_start_without_training(digits: ImageData, tmp_path: Path) -> None:
    searched = tiny_spec().model_copy(update={"choices": BITS})
    space = tiny_space().offering(BITS)
    first = SearchRun(searched, space=space, data=digits, budgets=[weight_budget(space, 0.6)])
    carried_out(first, tmp_path / "first")
    given = read_pretrained(tmp_path / "first" / "supernet.safetensors")
    wanted = spec(hawq={**SMALL, "epochs": 0}, search={"pretrained": "job_first"})
    run = start(digits, wanted, pretrained=given)
    reports = list[StepReport](run)
    assert {report.phase for report in reports} == {"trace", "derive", "finish"}
    assert isinstance(run.strategy, HawqSearch)
    own = run.strategy.floats.network.state_dict()["layers.0.expand.weight"]
    widest = Architecture.of(space, ["k5_e6"] * 3).indices
    assert torch.equal(own, first.strategy.inherit(widest).state_dict()["layers.0.expand.weight"])


def test_a_device_where_it_takes_too_much_tightens_the_budget(digits: ImageData) -> None:
    space = space_of(spec(), tiny_space())
    both = budgets(space, 0.5)

    def measure(network: Network) -> dict[str, float]:
        return {"pi4": 1.2 * both[1].total(network.architecture.indices)}

    run = SearchRun(spec(), space=space, data=digits, budgets=both, measure=measure)
    told = [report.data["held"] for report in run if report.phase == "measure"]
    assert told[0] is False
    assert told[-1] is True
    assert 1.2 * both[1].total(run.architecture.indices) <= both[1].maximum


def test_a_space_with_a_choice_of_blocks_is_refused(digits: ImageData) -> None:
    space = tiny_space().offering(BITS)
    with pytest.raises(ValueError, match=r"tiny offers several blocks a layer; pass search\.given\.space_of"):
        SearchRun(spec(), space=space, data=digits, budgets=budgets(space, 0.5))


def test_the_report_says_how_bits_were_found(digits: ImageData, tmp_path: Path) -> None:
    result = carried_out(start(digits), tmp_path / "out")
    assert result.notes[0].startswith("The blocks were given. Bits and zeros are the least sum of HAWQ's Omega")
    assert "supernet.safetensors" not in {file.name for file in result.files}
    assert FP32.name == "fp32"
