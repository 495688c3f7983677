"""A whole search: repeatable to the bit through any interruption, within its budget, and different for another one."""

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from search import state
from search.architecture import Architecture
from search.batches import pixels
from search.choices import Choices, Sparsity
from search.datasets.data import ImageData
from search.derive import Budget
from search.finish import Trainer
from search.measuring import OverBudget
from search.network import Network
from search.objective import even_within, expected_shares
from search.outcome import Result
from search.run import MisfitError, SearchRun
from search.spec import SearchSpec
from search.spec import Trials as TrialsSpec
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
    assert phases == {"search", "assess", "trial", "derive", "finish"}
    assert contents(carried_out(run, tmp_path / "interrupted")) == contents(undisturbed)


def test_the_best_of_the_finalists_tried_is_derived_and_new_budgets_are_answered(digits: ImageData) -> None:
    run = start(digits)
    for report in run:
        if report.phase == "derive":
            break
    assert run.choosing.assessor is not None
    assert run.choosing.evidence is not None
    scores = [run.choosing.assessor.score(indices) for indices in run.choosing.assessor.finalists]
    assert run.choosing.assessor.finalist_scores == scores
    best = sorted(zip(scores, run.choosing.assessor.finalists, strict=True), key=lambda one: -one[0])[:3]
    assert run.choosing.trials is not None
    assert [one.indices for one in run.choosing.trials.finalists] == [indices for _, indices in best]
    (scores,) = run.choosing.trials.scores
    assert run.architecture.indices == run.choosing.trials.finalists[scores.index(max(scores))].indices
    tight = weight_budget(tiny_space(), 0.4, "another")
    (found,) = run.choosing.evidence.derive([tight])
    assert tight.total(found.indices) <= tight.maximum


def test_the_better_half_of_the_trials_is_tried_anew_for_twice_as_long(digits: ImageData) -> None:
    spec = tiny_spec().model_copy(update={"trials": TrialsSpec(finalists=4, epochs=1, rounds=2)})
    run = start(digits, spec=spec)
    told = [report.data for report in run if report.phase == "trial"]
    trials = run.choosing.trials
    assert trials is not None
    batches = len(trials.data.y_train) // spec.finish.batch_size
    assert [(one["round"], one["finalist"]) for one in told][::batches] == [
        (1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 1), (2, 2), (2, 2),
    ]  # fmt: skip
    first, last = trials.scores
    better = sorted(range(4), key=lambda number: -first[number])[:2]
    assert trials.entrants(1) == [trials.finalists[number] for number in sorted(better)]
    assert run.architecture.indices == trials.entrants(1)[last.index(max(last))].indices
    assert spec.trial_epochs * batches == trials.steps == len(told)


def test_a_run_killed_in_any_round_of_trials_derives_the_same(digits: ImageData) -> None:
    spec = tiny_spec().model_copy(update={"trials": TrialsSpec(finalists=3, epochs=1, rounds=2)})

    def chosen(stops: bool) -> tuple[list[list[float]], Architecture | None]:
        run = start(digits, spec=spec)
        while (report := next(iter(run), None)) is not None and report.phase != "derive":
            if stops and report.phase == "trial":
                kept, run = run.state_dict(), start(digits, spec=spec)
                run.load_state_dict(kept)
        assert run.choosing.trials is not None
        return run.choosing.trials.scores, run.architecture

    assert chosen(stops=True) == chosen(stops=False)


def test_trials_train_from_the_supernets_weights_on_its_pictures_and_leave_it_alone(digits: ImageData) -> None:
    run = start(digits, spec=tiny_spec().model_copy(update={"trials": TrialsSpec(finalists=2, epochs=3)}))
    before = None
    for report in run:
        if report.phase == "assess" and report.step == report.steps:
            before = deepcopy(run.searcher.supernet.state_dict())
        if report.phase == "derive":
            break
    trials = run.choosing.trials
    assert before is not None
    assert trials is not None
    assert all(map(torch.equal, before.values(), run.searcher.supernet.state_dict().values()))
    assert len(trials.data.y_train) == len(run.searcher.weight_batches.y_N)
    assert trials.step == trials.steps == 2 * 3 * (len(trials.data.y_train) // run.spec.finish.batch_size)
    network = run.searcher.supernet.inherit(trials.finalists[1].indices)
    trainer = Trainer(network, data=trials.data, settings=run.spec.finish.of_trial(3), seed=run.spec.seed)
    for _ in trainer:
        pass
    trainer.settle()
    with torch.inference_mode():
        logits_NK = network(pixels(trials.held_out.x_NCHW))
        assert trials.scores[0][1] == pytest.approx(-float(F.cross_entropy(logits_NK, trials.held_out.y_N)))


@pytest.mark.parametrize(
    ("changed", "tried"),
    [
        ({}, 3),
        ({"finalists": 2}, 2),
        ({"finalists": 1}, 0),
        ({"trials": {"finalists": 1}}, 0),
        ({"trials": {"finalists": 0}}, 0),
        ({"finish": {"epochs": 0}}, 0),
    ],
)
def test_finalists_are_tried_where_that_tells_them_apart(changed: dict[str, object], tried: int) -> None:
    assert SearchSpec.model_validate(tiny_spec().model_dump() | changed).tried == tried
    assert SearchSpec.model_fields["trials"].default.finalists == 0  # only where somebody asks


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
    """This device takes twice what its table says; the job is interrupted behind each measurement."""
    space, budget = tiny_space(), weight_budget(tiny_space(), 0.6)

    def measure(network: Network) -> dict[str, float]:
        return {"pi4": 2.0 * budget.total(network.architecture.indices)}

    def begun() -> SearchRun:
        return SearchRun(tiny_spec(), space=space, data=digits, budgets=[budget], measure=measure)

    run, told = begun(), list[dict[str, object]]()
    for _ in range(1000):
        report = next(iter(run), None)
        if report is None:
            break
        if report.phase == "measure":
            told.append(report.data)
            state.save(run.state_dict(), tmp_path / "state")
            run = begun()
            run.load_state_dict(state.load(tmp_path / "state"))
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


def test_a_space_that_does_not_fit_the_data_is_refused(digits: ImageData) -> None:
    space = tiny_space(input={"channels": 3, "height": 8, "width": 8})
    with pytest.raises(MisfitError, match="takes 3x8x8 pictures of 10 classes, digits has 1x8x8"):
        SearchRun(tiny_spec(), space=space, data=digits, budgets=[weight_budget(space, 0.6)])


def test_training_from_scratch_uses_none_of_the_supernets_weights(
    calm: Result, digits: ImageData, tmp_path: Path
) -> None:
    document = tiny_spec().model_dump() | {"finish": {"epochs": 1, "batch_size": 32, "weights": "scratch"}}
    result = carried_out(start(digits, spec=SearchSpec.model_validate(document)), tmp_path / "out")
    assert result.architecture == calm.architecture
    assert contents(result)[1] != contents(calm)[1]
