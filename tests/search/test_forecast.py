"""A forecast counts the steps that are really done, and scales as the work does."""

import pytest

from search import batches, forecast
from search.budgets import budgets_of
from search.choices import Choices, Sparsity
from search.costs import macs
from search.finish import trainer
from search.forecast import Pace, stated_pace, workload
from search.run import SearchRun
from search.space import preset
from search.spec import SearchSpec
from tests.search.builders import tiny_digits, tiny_space

PACE = Pace(1e9, 2e9, "test")


def spec(search: dict[str, object], finish: dict[str, object]) -> SearchSpec:
    document = {"space": "tiny", "dataset": "digits", "constraints": [{"metric": "macs", "max": 1e9}]}
    return SearchSpec.model_validate({**document, "search": search, "finish": finish, "trials": {"finalists": 3}})


@pytest.mark.parametrize(
    ("search", "finish"),
    [
        ({"epochs": 3, "warmup_epochs": 1, "batch_size": 16}, {"epochs": 2, "batch_size": 32}),
        ({"epochs": 2, "warmup_epochs": 0, "batch_size": 50, "examples": 90}, {"epochs": 1, "batch_size": 4096}),
        ({"epochs": 2, "warmup_epochs": 1, "batch_size": 7, "theta_share": 0.5}, {"epochs": 0}),
        ({"epochs": 3}, {"epochs": 1, "batch_size": 32, "distillation": {"epochs": 3}}),
    ],
)
def test_steps_are_those_that_a_run_does(search: dict[str, object], finish: dict[str, object]) -> None:
    wanted, space, data = spec(search, finish), tiny_space(), tiny_digits()
    budgets = budgets_of(space, wanted.constraints, {})
    run = SearchRun(wanted, space=space, data=data, budgets=budgets)
    found = workload(wanted, space, examples=len(data.y_train), test_examples=len(data.y_test))
    assert run.steps_left == {
        "search": found.search_steps, "warm-start": 0, "draw": wanted.search.evidence_samples,
        "assess": wanted.finalists, "trial": found.trial_steps,
        "teach": found.teach_steps, "finish": found.finish_steps, "compare": 0,
    }  # fmt: skip
    assert found.teach_steps == (3 * (160 // 32) if "distillation" in finish else 0)


def test_seconds_are_those_of_search_trials_and_finish_at_their_own_pace() -> None:
    found = workload(spec({"epochs": 3}, {"epochs": 1}), tiny_space(), examples=1000, test_examples=100)
    search = (found.search_steps * found.search_step_macs + found.scoring_macs) / 1e9
    assert found.seconds(PACE) == search + (found.trial_steps + found.finish_steps) * found.finish_step_macs / 2e9
    taught = workload(
        spec({"epochs": 3}, {"epochs": 1, "distillation": {"epochs": 4}}),
        tiny_space(),
        examples=1000,
        test_examples=100,
    )
    assert taught.teach_steps == 4 * found.finish_steps
    assert taught.finish_step_macs == found.finish_step_macs * 4 / 3  # the twin's answers: a forward pass more
    more = taught.teach_steps * found.finish_step_macs + found.finish_steps * found.finish_step_macs / 3
    assert taught.seconds(PACE) - found.seconds(PACE) == pytest.approx(more / 2e9)
    assert found.trial_steps == 3 * (800 // spec({}, {}).finish.batch_size)
    assert stated_pace(2).search_macs_per_second == 2 * stated_pace(1).search_macs_per_second


@pytest.mark.parametrize(
    ("form", "sampler"),
    [("shared", "gumbel"), ("shared", "uniform"), ("shared", "sandwich"), ("reference", "gumbel")],
)
def test_a_step_is_three_passes_of_what_it_runs_and_scoring_one(form: str, sampler: str) -> None:
    space = tiny_space(candidates=["k3_e1", "k3_e6"])
    smallest, largest = (sum(macs(layer.operator(layer.choices[pick])) for layer in space.layers) for pick in (0, 1))
    ends = macs(space.stem_operator) + macs(space.head_operator)
    average = (smallest + largest) / 2 + ends
    mixed = 1.2 * (largest + ends) if form == "shared" else smallest + largest + ends
    weight = {"uniform": average, "sandwich": (average + largest + ends) / 2}.get(sampler, mixed)
    wanted = spec({"supernet": form, "weight_sampler": sampler, "batch_size": 10, "evidence_samples": 4}, {})
    found = workload(wanted, space, examples=100, test_examples=100)
    theta_steps = (wanted.search.epochs - wanted.search.warmup_epochs) * 2
    weight_steps = found.search_steps - theta_steps
    trained = 3 * 10 * (weight_steps * weight + theta_steps * mixed)
    scored = (wanted.finalists + 4) * 20 * average  # a fifth of the examples is held out
    assert found.search_step_macs * found.search_steps == pytest.approx(trained)
    assert found.scoring_macs == pytest.approx(scored)


def test_memory_grows_with_the_batch_and_with_the_form() -> None:
    space = preset("fbnet-mini")

    def memory_bytes(**search: object) -> int:
        return workload(spec(search, {}), space, examples=6000, test_examples=1000).memory_bytes

    assert memory_bytes(batch_size=128) < memory_bytes(batch_size=512)
    assert memory_bytes(batch_size=128) < memory_bytes(batch_size=128, supernet="reference")


@pytest.mark.parametrize("warm_start", ["hawq", "variational-dropout", "hard-concrete"])
def test_memory_is_that_of_the_warm_start_where_it_takes_most(warm_start: str) -> None:
    space = preset("fbnet-mini")

    def memory_bytes(**search: object) -> int:
        return workload(spec(search, {"batch_size": 2}), space, examples=6000, test_examples=1000).memory_bytes

    assert memory_bytes(warm_start=warm_start, batch_size=128) > memory_bytes(batch_size=128)


@pytest.mark.parametrize("baseline", ["hawq", "variational-dropout", "hard-concrete"])
def test_memory_is_that_of_a_baseline_where_it_takes_most(baseline: str) -> None:
    space = preset("fbnet-mini").offering(Choices(width=(1, 0.5), sparsity=Sparsity(levels=(0, 0.5))))

    def memory_bytes(*baselines: str) -> int:
        job = spec({"batch_size": 16}, {"batch_size": 128}).model_copy(update={"baselines": baselines})
        return workload(job, space, examples=6000, test_examples=1000).memory_bytes

    assert memory_bytes(baseline) > 1.1 * memory_bytes("random")


@pytest.mark.parametrize("trains_only", [False, True])
def test_memory_is_that_of_learning_roundings_where_all_else_takes_less(trains_only: bool) -> None:
    def memory_bytes(rounding: str) -> int:
        job = spec({"batch_size": 8}, {"batch_size": 8, "post_training": {"rounding": rounding}})
        found = workload(job, preset("fbnet-mini"), examples=6000, test_examples=1000, trains_only=trains_only)
        return found.memory_bytes

    assert memory_bytes("adaround") > 1.5 * memory_bytes("nearest")


def test_only_one_finalist_is_trained() -> None:
    one = spec({}, {})
    many = one.model_copy(update={"finalists": 30})
    steps = [workload(s, tiny_space(), examples=1000, test_examples=100).finish_steps for s in (one, many)]
    assert steps[0] == steps[1]


def test_a_comparison_costs_the_training_of_each_network_but_the_jobs_own_and_the_judging_of_all() -> None:
    alone = spec({}, {"epochs": 3})
    baselines = {"baselines": ["random"], "comparison": {"points": 2, "seeds": 3}}
    compared = SearchSpec.model_validate(alone.model_dump() | baselines)
    without, found = (workload(s, tiny_space(), examples=1000, test_examples=100) for s in (alone, compared))
    assert (without.compare_steps, without.judging_macs) == (0, 0)
    assert found.compare_steps == 11 * found.finish_steps + 12
    macs_of_picture = found.finish_step_macs / (3 * alone.finish.batch_size)
    assert found.judging_macs == pytest.approx(12 * 2 * (1000 + 100) * macs_of_picture)
    more = found.compare_steps * found.finish_step_macs + found.judging_macs
    assert found.seconds(PACE) == pytest.approx(without.seconds(PACE) + more / 2e9)
    assert found.memory_bytes > without.memory_bytes
    assert forecast.CALIBRATION_EXAMPLES == trainer.CALIBRATION_EXAMPLES


def test_memory_is_that_of_scoring_where_batches_are_small() -> None:
    """A batch of two saves little for its backward pass; scoring passes 500 pictures through the widest block."""
    space = preset("fbnet")
    small = spec({"batch_size": 2}, {"batch_size": 2})
    found = workload(small, space, examples=6000, test_examples=1000).memory_bytes
    widest = max(layer.h * layer.w * max(choice.c_mid for choice in layer.choices) for layer in space.layers)
    assert found > 4 * 500 * 2 * widest + 2 * 6000 * 3 * 224 * 224
    assert forecast.JUDGED_AT_ONCE == batches.JUDGED_AT_ONCE


@pytest.mark.parametrize(("sampler", "least", "most"), [("gumbel-hard", 0.0, 1.0), ("two-path", 1.0, 2.0)])
def test_drawn_paths_cost_what_was_drawn_alone(sampler: str, least: float, most: float) -> None:
    """The architecture steps of a drawn sampler, over those of one average path."""
    space, given = preset("fbnet-mini"), {"epochs": 2, "warmup_epochs": 1, "supernet": "reference"}
    trained = {
        name: workload(
            spec({**given, "weight_sampler": "uniform", "sampler": name}, {}), space, examples=1000, test_examples=100
        )
        for name in (sampler, "gumbel")
    }
    macs_of = {name: one.search_step_macs * one.search_steps for name, one in trained.items()}
    average = trained[sampler].plain_step_macs  # the batches of search and finish are alike
    theta_steps = trained[sampler].search_steps - 2 * (800 // 128)
    paths = (macs_of[sampler] / average - 2 * (800 // 128)) / theta_steps
    assert least < paths - 1e-9 <= most
    assert macs_of[sampler] < macs_of["gumbel"]
