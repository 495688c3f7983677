"""The exact allocation: what was published comes out, and what is best by trying all."""

import itertools
import json
import os
import random
from pathlib import Path

import pytest

from search.budget import Boundaries, Budget
from search.compression.allocation import allocate, at_fraction, bops_budget, front, size_budget
from search.compression.layers import multiply_adds
from search.derive import Unreachable
from tests.search.builders import pictures, tiny_space
from tests.search.compression.builders import convolutional

BITS = (8, 4, 2)


def problem(seed: int, layers: int = 5) -> tuple[list[list[float]], list[Budget]]:
    """Omega that grows as bits fall, with a size and a latency."""
    draw = random.Random(seed)
    omega = [[scale / 4**b for b in BITS] for scale in (draw.uniform(1, 1000) for _ in range(layers))]
    size = at_fraction(size_budget([draw.randrange(100, 1000) for _ in range(layers)], BITS, 1.0), 0.4)
    rows = [[draw.uniform(1, 3) * b for b in BITS] for _ in range(layers)]
    return omega, [size, at_fraction(Budget("latency", rows, 2.0, 1.0), 0.5)]


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_best_of_all_that_hold_the_budgets_and_the_ties(seed: int) -> None:
    omega, budgets = problem(seed)
    tied = [(0, 3), (1, 2)]

    def holds(indices: tuple[int, ...]) -> bool:
        fits = all(budget.total(indices) <= budget.maximum for budget in budgets)
        return fits and all(indices[a] == indices[b] for a, b in tied)

    every = [indices for indices in itertools.product(range(3), repeat=5) if holds(indices)]
    best = min(every, key=lambda indices: sum(row[i] for row, i in zip(omega, indices, strict=True)))
    assert allocate(omega, budgets, tied=tied) == best


def test_the_front_gains_with_every_byte_and_keeps_ties() -> None:
    omega, (size, _) = problem(0)
    found = front(omega, [at_fraction(size, 1.0)], tied=[(0, 4)], points=8)
    assert found[0].indices == (2,) * 5
    assert found[-1].indices == (0,) * 5
    assert [s.total for s in found] == sorted(s.total for s in found)
    assert [s.worth for s in found] == sorted(s.worth for s in found)
    assert all(s.indices[0] == s.indices[4] and s.total == size.total(s.indices) for s in found)


def test_what_makes_no_sense_is_refused() -> None:
    omega, (size, _) = problem(0)
    with pytest.raises(ValueError, match="names a layer twice"):
        allocate(omega, [size], tied=[(0, 1), (1, 2)])
    with pytest.raises(ValueError, match="none of 5"):
        allocate(omega, [size], tied=[(0, 5)])
    with pytest.raises(Unreachable, match="size"):
        allocate(omega, [size_budget([100] * 5, BITS, 10)])
    formats = Boundaries([[0, 1, 1]] * 5, [[[0.0, 1.0], [1.0, 0.0]]] * 6)
    with pytest.raises(ValueError, match="changes of format"):
        allocate(omega, [Budget("latency", size.costs_LK, 0.0, 1e9, boundaries=formats)], tied=[(0, 1)])


def test_size_and_bit_operations_are_those_of_the_layers() -> None:
    import torch

    macs = multiply_adds(convolutional().eval(), torch.from_numpy(pictures(2, tiny_space())))
    assert macs == {"0": 4 * 4 * 8 * 9, "3": 4 * 4 * 12 * 2 * 9, "8": 120}
    assert bops_budget(macs.values(), [(8, 8), (4, 4)], 1.0).costs_LK[2] == [120 * 64, 120 * 16]
    assert size_budget([120], (8, 4), 1.0).costs_LK == [[120.0, 60.0]]


@pytest.mark.skipif("LUTNAS_REAL_TABLES" not in os.environ, reason="LUTNAS_REAL_TABLES names no folder of real tables")
def test_all_nine_published_allocations_of_hawq_v3_come_out() -> None:
    published = json.loads((Path(os.environ["LUTNAS_REAL_TABLES"]) / "hawq_v3_resnet18.json").read_text())
    columns = {"modelsize": "size_{}bit", "bops": "bops_{}bit", "latency": "latency_{}bit_ms"}
    perturbations = zip(published["perturbation_8bit"], published["perturbation_4bit"], strict=True)
    omega = [[t * p for p in pair] for t, pair in zip(published["hessian_trace"], perturbations, strict=True)]
    assert len(published["published"]) == 9
    for case in published["published"]:
        rows = zip(*(published[columns[case["metric"]].format(bits)] for bits in (8, 4)), strict=True)
        budget = at_fraction(Budget(case["metric"], list(rows), 0.0, 1.0), case["fraction"])
        found = allocate(omega, [budget], tied=published["tied"])
        assert [(8, 4)[index] for index in found] == case["bits"], case
