"""Trials: the best finalists train for a while, and the one that does best is derived."""

from copy import deepcopy

import pytest
import torch
from torch.nn import functional as F

from search.architecture import Architecture
from search.batches import pixels
from search.datasets.data import ImageData
from search.finish import Trainer
from search.network import Network
from search.run import SearchRun
from search.spec import SearchSpec
from search.spec import Trials as TrialsSpec
from tests.search.builders import tiny_space, tiny_spec, weight_budget


def start(digits: ImageData, *, spec: SearchSpec | None = None) -> SearchRun:
    space = tiny_space()
    return SearchRun(spec or tiny_spec(), space=space, data=digits, budgets=[weight_budget(space, 0.6)])


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
    assert [one.architecture.indices for one in run.choosing.trials.finalists] == [indices for _, indices in best]
    (scores,) = run.choosing.trials.scores
    assert run.architecture.indices == run.choosing.trials.finalists[scores.index(max(scores))].architecture.indices
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
    assert run.architecture.indices == trials.entrants(1)[last.index(max(last))].architecture.indices
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
    network = run.searcher.supernet.inherit(trials.finalists[1].architecture.indices)
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


def test_trials_start_from_new_weights_where_the_result_will(digits: ImageData) -> None:
    document = tiny_spec().model_dump() | {
        "finish": {"epochs": 1, "batch_size": 32, "weights": "scratch"},
        "trials": {"finalists": 2, "epochs": 1},
    }
    run = start(digits, spec=SearchSpec.model_validate(document))
    next(report for report in run if report.phase == "derive")
    trials = run.choosing.trials
    assert trials is not None
    finalist = trials.finalists[0]
    new = Network.new(finalist.architecture, run.spec.seed)
    assert all(map(torch.equal, new.state_dict().values(), finalist.start().state_dict().values()))
    trainer = Trainer(new, data=trials.data, settings=run.spec.finish, seed=run.spec.seed)
    for _ in trainer:
        pass
    trainer.settle()
    with torch.inference_mode():
        logits_NK = new(pixels(trials.held_out.x_NCHW))
        assert trials.scores[0][0] == pytest.approx(-float(F.cross_entropy(logits_NK, trials.held_out.y_N)))
