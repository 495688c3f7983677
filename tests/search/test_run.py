"""A whole search: repeatable to the bit through any interruption, within its budget, and different for another one."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from search import state
from search.choices import Choices, Sparsity
from search.datasets.data import ImageData
from search.derive import Budget, Unreachable
from search.kernels import parts
from search.measuring import MeasurementError, OverBudget
from search.network import Network
from search.objective import even_within, expected_shares
from search.outcome import Result
from search.run import MisfitError, SearchRun
from search.spec import SearchSpec
from tests.search.builders import tiny_space, tiny_spec, weight_budget

EVERYTHING = Choices(
    precision=("fp32", "w8a8", "w4a4"),
    width=(1, 0.5),
    width_multiple=4,
    sparsity=Sparsity(levels=(0, 0.5)),
    ends="w8a8",
)


def start(digits: ImageData, *, share: float = 0.6, spec: SearchSpec | None = None) -> SearchRun:
    space = tiny_space().offering(spec.choices if spec else None)
    return SearchRun(spec or tiny_spec(), space=space, data=digits, budgets=[weight_budget(space, share)])


def carried_out(run: SearchRun, folder: Path) -> Result:
    for _ in run:
        pass
    folder.mkdir()
    return run.export(folder)


@pytest.fixture(scope="module")
def calm(digits: ImageData, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A run that nobody interrupts."""
    return carried_out(start(digits), tmp_path_factory.mktemp("calm") / "out")


def contents(result: Result) -> list[bytes]:
    return [file.read_bytes() for file in result.files]


@pytest.mark.parametrize(
    ("form", "choices"),
    [("shared", None), ("reference", None), ("shared", EVERYTHING)],
    ids=["shared", "reference", "every kind of choice"],
)
def test_a_search_interrupted_at_many_steps_ends_bit_identical(
    form: str, choices: Choices | None, digits: ImageData, tmp_path: Path
) -> None:
    spec = tiny_spec(supernet=form).model_copy(update={"choices": choices})
    undisturbed = carried_out(start(digits, spec=spec), tmp_path / "undisturbed")
    run, phases = start(digits, spec=spec), set[str]()
    for number in range(1, 1000):
        report = next(iter(run), None)
        if report is None:
            break
        if number % 3 == 0 or report.phase == "derive":
            phases.add(report.phase)
            state.save(run.state_dict(), tmp_path / "state")
            torch.rand(number)  # whatever else draws random numbers does not matter
            run = start(digits, spec=spec)
            run.load_state_dict(state.load(tmp_path / "state"))
    assert phases == {"search", "draw", "assess", "trial", "derive", "finish"}
    assert contents(carried_out(run, tmp_path / "interrupted")) == contents(undisturbed)


def test_a_state_kept_in_memory_stays_as_it_was_and_two_runs_may_go_on_from_it(
    calm: Result, digits: ImageData, tmp_path: Path
) -> None:
    run = start(digits)
    kept = [run.state_dict() for report in run if (report.phase, report.step) in (("search", 12), ("finish", 3))]
    for number, one in enumerate(kept):
        for again in range(2):
            forked = start(digits)
            forked.load_state_dict(one)
            assert contents(carried_out(forked, tmp_path / f"{number} {again}")) == contents(calm)
    assert len(kept) == 2


def test_what_is_compared_is_not_measured_so_that_both_are_refused(digits: ImageData) -> None:
    spec = SearchSpec.model_validate({**tiny_spec().model_dump(), "baselines": ["random"]})
    space = tiny_space()
    with pytest.raises(ValueError, match="what they give is not measured"):
        SearchRun(spec, space=space, data=digits, budgets=[weight_budget(space, 0.6)], measure=lambda *_: None)  # type: ignore[arg-type]


@pytest.fixture
def _three_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As many for torch, and for kernels however little there is to do."""
    monkeypatch.setattr(parts, "SMALL", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_three_threads")
def test_a_search_on_three_threads_that_is_interrupted_ends_bit_identical(digits: ImageData, tmp_path: Path) -> None:
    spec = tiny_spec().model_copy(update={"choices": EVERYTHING})
    undisturbed = carried_out(start(digits, spec=spec), tmp_path / "undisturbed")
    run = start(digits, spec=spec)
    for number, report in enumerate(run):
        if report.phase == "search" and number == 6:
            kept, run = run.state_dict(), start(digits, spec=spec)
            run.load_state_dict(kept)
            break
    assert contents(carried_out(run, tmp_path / "interrupted")) == contents(undisturbed)


def test_weight_steps_train_the_largest_path_and_an_even_one_in_turn(digits: ImageData) -> None:
    searcher = start(digits, spec=tiny_spec(theta_share=0.5)).searcher
    largest = searcher.supernet.theta.largest()
    weights = [step for step in searcher.plan if not step.architecture]
    is_largest = []
    for searcher.step, step in enumerate(weights):
        sample = searcher._sample(step, "sandwich")
        assert all(torch.equal(shares.amax(1), shares.sum(1)) for shares in sample)  # one option each
        is_largest.append(all(map(torch.equal, sample, largest)))
    assert is_largest == [number % 2 == 0 for number in range(len(weights))]


def test_even_paths_hold_the_budget_on_average_and_are_even_where_it_is_loose(digits: ImageData) -> None:
    spec = tiny_spec().model_copy(update={"choices": EVERYTHING})
    tight, loose = (start(digits, share=share, spec=spec).searcher for share in (0.25, 1.0))
    even = even_within(tight.supernet.theta, tight.expected_cost)
    assert float(expected_shares(even, tight.expected_cost)) == pytest.approx(1.0, rel=1e-3)
    drawn = [even.sample("gumbel-hard", 1.0, 0, step) for step in range(400)]
    shares = [float(tight.expected_cost(even.per_choice(sample))) for sample in drawn]
    assert sum(shares) / len(shares) == pytest.approx(1.0, abs=0.05)
    for axis, p in even_within(loose.supernet.theta, loose.expected_cost).probabilities()._asdict().items():
        opened = loose.supernet.theta.opened(axis)
        assert torch.allclose(p, opened / opened.sum(1, keepdim=True))


def test_weights_that_a_job_names_have_to_be_given(digits: ImageData) -> None:
    with pytest.raises(ValueError, match="pass the weights of job_abc as `pretrained`"):
        start(digits, spec=tiny_spec(pretrained="job_abc"))


def test_a_checkpoint_of_another_version_is_refused(digits: ImageData) -> None:
    run = start(digits)
    with pytest.raises(state.StateError, match="of another version of lutnas: submit the job again"):
        run.load_state_dict({**run.state_dict(), "format": 1})


def test_a_finalist_that_takes_too_long_on_the_device_tightens_the_budget(digits: ImageData, tmp_path: Path) -> None:
    """This device takes twice what its table says; one job is interrupted after each step of its choice."""
    space, budget = tiny_space(), weight_budget(tiny_space(), 0.6)

    def measure(network: Network) -> dict[str, float]:
        return {"pi4": 2.0 * budget.total(network.architecture.indices)}

    def begun() -> SearchRun:
        return SearchRun(tiny_spec(), space=space, data=digits, budgets=[budget], measure=measure)

    run, calm, told = begun(), begun(), list[dict[str, object]]()
    undisturbed = [(report.phase, report.step, report.data) for report in calm]
    steps = []
    for _ in range(1000):
        report = next(iter(run), None)
        if report is None:
            break
        steps.append((report.phase, report.step, report.data))
        if report.phase in ("draw", "assess", "trial", "measure"):
            told += [report.data] if report.phase == "measure" else []
            state.save(run.state_dict(), tmp_path / "state")
            run = begun()
            run.load_state_dict(state.load(tmp_path / "state"))
    assert steps == undisturbed
    assert run.architecture == calm.architecture
    assert [phase for phase, step, _ in steps if (phase, step) in (("draw", 1), ("assess", 1))][:3] == [
        "draw", "assess", "assess",
    ]  # fmt: skip
    assert [data["held"] for data in told[:1]] == [False]
    assert told[-1]["held"] is True
    assert 2.0 * budget.total(run.architecture.indices) <= budget.maximum


def test_a_device_that_never_holds_the_budget_ends_the_job(digits: ImageData) -> None:
    space, budget = tiny_space(), weight_budget(tiny_space(), 0.9)
    run = SearchRun(
        tiny_spec(), space=space, data=digits, budgets=[budget], measure=lambda _: {"pi4": (1 + 1e-9) * budget.maximum}
    )
    with pytest.raises(OverBudget, match="8 finalists exceed on the device"):
        list(run)


@pytest.mark.parametrize(
    ("measured", "told"),
    [
        ({"pi4": math.nan}, "pi4: nan was measured, which is no positive number"),
        ({"pi4": 0.0}, "pi4: 0.0 was measured"),
        ({"pi 4": 1.0}, "measured was pi 4, the budgets are pi4"),
        ({}, "measured was nothing, the budgets are pi4"),
    ],
)
def test_a_measurement_that_says_nothing_of_the_budgets_does_not_count_as_held(
    digits: ImageData, measured: dict[str, float], told: str
) -> None:
    space = tiny_space()
    run = SearchRun(
        tiny_spec(), space=space, data=digits, budgets=[weight_budget(space, 0.6)], measure=lambda _: measured
    )
    with pytest.raises(MeasurementError, match=told):
        list(run)


def test_a_state_taken_behind_the_export_gives_the_same_network_again(digits: ImageData, tmp_path: Path) -> None:
    spec = tiny_spec().model_copy(update={"choices": Choices(precision=("w8a8",))})
    run, again = start(digits, spec=spec), start(digits, spec=spec)
    folders = [tmp_path / name for name in ("first", "second", "third")]
    for folder in folders:
        folder.mkdir()
    for _ in run:
        pass
    run.export(folders[0])
    run.export(folders[1])
    again.load_state_dict(run.state_dict())
    again.export(folders[2])
    for name in ("weights.safetensors", "model.onnx"):
        assert len({(folder / name).read_bytes() for folder in folders}) == 1


def test_another_seed_gives_other_weights(calm: Result, digits: ImageData, tmp_path: Path) -> None:
    other = carried_out(start(digits, spec=tiny_spec(seed=1)), tmp_path / "out")
    assert contents(other)[1] != contents(calm)[1]


def test_another_budget_gives_another_architecture_within_it(calm: Result, digits: ImageData, tmp_path: Path) -> None:
    tight = carried_out(start(digits, share=0.35), tmp_path / "out")
    assert tight.architecture != calm.architecture
    assert tight.predicted["pi4"] <= weight_budget(tiny_space(), 0.35).maximum
    assert calm.predicted["pi4"] <= weight_budget(tiny_space(), 0.6).maximum


def test_the_architecture_comes_from_the_trained_theta(digits: ImageData) -> None:
    """With the budget out of play, what theta likes best in each layer is what is derived."""
    run = start(digits, share=1.0)
    for _ in run.searcher:
        pass
    with torch.no_grad():
        run.searcher.supernet.theta.logits["block"].copy_(torch.eye(3, 9)[[2, 0, 1]] * 9)
    assert run.searcher.finalists(1) == [(2, 0, 1)]


def test_a_run_names_its_finalists_by_theta_and_by_the_scores_of_its_draws(digits: ImageData) -> None:
    run = start(digits, spec=tiny_spec().model_copy(update={"finalists": 8}))
    next(report for report in run if report.phase == "derive")
    assessor = run.choosing.assessor
    assert assessor is not None
    assert assessor.finalists is not None
    scored = assessor.contributions()
    assert list(assessor.finalists) == run.searcher.finalists(8, scored=scored)
    assert run.searcher.finalists(8, scored=scored) != run.searcher.finalists(8)
    assert run.searcher.finalists(8, scored=scored)[:4] == run.searcher.finalists(4)


def test_finalists_that_spend_a_binding_budget_come_first(digits: ImageData) -> None:
    run = start(digits, share=0.5)
    with torch.no_grad():
        run.searcher.supernet.theta.logits["block"].copy_(torch.arange(27.0).view(3, 9) % 8 / 9)
    (budget,), finalists = run.budgets, run.searcher.finalists(16)
    spends = [budget.total(indices) >= 0.97 * budget.maximum for indices in finalists]
    assert spends == sorted(spends, reverse=True)
    assert spends[0]
    assert max(map(budget.total, finalists)) <= budget.maximum
    assert len(set(finalists)) == 16


def test_theta_moves_away_from_what_exceeds_the_budget(digits: ImageData) -> None:
    spec = tiny_spec(epochs=4)
    run = start(digits, share=0.3, spec=spec)
    expected = [report.data["expected"]["pi4"] for report in run.searcher]
    assert expected[-1] < 0.9 * expected[0]
    theta, cost = run.searcher.supernet.theta, run.searcher.expected_cost
    assert 0.9 < expected_shares(theta, cost).item() <= 1.0005  # drawn one by one, too: blocks alone are chosen


def test_what_is_expected_follows_options_that_close(digits: ImageData) -> None:
    searcher = start(digits, share=0.3, spec=tiny_spec(epochs=4)).searcher
    for _ in searcher:
        pass
    theta, cost = searcher.supernet.theta, searcher.expected_cost
    with torch.no_grad():
        theta.logits["block"][:, 0] -= 20.0
    searcher._begin_epoch(searcher.plan[-1])
    assert not theta.opened("block")[:, 0].any()
    share = searcher.expected()["pi4"] / searcher.budgets[0].maximum
    assert share == pytest.approx(expected_shares(theta, cost).item(), rel=1e-4)


def test_a_run_that_goes_on_behind_its_search_expects_what_the_search_did(digits: ImageData) -> None:
    run, again = start(digits), start(digits)
    for report in run:
        if report.phase == "finish":
            break
    again.load_state_dict(run.state_dict())
    kept, loaded = (one.searcher.objective.state_dict()["expected"] for one in (run, again))
    assert torch.equal(kept, loaded)


def test_several_budgets_hold_at_once(digits: ImageData) -> None:
    space = tiny_space()
    first = weight_budget(space, 0.6)
    reverse = Budget("other", [[9.0 - cost / 3 for cost in row] for row in first.costs_LK], 0.0, 24.0)
    run = SearchRun(tiny_spec(), space=space, data=digits, budgets=[first, reverse])
    for _ in run.searcher:
        pass
    (indices,) = run.searcher.finalists(1)
    assert first.total(indices) <= first.maximum
    assert reverse.total(indices) <= reverse.maximum


def test_budgets_that_nothing_holds_and_a_space_without_choice_are_refused_before_anything_is_trained(
    digits: ImageData,
) -> None:
    space, alone = tiny_space(), tiny_space(candidates=("k3_e1",))
    tight = replace(weight_budget(space, 0.6), maximum=5.0)
    with pytest.raises(Unreachable, match="pi4: 5 asked"):
        SearchRun(tiny_spec(), space=space, data=digits, budgets=[tight])
    with pytest.raises(MisfitError, match="tiny leaves nothing to choose: each layer has one choice"):
        SearchRun(tiny_spec(), space=alone, data=digits, budgets=[weight_budget(alone, 1.0)])


@pytest.mark.parametrize("epochs", [2, 5])
@pytest.mark.parametrize("schedule", ["exponential", "linear", "cosine"])
def test_the_temperature_falls_from_start_to_end_in_one_epoch_as_in_many(
    digits: ImageData, epochs: int, schedule: str
) -> None:
    spec = tiny_spec(epochs=epochs, temperature={"start": 4.0, "end": 0.25, "schedule": schedule})
    searcher = start(digits, spec=spec).searcher
    found = [searcher.temperature(step) for step in searcher.plan]
    assert found[0] == 4.0
    assert found[-1] == pytest.approx(0.25)
    assert found == sorted(found, reverse=True)
    middle = spec.search.temperature.at(0.5)
    assert middle == pytest.approx({"exponential": 1.0, "linear": 2.125, "cosine": 2.125}[schedule])


def test_a_space_that_does_not_fit_the_data_is_refused(digits: ImageData) -> None:
    space = tiny_space(input={"channels": 3, "height": 8, "width": 8})
    with pytest.raises(MisfitError, match="takes 3x8x8 pictures of 10 classes, digits has 1x8x8"):
        SearchRun(tiny_spec(), space=space, data=digits, budgets=[weight_budget(space, 0.6)])


def test_training_from_scratch_uses_none_of_the_supernets_weights(digits: ImageData, tmp_path: Path) -> None:
    """Nobody is tried: trials start as the training does, and might choose another network."""
    results = []
    for weights in ("inherited", "scratch"):
        changed = {"finish": {"epochs": 1, "batch_size": 32, "weights": weights}, "trials": {"finalists": 0}}
        spec = SearchSpec.model_validate(tiny_spec().model_dump() | changed)
        results.append(carried_out(start(digits, spec=spec), tmp_path / weights))
    inherited, scratch = results
    assert scratch.architecture == inherited.architecture
    assert contents(scratch)[1] != contents(inherited)[1]
    assert scratch.before is None
