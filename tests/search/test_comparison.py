"""A comparison as part of a job: every row there, every budget held, the same bits through any interruption."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from search import state
from search.architecture import Architecture
from search.choices import Choices
from search.datasets.data import ImageData
from search.finish import Trainer, evaluated
from search.outcome import Result
from search.points import operating_points
from search.report.compared import SEARCHED, ComparedRun
from search.run import MisfitError, SearchRun
from search.spec import SearchSpec
from tests.search.builders import tiny_space, tiny_spec, weight_budget

CHOICES = Choices(precision=("fp32", "w8a8"), width=(1, 0.5), width_multiple=4)
SMALL = {"epochs": 1, "batch_size": 40}


def spec(**changes: object) -> SearchSpec:
    document = tiny_spec().model_dump() | {"choices": CHOICES.model_dump(), "finish": SMALL, "trials": {"finalists": 0}}
    return SearchSpec.model_validate(document | changes)


COMPARED = {
    "baselines": ["random", "uniform-magnitude", "uniform-int8"],
    "comparison": {"points": 2, "seeds": 2},
}


def start(digits: ImageData, wanted: SearchSpec, *, share: float = 0.7) -> SearchRun:
    space = tiny_space().offering(wanted.choices)
    return SearchRun(wanted, space=space, data=digits, budgets=[weight_budget(space, share)])


def exported(run: SearchRun, folder: Path) -> Result:
    for _ in run:
        pass
    folder.mkdir()
    return run.export(folder)


@pytest.fixture(scope="module")
def calm(digits: ImageData, tmp_path_factory: pytest.TempPathFactory) -> tuple[SearchRun, Result]:
    """A comparison that nobody interrupts."""
    run = start(digits, spec(**COMPARED))
    return run, exported(run, tmp_path_factory.mktemp("calm") / "out")


def by_place(result: Result) -> Mapping[tuple[str, float, int], ComparedRun]:
    return {(run.method, run.share, run.seed): run for run in result.compared}


def test_every_method_has_a_row_at_every_point_and_seed(calm: tuple[SearchRun, Result]) -> None:
    methods = (SEARCHED, "random", "uniform-magnitude", "uniform-int8")
    wanted = [(method, share, seed) for method in methods for share in (1.0, 0.85) for seed in (0, 1)]
    assert list(by_place(calm[1])) == wanted


def test_every_compared_network_holds_the_budgets_of_its_point_exactly(calm: tuple[SearchRun, Result]) -> None:
    run, result = calm
    points = {point.share: point.budgets for point in operating_points(run.budgets, 2)}
    for row in result.compared:
        indices = Architecture(space=run.space, layers=row.layers).indices
        for budget in points[row.share]:
            assert row.predicted[budget.name] == budget.total(indices) <= budget.maximum
            assert row.method != "random" or budget.total(indices) >= 0.95 * budget.maximum


def test_the_first_row_is_the_jobs_own_network_and_seeds_vary_its_training(
    calm: tuple[SearchRun, Result], digits: ImageData
) -> None:
    run, result = calm
    own, again, tighter = (
        by_place(result)[place] for place in ((SEARCHED, 1.0, 0), (SEARCHED, 1.0, 1), (SEARCHED, 0.85, 0))
    )
    assert own.after == result.test_metric
    assert own.layers == again.layers == result.architecture.layers
    assert own.predicted == result.predicted
    assert tighter.predicted["pi4"] <= operating_points(run.budgets, 2)[1].budgets[0].maximum
    network = run.strategy.inherit(result.architecture.indices)
    trainer = Trainer(network, data=digits, settings=run.spec.finish, seed=run.spec.seed + 1)
    for _ in trainer:
        pass
    trainer.settle()
    assert evaluated(network, digits) == again.after


def test_networks_are_judged_as_inherited_and_as_trained_in_top_1_and_top_5(calm: tuple[SearchRun, Result]) -> None:
    for row in calm[1].compared:
        assert row.top5_before is not None
        assert row.top5_after is not None
        assert 0 <= row.before <= row.top5_before <= 1
        assert 0 <= row.after <= row.top5_after <= 1
    assert any(row.before != row.after for row in calm[1].compared)
    seeds = [by_place(calm[1])["uniform-int8", 0.85, seed] for seed in (0, 1)]
    assert seeds[0].layers == seeds[1].layers
    drawn = [by_place(calm[1])["random", 0.85, seed] for seed in (0, 1)]
    assert drawn[0].layers != drawn[1].layers


def test_a_comparison_interrupted_at_many_steps_ends_bit_identical(
    calm: tuple[SearchRun, Result], digits: ImageData, tmp_path: Path
) -> None:
    """Also in the middle of a network's training; a state is kept as a file."""
    run, phases = start(digits, spec(**COMPARED)), list[str]()
    for number in range(1, 1000):
        report = next(iter(run), None)
        if report is None:
            break
        if number % 3 == 0:
            phases.append(report.phase)
            state.save(run.state_dict(), tmp_path / "state")
            torch.rand(number)
            run = start(digits, spec(**COMPARED))
            run.load_state_dict(state.load(tmp_path / "state"))
    assert phases.count("compare") > 20
    result = exported(run, tmp_path / "out")
    assert result.compared == calm[1].compared
    assert [file.read_bytes() for file in result.files] == [file.read_bytes() for file in calm[1].files]


def test_networks_shared_among_several_runs_in_any_order_give_the_same_rows_and_files(
    calm: tuple[SearchRun, Result], digits: ImageData, tmp_path: Path
) -> None:
    """Others begin from a state at the end of the job's own training; one is asked for a network twice."""
    run = start(digits, spec(**COMPARED))
    for _ in run.until_trained():
        pass
    state.save(run.state_dict(), tmp_path / "state")
    here, count = run.comparing(), len(run.comparing().plan)
    reports = list(here.train(1))
    for number in range(count, 1, -1):
        other = start(digits, spec(**COMPARED))
        other.load_state_dict(state.load(tmp_path / "state"))
        there = other.comparing()
        next(iter(there.train(count if number < count else 2)))  # begun, and left
        assert here.result(number) is None
        for _ in there.train(number):
            here.hear({number: there.steps_done(number)})
        assert there.step == there.steps_done(number) == there.steps_of(number) > 0
        found = there.result(number)
        assert found is not None
        here.take(number, ComparedRun.model_validate_json(found.model_dump_json()))
        assert list(here.train(number)) == []
    here.hear({})  # nothing is trained elsewhere any more
    assert (len(reports), here.step, run.steps_left["compare"]) == (1, here.steps, 0)
    result = exported(run, tmp_path / "out")
    assert result.compared == calm[1].compared
    assert [file.read_bytes() for file in result.files] == [file.read_bytes() for file in calm[1].files]


def test_a_state_of_another_version_is_refused(digits: ImageData) -> None:
    run = start(digits, spec(baselines=["random"]))
    for _ in run.until_trained():
        pass
    with pytest.raises(state.StateError, match="comparison is of another version of lutnas: submit the job again"):
        run.comparing().load_state_dict({**run.comparing().state_dict(), "format": 1})


@pytest.mark.parametrize("finish", [{}, {"distillation": {"epochs": 1}}])
def test_steps_that_are_left_are_those_that_are_done(digits: ImageData, finish: dict) -> None:
    run = start(digits, spec(baselines=["random"], comparison={"seeds": 2}, finish={**SMALL, **finish}))
    foreseen, counted = run.steps_left, dict[str, int]()
    for report in run:
        counted[report.phase] = counted.get(report.phase, 0) + 1
        if report.phase == "compare":
            assert run.steps_left["compare"] == report.steps - report.step
            assert report.data["network"] <= report.data["networks"] == 4
    del counted["derive"]
    assert foreseen == {"teach": 0, **counted, "trial": 0, "warm-start": 0}
    assert set(run.steps_left.values()) == {0}


def test_a_job_without_comparison_is_what_it_was_and_one_with_it_ships_the_same_network(
    calm: tuple[SearchRun, Result], digits: ImageData, tmp_path: Path
) -> None:
    run = start(digits, spec())
    phases = {report.phase for report in run}
    (tmp_path / "out").mkdir()
    result = run.export(tmp_path / "out")
    assert "compare" not in phases
    assert run.comparison is None
    assert result.compared == ()
    assert [file.read_bytes() for file in result.files] == [file.read_bytes() for file in calm[1].files]


def test_networks_that_are_not_trained_are_compared_as_they_are(digits: ImageData, tmp_path: Path) -> None:
    run = start(digits, spec(baselines=["random"], finish={"epochs": 0}))
    result = exported(run, tmp_path / "out")
    assert [row.method for row in result.compared] == [SEARCHED, "random"]
    assert all(row.before == row.after for row in result.compared)


def test_where_a_job_trains_from_scratch_its_baselines_do_too(digits: ImageData, tmp_path: Path) -> None:
    run = start(digits, spec(baselines=["random"], finish={**SMALL, "weights": "scratch"}, comparison={"seeds": 2}))
    result = exported(run, tmp_path / "out")
    assert result.compared[0].after == result.test_metric
    run = start(digits, spec(baselines=["random"], comparison={"seeds": 2}))
    assert exported(run, tmp_path / "inherited").compared != result.compared


def test_top_5_is_told_of_classifiers_with_more_than_five_classes_alone(digits: ImageData, tmp_path: Path) -> None:
    few = [labels < 5 for labels in (digits.y_train, digits.y_test)]
    five = ImageData(
        "five", digits.x_train[few[0]], digits.y_train[few[0]], digits.x_test[few[1]], digits.y_test[few[1]], 5
    )
    result = exported(start(five, spec(baselines=["random"])), tmp_path / "out")
    assert {(row.top5_before, row.top5_after) for row in result.compared} == {(None, None)}


def test_a_baseline_that_cannot_apply_is_refused_before_anything_is_spent(digits: ImageData) -> None:
    floats = spec(baselines=["uniform-int8"], choices=None)
    with pytest.raises(MisfitError, match="baselines: uniform-int8: w8a8 is no choice of the space tiny"):
        start(digits, floats)


def test_rows_are_json(calm: tuple[SearchRun, Result]) -> None:
    rows = [json.loads(row.model_dump_json()) for row in calm[1].compared]
    assert [ComparedRun.model_validate(row) for row in rows] == list(calm[1].compared)
