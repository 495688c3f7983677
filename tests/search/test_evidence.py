"""Evidence answers new budgets by itself, from a short document."""

import random
import statistics

import pytest
import torch
from pydantic import ValidationError

from search.batches import Batches
from search.contributions import Assessor
from search.derive import solve_best
from search.evidence import Evidence
from search.space import preset
from search.supernet import Supernet
from tests.search.builders import pictures, tiny_space, weight_budget


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


def test_finalists_are_scored_on_all_held_out_pictures_and_evidence_on_its_first_part() -> None:
    space = tiny_space()
    x, y = torch.from_numpy((pictures(1200, space) * 255).astype("uint8")), torch.arange(1200) % 10
    finalists = [(0, 1, 2), (1, 1, 1)]
    held_out = Batches(x, y, 32, 0, "held out")
    assessor = Assessor(Supernet(space), held_out=held_out, finalists=finalists, samples=3, seed=0)
    assert [len(y_N) for _, y_N in assessor.parts] == [400, 400, 400]
    for _ in assessor:
        pass
    by_part = [assessor.part_scores(indices) for indices in finalists]
    assert assessor.finalist_scores == [statistics.fmean(scores) for scores in by_part]
    assert assessor.scores[:2] == [scores[0] for scores in by_part]
    assert len(assessor.scores) == 5
    assessor.finalist_scores = [-2.0, -1.0]  # where parts disagree, their mean decides
    assessor.scores[:2] = [-1.0, -2.0]
    assert assessor.best() == finalists[1]
