"""The benchmark of budgets at its smallest: real searches of a tiny space, and what is made of their figures."""

import pytest

from benchmarks._searches import latency_budgets
from benchmarks._tables import simulated
from benchmarks.target_hit import Run, search_all, search_once, summary
from search.costs import macs
from search.derive import reach
from search.machine import use_threads
from search.spec import Search
from tests.search.builders import tiny_digits, tiny_space

TINY = Search(epochs=2, warmup_epochs=1, batch_size=16, theta_share=0.4, evidence_samples=0)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    use_threads(1)


def run(**latencies_us: float) -> Run:
    """A run under 100 us."""
    figures = dict.fromkeys(("expected_us", "favourite_us", "derived_us", "cheapest_us", "dearest_us"), 100.0)
    return Run(device="d", space="s", seed=0, budget_us=100.0, **{**figures, **latencies_us})


def test_budgets_lie_between_the_least_and_the_greatest_prediction() -> None:
    space = tiny_space()
    budgets = latency_budgets(simulated("d", lambda o: macs(o) / 1e3, space), space, (0.0, 0.5, 1.0))
    least, greatest = reach(budgets[0])
    assert [b.maximum for b in budgets] == [least, (least + greatest) / 2, greatest]


def test_a_search_ends_within_its_budget_and_expects_no_more() -> None:
    space, data = tiny_space(), tiny_digits()
    table = simulated("d", lambda o: macs(o) / 1e3, space)
    [budget] = latency_budgets(table, space, [0.25])
    found = search_once(space, "d", data=data, budget=budget, settings=TINY, seed=0)
    assert found.derived_us <= found.budget_us
    assert found.cheapest_us <= found.derived_us <= found.dearest_us <= found.budget_us
    assert found.expected_us <= found.budget_us * 1.001


def test_every_budget_and_seed_is_searched_once() -> None:
    space = tiny_space()
    table = simulated("d", lambda o: macs(o) / 1e3, space)
    runs = search_all(table, space, data=tiny_digits(), settings=TINY, seeds=[3])
    assert len({found.budget_us for found in runs}) == len(runs) == 5
    assert {found.seed for found in runs} == {3}


def test_gap_and_use_are_judged_where_the_budget_binds_and_overshoot_everywhere() -> None:
    loose = run(favourite_us=90.0, expected_us=50.0, derived_us=101.0)
    binding = [run(favourite_us=150.0, expected_us=98.0, derived_us=99.0), run(favourite_us=101.0, derived_us=97.0)]
    figures = summary([loose, *binding])
    assert figures["binding"] == 2
    assert figures["expected_gap"] == pytest.approx(0.02)
    assert figures["worst_overshoot"] == pytest.approx(0.01)
    assert figures["least_used"] == pytest.approx(0.97)


def test_without_a_binding_budget_nothing_is_claimed() -> None:
    figures = summary([run(favourite_us=80.0, expected_us=70.0)])
    assert (figures["expected_gap"], figures["least_used"], figures["worst_overshoot"]) == (None, None, 0.0)
