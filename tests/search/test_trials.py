"""Trials: the best finalists train for a while, and the one that does best is derived."""

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from itertools import takewhile

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from search.architecture import Architecture
from search.batches import pixels, training_part
from search.choices import Choices
from search.datasets.data import ImageData
from search.finish import Trainer
from search.network import Network
from search.run import SearchRun
from search.spec import Finish, SearchSpec
from search.spec import Trials as TrialsSpec
from search.trials import Finalist, Trials, worths
from tests.search.builders import tiny_space, tiny_spec, weight_budget


def start(digits: ImageData, *, share: float = 0.6, spec: SearchSpec | None = None) -> SearchRun:
    space = tiny_space().offering(spec.choices if spec else None)
    return SearchRun(spec or tiny_spec(), space=space, data=digits, budgets=[weight_budget(space, share)])


def score_trained(network: Network, trials: Trials, *, epochs: int) -> float:
    """What a trial of so many epochs should find for a network."""
    trainer = Trainer(network, data=trials.data, settings=trials.settings.of_trial(epochs), seed=trials.seed)
    for _ in trainer:
        pass
    trainer.settle()
    with torch.inference_mode():
        logits_NK = network(pixels(trials.held_out.x_NCHW))
        return -float(F.cross_entropy(logits_NK, trials.held_out.y_N))


def test_the_best_of_the_finalists_tried_is_derived_and_new_budgets_are_answered(digits: ImageData) -> None:
    run = start(digits)
    for report in run:
        if report.phase == "derive":
            break
    assert run.choosing.assessor is not None
    assert run.choosing.evidence is not None
    assert run.choosing.assessor.finalists is not None
    scores = [run.choosing.assessor.score(indices) for indices in run.choosing.assessor.finalists]
    assert run.choosing.assessor.finalist_scores == scores
    best = sorted(zip(scores, run.choosing.assessor.finalists, strict=True), key=lambda one: -one[0])[:3]
    assert run.choosing.trials is not None
    assert [one.architecture.indices for one in run.choosing.trials.finalists] == [indices for _, indices in best]
    worth = run.choosing.trials.worths(0)
    assert run.architecture.indices == run.choosing.trials.finalists[worth.index(max(worth))].architecture.indices
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
    first, last = trials.worths(0), trials.worths(1)
    better = sorted(range(4), key=lambda number: -first[number])[:2]
    assert trials.entrants(1) == [trials.finalists[number] for number in sorted(better)]
    assert run.architecture.indices == trials.entrants(1)[last.index(max(last))].architecture.indices
    assert spec.trial_epochs * batches == trials.steps == len(told)


@pytest.mark.parametrize("finish", [{}, {"weights": "scratch", "quantizer": "lsq"}], ids=["inherited", "scratch, lsq"])
def test_a_run_killed_in_any_round_of_trials_derives_the_same(finish: dict[str, str], digits: ImageData) -> None:
    spec = tiny_spec().model_copy(
        update={
            "choices": Choices(precision=("w8a8", "w4a4")),
            "trials": TrialsSpec(finalists=3, epochs=1, rounds=2),
            "finish": tiny_spec().finish.model_copy(update=finish),
        }
    )

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
    assert np.array_equal(trials.data.x_train, run.searcher.weight_batches.x_NCHW.numpy())
    assert trials.held_out is run.searcher.theta_batches
    assert trials.step == trials.steps == 2 * 3 * (len(trials.data.y_train) // run.spec.finish.batch_size)
    network = run.searcher.supernet.inherit(trials.finalists[1].architecture.indices)
    assert trials.scores[0][1] == pytest.approx(score_trained(network, trials, epochs=3))


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
    assert trials.scores[0][0] == pytest.approx(score_trained(new, trials, epochs=1))


def test_finalists_of_several_spaces_are_tried_against_each_other(digits: ImageData) -> None:
    searcher = start(digits).searcher
    offered = [tiny_space().offering(Choices(precision=(name,))) for name in ("w8a8", "w2a2")]
    architectures = [Architecture.from_indices(space, (1, 1, 1)) for space in offered]
    trials = Trials(
        [Finalist(one, partial(Network.new, one, 0), -1.0, number) for number, one in enumerate(architectures)],
        plan=[(2, 2)],
        data=training_part(digits, searcher.weight_batches),
        held_out=searcher.theta_batches,
        settings=Finish(epochs=1, batch_size=32),
        seed=0,
    )
    for _ in trials:
        pass
    assert trials.scores[0][0] != trials.scores[0][1]
    best = trials.scores[0].index(max(trials.scores[0]))
    assert trials.best().architecture == architectures[best]  # what two supernets say does not compare


@pytest.mark.parametrize(("share", "tried"), [(0.2, 0), (0.25, 5)])
def test_a_budget_that_few_hold_tries_as_many_as_there_are(share: float, tried: int, digits: ImageData) -> None:
    run = start(
        digits, share=share, spec=tiny_spec().model_copy(update={"finalists": 8, "trials": TrialsSpec(finalists=8)})
    )
    next(report for report in run if report.phase == "assess")
    foreseen = run.steps_left["trial"]
    told = [report for report in takewhile(lambda report: report.phase != "derive", run) if report.phase == "trial"]
    assert len(told) == foreseen
    assert run.spec.tried == 8
    assert (0 if run.choosing.trials is None else len(run.choosing.trials.finalists)) == tried


def finalist(score: float, *precisions: str, scored_by: int = 0) -> Finalist:
    space = tiny_space().offering(Choices(precision=("fp32", "w8a8", "w4a4", "w2a2")))
    indices = [
        next(number for number, choice in enumerate(layer.choices) if choice.precision.name == name)
        for layer, name in zip(space.layers, precisions, strict=True)
    ]
    architecture = Architecture.from_indices(space, indices)
    return Finalist(architecture, partial(Network.new, architecture, 0), score, scored_by)


def order(found: list[float]) -> list[int]:
    return sorted(range(len(found)), key=lambda number: -found[number])


def test_scores_order_networks_of_8_bits_and_more_but_for_near_ties() -> None:
    mixed = [finalist(-1.0, "fp32", "w8a8", "fp32"), finalist(-1.02, *["w8a8"] * 3), finalist(-1.03, *["fp32"] * 3)]
    assert order(worths(mixed, [-1.5, -1.45, -1.4], length=0.25)) == [0, 1, 2]
    assert order(worths(mixed, [-1.5, -1.2, -1.6], length=0.25)) == [1, 0, 2]
    assert order(worths(mixed, [-1.5, -1.45, -1.4], length=1.0)) == [2, 1, 0]


def test_trials_tell_how_much_good_scores_say_of_few_bits_and_scores_which_of_them_is_best() -> None:
    eight = [finalist(score, *["w8a8"] * 3) for score in (-1.0, -1.05)]
    four = [finalist(score, *["w4a4"] * 3) for score in (-0.95, -0.99)]
    assert order(worths([*eight, *four], [-1.42, -1.4, -1.56, -1.55], length=0.25)) == [0, 1, 2, 3]
    assert order(worths([*eight, *four], [-1.42, -1.4, -1.3, -1.29], length=0.25)) == [2, 3, 0, 1]


def test_one_trial_of_8_bits_does_not_outweigh_scores_that_have_several_of_4_bits_far_ahead() -> None:
    """Two epochs are not fair to 4 bits: the first of those ended two points above (0006, seed 15)."""
    four = [finalist(score, *["w4a4"] * 3) for score in (-1.55, -1.555, -1.56)]
    eight = finalist(-1.644, *["w8a8"] * 3)
    assert order(worths([*four, eight], [-1.636, -1.645, -1.653, -1.597], length=0.25))[0] == 0


def test_what_some_layers_of_few_bits_lose_is_learnt_from_all() -> None:
    """By the networks that have 4 bits throughout, the one that has them in one layer is known to lose a third."""
    known = [finalist(-1.0, *["w8a8"] * 3), finalist(-1.0, *["w4a4"] * 3)]
    mixed = finalist(-1.0, "w4a4", "w8a8", "w8a8")
    found = worths([*known, mixed], [-1.4, -1.55, -1.45], length=0.25)
    assert found[0] > found[2] > found[1]
    assert found[0] - found[2] == pytest.approx((found[0] - found[1]) / 3, rel=0.01)


def test_a_trial_that_is_hopeless_says_nothing_of_others() -> None:
    """Losses near to guessing are all alike: what its score said too little is no merit of its bits."""
    others = [finalist(-1.5, "w2a2", "w4a4", "w4a4"), finalist(-1.51, *["w4a4"] * 3)]
    hopeless = finalist(-1.96, *["w2a2"] * 3)
    found = worths([*others, hopeless], [-1.66, -1.62, -1.97], length=0.25)
    assert found[:2] == worths(others, [-1.66, -1.62], length=0.25)
    assert found[2] == -float("inf")


def test_a_trial_decides_between_networks_that_different_supernets_scored() -> None:
    pair = [finalist(-1.0, *["w8a8"] * 3), finalist(-1.2, *["w8a8"] * 3, scored_by=1)]
    assert order(worths(pair, [-1.5, -1.4], length=0.25)) == [1, 0]


def test_no_network_is_worth_more_than_one_that_beats_it_in_score_and_trial() -> None:
    """Though 2 bits throughout did better in their trial than their score said."""
    eight, two = finalist(-1.0, *["w8a8"] * 3), finalist(-1.3, *["w2a2"] * 3)
    mixed = finalist(-1.05, "w2a2", "w8a8", "w8a8")
    found = worths([mixed, eight, two], [-1.25, -1.2, -1.25], length=0.25)
    assert found[1] == max(found)
    assert order(worths([eight, mixed, two], [-1.2, -1.25, -1.25], length=0.25))[0] == 0


def test_small_losses_put_none_out_by_luck() -> None:
    pair = [finalist(-0.10, *["w8a8"] * 3), finalist(-0.15, *["w8a8"] * 3)]
    assert order(worths(pair, [-0.113, -0.100], length=0.25)) == [0, 1]


def test_a_trial_whose_training_ends_in_no_number_costs_the_others_nothing(digits: ImageData) -> None:
    searcher, space = start(digits).searcher, tiny_space()
    architectures = [Architecture.from_indices(space, (number,) * 3) for number in range(3)]

    def tried(*starts: Callable[[Architecture], Network]) -> Trials:
        found = Trials(
            [Finalist(one, partial(begin, one), -1.0) for one, begin in zip(architectures, starts, strict=True)],
            plan=[(3, 2)], data=training_part(digits, searcher.weight_batches), held_out=searcher.theta_batches,
            settings=Finish(epochs=2, batch_size=32), seed=0,
        )  # fmt: skip
        told = list(found)
        assert (found.step, told[-1].step) == (found.steps, found.steps)
        return found

    calm, one_diverged = tried(new, new, new), tried(new, without_numbers, new)
    first, second, third = one_diverged.scores[0]
    assert [first, third] == [calm.scores[0][0], calm.scores[0][2]]
    assert np.isnan(second)
    assert one_diverged.best().architecture != architectures[1]


def new(architecture: Architecture) -> Network:
    return Network.new(architecture, 0)


def without_numbers(architecture: Architecture) -> Network:
    """Its loss is none from the first step on."""
    network = new(architecture)
    with torch.no_grad():
        next(network.head.parameters()).fill_(float("nan"))
    return network


def test_a_trial_that_ends_in_no_number_is_out_and_leaves_the_others_as_they_are() -> None:
    three = [finalist(-1.0, *["w8a8"] * 3), finalist(-1.1, *["w4a4"] * 3), finalist(-1.2, *["w2a2"] * 3)]
    found = worths(three, [-1.4, -1.5, float("nan")], length=0.25)
    assert found == [*worths(three[:2], [-1.4, -1.5], length=0.25), -float("inf")]
    with pytest.raises(FloatingPointError, match="no trial of a finalist ended"):
        worths(three[:1], [float("nan")], length=0.25)
