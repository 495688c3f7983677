from collections import Counter

import pytest

from latency.graph import chain, random_weights
from latency.operator import BASE, Operator
from latency.profiler.errors import ProfilerError
from latency.profiler.plan import LONGEST, make_plan
from search.space import preset

OPERATORS = tuple(preset("fbnet-mini").operators())


def test_every_operator_stands_alone_once_and_in_several_chains() -> None:
    plan = make_plan(OPERATORS, seed=0)
    assert plan.operators == OPERATORS
    assert plan.graphs[: len(OPERATORS)] == tuple((o,) for o in OPERATORS)
    used = Counter(o for chain in plan.chains for o in chain)
    assert set(used) == set(OPERATORS) - {BASE}
    assert min(used.values()) >= 10


def test_chains_of_a_space_are_whole_networks() -> None:
    import numpy as np

    rng = np.random.default_rng(0)
    for operators in make_plan(OPERATORS, seed=0).chains:
        assert (operators[0].kind, operators[-1].kind) == ("stem", "head")
        chain(operators, [random_weights(o, rng) for o in operators], map(str, range(len(operators))), batch=1)


def test_the_same_seed_plans_the_same_and_another_does_not() -> None:
    assert make_plan(OPERATORS, seed=3) == make_plan(OPERATORS, seed=3)
    assert make_plan(OPERATORS, seed=3).fingerprint() != make_plan(OPERATORS, seed=4).fingerprint()


def test_operators_that_fit_nothing_are_still_timed() -> None:
    lonely = Operator("mbconv", 5, 5, 3, 9, 7, 1, 3, 1)
    assert set(make_plan((lonely,), seed=0).chains) == {(lonely,)}


def test_chains_end_where_shapes_come_round_again() -> None:
    there, back = Operator("mbconv", 5, 5, 4, 8, 8, 1, 3, 1), Operator("mbconv", 5, 5, 8, 8, 4, 1, 3, 1)
    assert max(map(len, make_plan((there, back), seed=0).chains)) <= 2 * LONGEST


@pytest.mark.parametrize(
    ("operators", "detail"),
    [
        ((), "there are no operators to time"),
        ((BASE, Operator("skip", 5, 5, 4, 0, 4, 1)), "there are no operators to time"),
        ((Operator("boundary", 5, 5, 4),), "no graph is known for kind 'boundary'"),
        ((Operator("stem", 5, 5, 4, 0, 4, 1, 3, weight_bits=8),), "w8a32: its rounding is simulated in float"),
        ((Operator("head", 5, 5, 4, 8, 4, activation_bits=8),), "profile fp32 operators only"),
        (
            (Operator("mbconv", 5, 5, 4, 8, 4, 1, 3, 1, sparsity=0.5, pattern="2:4"),),
            "only dense operators can be timed",
        ),
    ],
)
def test_what_cannot_be_timed_is_refused(operators: tuple[Operator, ...], detail: str) -> None:
    with pytest.raises(ProfilerError, match=detail):
        make_plan(operators, seed=0)
