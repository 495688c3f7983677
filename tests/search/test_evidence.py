"""Evidence answers new budgets by itself, from a short document."""

import random

import pytest
from pydantic import ValidationError

from search.derive import solve_best
from search.evidence import Evidence
from search.space import preset
from tests.search.builders import tiny_space, weight_budget


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
