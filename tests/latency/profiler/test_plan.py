from collections import Counter

import numpy as np
import pytest

from latency.graph import chain
from latency.operator import BASE, Operator
from latency.profiler.errors import ProfilerError
from latency.profiler.plan import LONGEST, make_plan, paid
from latency.weights import random_weights
from search.choices import Choices
from search.space import Head, Input, Space, Stage, Stem, preset

OPERATORS = tuple(preset("fbnet-mini").operators())


def test_every_operator_stands_alone_once_and_in_several_chains() -> None:
    plan = make_plan(OPERATORS, seed=0)
    assert plan.operators == OPERATORS
    assert plan.graphs[: len(OPERATORS)] == tuple((o,) for o in OPERATORS)
    used = Counter(o for chain in plan.chains for o in chain)
    assert set(used) == set(OPERATORS) - {BASE}
    assert min(used.values()) >= 10


def test_chains_of_a_space_are_whole_networks() -> None:
    rng = np.random.default_rng(0)
    for operators in make_plan(OPERATORS, seed=0).chains:
        assert (operators[0].kind, operators[-1].kind) == ("stem", "head")
        chain(operators, [random_weights(o, rng) for o in operators], map(str, range(len(operators))), batch=1)


def test_chains_of_two_formats_are_half_of_one_and_pay_for_every_change() -> None:
    operators = tuple(preset("fbnet-mini").offering(Choices(precision=("fp32", "w8a8"))).operators())
    plan = make_plan(operators, seed=0)
    assert set(plan.rows) == set(operators)
    changes = [sum(o.kind == "boundary" for o in paid(chain)) for chain in plan.chains]
    blocks = [[o for o in chain if o.kind == "mbconv"] for chain in plan.chains]
    alike = [len({o.is_integer for o in chain}) == 1 for chain in blocks]
    assert 0.4 < np.mean(alike) < 0.7
    assert min(Counter(o for chain in plan.chains for o in paid(chain)).values()) >= 10
    assert all(
        bool(count) == any(o.is_integer for o in chain) for count, chain in zip(changes, plan.chains, strict=True)
    )


def test_every_boundary_of_a_space_is_met_whatever_the_seed() -> None:
    """Random chains alone missed one in every fifth plan of this space."""
    space = Space(
        name="narrow", input=Input(channels=1, height=16, width=16), classes=3, stem=Stem(channels=8),
        stages=(Stage(channels=24, layers=1, candidates=("skip",)), Stage(channels=8, layers=1, candidates=("k3_e1",))),
        head=Head(channels=8), choices=Choices(precision=("fp32", "w8a8"), ends="w8a8"),
    )  # fmt: skip
    operators = tuple(space.operators())
    for seed in range(40):
        plan = make_plan(operators, seed=seed)
        met = Counter(o for chain in plan.chains for o in paid(chain) if o.kind == "boundary")
        assert all(met[operator] for operator in operators if operator.kind == "boundary")


def test_a_piece_of_an_integer_network_pays_for_floats_at_both_ends() -> None:
    block = Operator("mbconv", 4, 4, 3, 9, 6, 2, 3, 1, 8, 8)
    stem, head = Operator("stem", 4, 4, 1, 0, 3, 1, 3, 0, 8, 8), Operator("head", 2, 2, 6, 8, 4, 0, 0, 0, 8, 8)
    into, out = Operator("boundary", 4, 4, 3, activation_bits=8), Operator("boundary", 2, 2, 6)
    assert list(paid((block,))) == [into, block, out]
    assert list(paid((stem, block, head))) == [stem, block, head]


def test_a_sparse_operator_is_timed_with_its_zeros() -> None:
    sparse = Operator("mbconv", 5, 5, 4, 8, 4, 1, 3, 1, sparsity=0.5, pattern="2:4")
    weights = random_weights(make_plan((sparse,), seed=0).operators[1], np.random.default_rng(0))
    assert ((weights["project.weight"].reshape(4, 2, 4) != 0).sum(2) == 2).all()
    assert weights["depthwise.weight"].all()


def test_an_integer_operator_may_have_rows_without_survivors() -> None:
    sparse = Operator("mbconv", 5, 5, 8, 8, 8, 1, 3, 4, 8, 8, sparsity=0.75, pattern="unstructured")
    weights = random_weights(sparse, np.random.default_rng(0))
    assert all(np.isfinite(values).all() for values in weights.values())
    chain([sparse], [weights], ["sparse"], batch=1)


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
        ((Operator("boundary", 5, 5, 4),), "there are no operators to time"),
        ((Operator("mbconv", 5, 5, 4, 8, 4, 1, 4, 1),), "kernel: 4 of mbconv 5x5 4-8-4 s1 k4 is even"),
        ((Operator("skip", 5, 5, 4, 0, 8, 1, sparsity=0.5, pattern="2:4"),), "sparsity: skip 5x5 .* has no zeros"),
        ((Operator("boundary", 5, 5, 4), OPERATORS[1]), "5x5 4 to a32: no two of the operators to time need it"),
    ],
)
def test_what_cannot_be_timed_is_refused(operators: tuple[Operator, ...], detail: str) -> None:
    with pytest.raises(ProfilerError, match=detail):
        make_plan(operators, seed=0)
