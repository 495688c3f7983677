"""Evidence answers new budgets by itself, from a short document."""

import random
import statistics

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from search.assessing import Assessor, Propose
from search.batches import Batches
from search.budget import Indices, Matrix
from search.choices import Choices
from search.contributions import contributed, features, likeness, regression
from search.derive import solve_best
from search.evidence import Evidence
from search.randomness import seeded
from search.searcher import Searcher
from search.space import Space, preset
from search.supernet import Supernet
from tests.search.builders import mixed_space, pictures, tiny_digits, tiny_space, tiny_spec, weight_budget


def some_evidence(seed: int = 0) -> Evidence:
    rng, space = random.Random(seed), tiny_space()
    worth = tuple(tuple(rng.gauss(0, 1) for _ in layer.choices) for layer in space.layers)
    return Evidence(space=space, worth=worth, samples=200, rank_correlation=0.9)


def test_it_derives_the_best_under_budgets_it_never_saw() -> None:
    evidence = some_evidence()
    budgets = [weight_budget(evidence.space, 0.6), weight_budget(evidence.space, 0.8, "other")]
    found = evidence.derive(budgets, 5)
    assert [architecture.indices for architecture in found] == solve_best(evidence.worth, budgets, 5)
    ranked = evidence.rank(budgets, 5)
    assert [r.architecture for r in ranked] == found
    assert all(total <= budget.maximum for r in ranked for total, budget in zip(r.totals, budgets, strict=True))


def test_its_front_ends_with_the_best_architecture() -> None:
    evidence = some_evidence()
    budgets = [weight_budget(evidence.space, 0.9)]
    front = evidence.front(budgets, points=6)
    assert front[-1] == evidence.rank(budgets)[0]
    assert [r.totals for r in front] == sorted(r.totals for r in front)


def test_it_comes_back_from_json_as_it_was_and_is_short() -> None:
    evidence = some_evidence()
    assert Evidence.model_validate_json(evidence.model_dump_json()) == evidence
    space = preset("fbnet")
    rows = tuple(tuple(1 / (3 + n) for n, _ in enumerate(layer.choices)) for layer in space.layers)
    assert len(Evidence(space=space, worth=rows, samples=1).model_dump_json()) < 4000


@pytest.mark.parametrize("worth", [((0.0,),), ((float("nan"),) * 9,) * 3])
def test_worth_that_does_not_fit_its_space_is_refused(worth: tuple[tuple[float, ...], ...]) -> None:
    with pytest.raises(ValidationError, match="worth"):
        Evidence(space=tiny_space(), worth=worth, samples=1)


def naming(finalists: list[Indices], told: list[Matrix | None]) -> Propose:
    """Names these, and keeps what it was told of contributions."""

    def propose(contributions: Matrix | None) -> list[Indices]:
        told.append(contributions)
        return finalists

    return propose


def assessing(propose: Propose, samples: int = 3, space: Space | None = None) -> Assessor:
    space = space or tiny_space()
    x, y = torch.from_numpy((pictures(1200, space) * 255).astype("uint8")), torch.arange(1200) % 10
    held_out = Batches(x, y, 32, 0, "held out")
    with seeded(0, "supernet"):
        supernet = Supernet(space)
    return Assessor(supernet, held_out=held_out, samples=samples, propose=propose, most=4, seed=0)


def test_finalists_are_scored_on_all_held_out_pictures_and_draws_on_the_first_part() -> None:
    finalists = [(0, 1, 2), (1, 1, 1)]
    assessor = assessing(lambda _: finalists)
    assert [len(y_N) for _, y_N in assessor.parts] == [400, 400, 400]
    assert assessor.steps_left == {"draw": 3, "assess": 4}  # how many will be named is not known before
    steps = [(report.phase, report.step, report.steps) for report in assessor]
    assert steps == [("draw", 1, 3), ("draw", 2, 3), ("draw", 3, 3), ("assess", 1, 2), ("assess", 2, 2)]
    assert assessor.steps_left == {"draw": 0, "assess": 0}
    by_part = [assessor.part_scores(indices) for indices in finalists]
    assert assessor.finalist_scores == [statistics.fmean(scores) for scores in by_part]
    assert assessor.by_part == by_part
    assert assessor.drawn_scores == [assessor.part_scores(assessor.drawn(number), 1)[0] for number in range(3)]
    assessor.by_part = [[-1.0, -3.0, -2.0], [-2.0, -1.0, -0.5]]  # where parts disagree, their mean decides
    assert assessor.best() == finalists[1]


def test_finalists_are_named_by_what_choices_contribute_to_scores_of_single_paths() -> None:
    assessor, told = assessing(lambda _: (), samples=60), list[Matrix | None]()
    with torch.no_grad():
        assessor.supernet.theta.logits["block"][0] = 9 * torch.eye(9)[4]  # as theta likes it, half of the draws have it
    draws = [assessor.drawn(number) for number in range(60)]
    assessor.drawn_scores = [-1.0 - (indices[0] == 4) for indices in draws]  # and whoever has it scores less
    assessor.reopen(naming([(0, 0, 0)], told))
    list(assessor)
    (contributions,) = told
    assert contributions is not None
    assert contributions[0].index(min(contributions[0])) == 4
    assert assessor.finalists == ((0, 0, 0),)


def test_what_an_axis_that_does_not_apply_contributes_is_in_the_blocks_own() -> None:
    """An identity has no bits, a projecting skip no zeros: where those differ in worth, they have none of that."""
    axes = Supernet(mixed_space()).axes
    rng = np.random.default_rng(0)
    weights_F = rng.normal(size=len(axes.space.layers) * sum(axes.sizes))
    worth = contributed(axes, weights_F)
    for layer, row in zip(axes.space.layers, worth, strict=True):
        assert len(row) == len(layer.choices)
    for _ in range(20):
        indices = [int(rng.integers(len(layer.choices))) for layer in axes.space.layers]
        expected = float(features(axes, indices) @ weights_F)
        assert sum(row[index] for row, index in zip(worth, indices, strict=True)) == pytest.approx(expected)
    by_layer = weights_F.reshape(len(axes.space.layers), -1)
    for layer, row, weights in zip(axes.space.layers, worth, by_layer, strict=True):
        skips = [number for number, choice in enumerate(layer.choices) if choice.candidate.name == "skip"]
        block = layer.blocks.index(layer.choices[skips[0]].block)
        if layer.keeps_shape:
            assert [row[number] for number in skips] == [
                pytest.approx(weights[block] + weights[-1])
            ]  # and its one level
        else:
            assert len({row[number] for number in skips}) == len(axes.precisions)
    assert {layer.keeps_shape for layer in axes.space.layers} == {True, False}


def test_even_draws_take_the_same_blocks_whatever_precisions_there_are() -> None:
    plain, mixed = (assessing(lambda _: (), space=space) for space in (tiny_space(), three_precisions()))
    drawn = [
        [[layer.choices[index].block for layer, index in zip(one.supernet.space.layers, one.drawn(n), strict=True)]
        for n in range(0, 40, 2)]
        for one in (plain, mixed)
    ]  # fmt: skip
    assert drawn[0] == drawn[1]
    precisions = {
        mixed.supernet.space.layers[0].choices[mixed.drawn(number)[0]].precision for number in range(0, 40, 2)
    }
    assert len(precisions) == 3


def three_precisions() -> Space:
    return tiny_space().offering(Choices(precision=("fp32", "w8a8", "w4a8")))


def test_reopening_keeps_the_draws_and_names_finalists_anew() -> None:
    told = list[Matrix | None]()
    assessor = assessing(naming([(0, 1, 2), (1, 1, 1)], told), samples=16)
    list(assessor)
    draws, kept = list(assessor.drawn_scores), assessor.contributions()
    assessor.reopen(naming([(2, 2, 2)], told))
    assert assessor.steps_left == {"draw": 0, "assess": 4}
    assert [(report.phase, report.step) for report in assessor] == [("assess", 1)]
    assert assessor.drawn_scores == draws
    assert list(assessor.ranked()) == [(2, 2, 2)]
    assert kept is not None
    assert told == [kept, kept]


@pytest.mark.parametrize("samples", [0, 14])
def test_few_scores_say_nothing_of_choices_so_evidence_is_what_theta_says(samples: int) -> None:
    told = list[Matrix | None]()
    assessor = assessing(naming([(0, 1, 2)], told), samples=samples)
    with torch.no_grad():
        assessor.supernet.theta.logits["block"][1, 3] = 2.0
    list(assessor)
    evidence = assessor.evidence()
    assert told == [None]
    assert (evidence.samples, evidence.rank_correlation) == (samples + 1, None)
    assert evidence.note == "log-probability by theta: too little was scored"
    for row, expected in zip(evidence.worth, assessor.supernet.theta.worth(), strict=True):
        assert row == pytest.approx(expected, abs=1e-6)


def test_what_theta_knows_of_costs_is_no_part_of_evidence() -> None:
    """As after the fbnet objective, whose gradient puts latency into the logits."""
    found = []
    for bias in (0.0, 5.0):
        assessor = assessing(lambda _: [(0, 1, 2)], samples=16)
        assessor.knows_costs = True
        draws = [assessor.drawn(number) for number in range(16)]
        assessor.drawn_scores = [float(sum(indices)) for indices in draws]
        assessor.finalists, assessor.by_part = ((0, 1, 2),), [[1.0]]
        assert assessor._draws[1] == draws
        with torch.no_grad():
            assessor.supernet.theta.logits["block"][:, 0] += bias
        found.append(assessor.evidence())
    assert found[0] == found[1]
    little = assessing(lambda _: [(0, 1, 2)], samples=0)
    little.knows_costs = True
    list(little)
    assert little.evidence().note.startswith("too little was scored to tell choices apart")


def test_the_regression_is_the_gaussian_process_of_its_docstring() -> None:
    """Its mean, which has a matrix as large as the number of scores: here they are more than options, and fewer."""
    axes, rng = Supernet(mixed_space()).axes, np.random.default_rng(0)
    alike = likeness(axes)
    for count in (20, 400):
        drawn = [[int(rng.integers(len(layer.choices))) for layer in axes.space.layers] for _ in range(count)]
        features_SF, scores_S = np.stack([features(axes, i) for i in drawn]), rng.normal(size=count)
        covariance_SS = features_SF @ alike @ features_SF.T
        alpha_S = np.linalg.solve(covariance_SS + np.eye(count), scores_S - scores_S.mean())
        assert features_SF @ regression(features_SF, scores_S, alike) == pytest.approx(covariance_SS @ alpha_S)


@pytest.mark.parametrize(
    ("search", "knows"),
    [
        ({}, False),
        ({"objective": "fbnet"}, True),
        ({"warm_start": "hard-concrete"}, True),
        ({"warm_start": "hawq"}, False),
    ],
)
def test_a_search_knows_costs_where_they_have_a_gradient_or_a_start_holds_them(
    search: dict[str, object], knows: bool
) -> None:
    space = tiny_space().offering(Choices(precision=("fp32", "w8a8"), width=(1, 0.5), width_multiple=4))
    budgets, settings = [weight_budget(space, 0.7)], tiny_spec().search.model_copy(update=search)
    assert Searcher(space, data=tiny_digits(), budgets=budgets, settings=settings, seed=0).knows_costs is knows


def test_blocks_of_like_width_and_kernel_are_expected_to_contribute_alike() -> None:
    """What one width was seen to contribute is expected of its neighbour in part, and of no other layer's blocks."""
    space = tiny_space(candidates=("k3_e1", "k3_e3", "k3_e6", "k5_e6", "skip"))
    axes = Supernet(space).axes
    alike = likeness(axes)
    assert (alike == alike.T).all()
    assert np.linalg.eigvalsh(alike).min() > 1e-9
    features_SF = np.stack([features(axes, (2, 0, 0)), features(axes, (4, 0, 0))])  # k3_e6 scores more than skip
    first, second, _ = contributed(axes, regression(features_SF, np.array([1.0, 0.0]), alike))
    e1, e3, e6, k5, skip = first
    assert e6 > e3 > e1 > 0 > skip
    assert 0 < k5 < e6
    assert second == pytest.approx([0.0] * len(second), abs=1e-9)
