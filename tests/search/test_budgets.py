"""A budget's total is what its constraint means, for every metric; energies must be in the table."""

import dataclasses
import math
import random
from typing import Any

import pytest

from latency.estimate import predict_us
from latency.operator import Operator, with_boundaries
from latency.table import Entry, LatencyTable, MissingOperator, TableInfo
from search.architecture import Architecture
from search.budgets import MissingEnergy, budgets_of
from search.choices import Choices, Sparsity
from search.constraints import LatencyConstraint
from search.costs import activation_bytes, macs, stored_bytes
from search.derive import reach, solve
from search.space import Space
from search.spec import SearchSpec
from tests.search.builders import mixed_space, tiny_space

INFO = TableInfo(device="pi4", runtime="test", threads=1, batch=1)
DOCUMENT: list[dict[str, Any]] = [
    {"device": "pi4", "max_us": 1000.0},
    {"metric": "energy", "device": "pi4", "max_uj": 500.0},
    {"metric": "size", "max_bytes": 12_000},
    {"metric": "memory", "max_bytes": 6_000},
    {"metric": "macs", "max": 150_000},
]


def choosing_space() -> Space:
    choices = Choices(
        precision=("fp32", "w8a8"), width=(1.0, 0.5), sparsity=Sparsity(levels=(0.0, 0.8)), width_multiple=4
    )
    return tiny_space().offering(choices)


def table_of(space: Space) -> LatencyTable:
    entries = {o: Entry(10.0 + n, energy_uj=1.0 + n / 7) for n, o in enumerate(space.operators())}
    return LatencyTable(INFO, entries)


def constraints(document: list[dict[str, Any]] = DOCUMENT) -> SearchSpec:
    return SearchSpec.model_validate({"space": "tiny", "dataset": "digits", "constraints": document})


def test_the_totals_are_those_of_the_networks_operators() -> None:
    space = choosing_space()
    table = table_of(space)
    latency, energy, size, memory, count = budgets_of(space, constraints().constraints, {0: table, 1: table})
    for pick in (0, 7, -1):
        architecture = Architecture.from_indices(space, [range(len(layer.choices))[pick] for layer in space.layers])
        indices, operators = architecture.indices, architecture.operators()
        assert latency.total(indices) == pytest.approx(predict_us(table, operators))
        timed = [o for o in (Operator("base"), *with_boundaries(operators)) if o in table]
        assert energy.total(indices) == pytest.approx(sum(table.entries[o].energy_uj or 0.0 for o in timed))
        assert size.total(indices) == sum(map(stored_bytes, operators))
        assert memory.total(indices) == max(map(activation_bytes, with_boundaries(operators)))
        assert count.total(indices) == sum(map(macs, operators))
    assert [budget.name for budget in (latency, energy, size, memory, count)] == [
        "pi4", "pi4 energy", "size", "memory", "macs",
    ]  # fmt: skip


@pytest.mark.parametrize("ends", ["fp32", "w8a8"])
def test_changes_of_format_count_in_latency_energy_and_memory_and_in_nothing_else(ends: str) -> None:
    space = mixed_space(ends)
    table, rng = table_of(space), random.Random(0)
    latency, energy, size, memory, count = budgets_of(space, constraints().constraints, {0: table, 1: table})
    assert size.boundaries is count.boundaries is None
    changed = 0
    for _ in range(200):
        indices = [rng.randrange(len(layer.choices)) for layer in space.layers]
        operators = Architecture.from_indices(space, indices).operators()
        assert latency.total(indices) == pytest.approx(predict_us(table, operators), rel=1e-12)
        timed = [o for o in (Operator("base"), *with_boundaries(operators)) if not o.is_identity]
        changed += any(o.kind == "boundary" for o in timed)
        assert energy.total(indices) == pytest.approx(math.fsum(table.entries[o].energy_uj or 0.0 for o in timed))
        assert memory.total(indices) == max(map(activation_bytes, timed))
    assert changed > 100


def test_budgets_have_no_boundaries_where_changes_cannot_occur_or_are_free() -> None:
    both = constraints(DOCUMENT[:2]).constraints
    for space in (tiny_space(), tiny_space(choices=Choices(precision=("w8a8", "w4a8"), ends="w8a8"))):
        table = table_of(space)
        assert [budget.boundaries for budget in budgets_of(space, both, {0: table, 1: table})] == [None] * 2
    space = mixed_space()
    table = table_of(space)
    silent = LatencyTable(INFO, {o: entry for o, entry in table.entries.items() if o.kind != "boundary"})
    free = LatencyTable(
        INFO, {**silent.entries, **{o: Entry(0.0, energy_uj=0.0) for o in table.entries if o not in silent}}
    )
    for held in (silent, free):
        assert [budget.boundaries for budget in budgets_of(space, both, {0: held, 1: held})] == [None] * 2


def test_a_table_needs_the_changes_that_networks_of_the_space_can_need_and_no_others() -> None:
    """Layers that are all in integers between float ends change once before them and once after."""
    space = tiny_space(choices=Choices(precision=("w8a8",)), candidates=("k3_e1", "k5_e1"))
    table = table_of(space)
    assert [o.activation_bits for o in table.entries if o.kind == "boundary"] == [8, 32]
    both = constraints(DOCUMENT[:2]).constraints
    latency, _ = budgets_of(space, both, {0: table, 1: table})
    indices = [0] * len(space.layers)
    assert latency.total(indices) == predict_us(table, Architecture.from_indices(space, indices).operators())
    for change in [o for o in table.entries if o.kind == "boundary"]:
        lacking = LatencyTable(INFO, {o: entry for o, entry in table.entries.items() if o != change})
        with pytest.raises(MissingOperator, match=change.key):
            budgets_of(space, both[:1], {0: lacking})
        with pytest.raises(MissingEnergy, match=change.key):
            budgets_of(space, both[1:], {0: lacking})
        dark = LatencyTable(INFO, {**table.entries, change: Entry(1.0)})
        with pytest.raises(MissingEnergy, match=change.key):
            budgets_of(space, both[1:], {0: dark})


def test_the_derivation_holds_all_metrics_at_once() -> None:
    space = choosing_space()
    table = table_of(space)
    wanted = [reach(budget) for budget in budgets_of(space, constraints().constraints, {0: table, 1: table})]
    fields = ("max_us", "max_uj", "max_bytes", "max_bytes", "max")
    tight = [
        {**document, field: (2 * ends.least + ends.greatest) / 3}
        for document, field, ends in zip(DOCUMENT, fields, wanted, strict=True)
    ]
    budgets = budgets_of(space, constraints(tight).constraints, {0: table, 1: table})
    bigger = [[layer.operator(c).c_mid * c.precision.weight_bits for c in layer.choices] for layer in space.layers]
    indices = solve(bigger, budgets)
    for budget in budgets:
        assert budget.total(indices) <= budget.maximum


def test_the_format_of_a_size_changes_what_zeros_save() -> None:
    space = choosing_space()
    sparse = [max(range(len(la.choices)), key=lambda k: la.choices[k].level.sparsity) for la in space.layers]
    document = [{"metric": "size", "max_bytes": 1, "format": f} for f in ("dense", "bitmap", "csr", "auto")]
    dense, bitmap, csr, auto = (b.total(sparse) for b in budgets_of(space, constraints(document).constraints, {}))
    assert auto <= min(bitmap, csr) < max(bitmap, csr) < dense


def test_a_table_without_energy_is_refused_by_operator() -> None:
    space = tiny_space()
    table = table_of(space)
    lacking = list(space.operators())[-2:]
    changed = {o: dataclasses.replace(table.entries[o], energy_uj=None) for o in lacking}
    energy = constraints(DOCUMENT[1:2]).constraints
    with pytest.raises(MissingEnergy, match="no energy_uj for 2 operators") as caught:
        budgets_of(space, energy, {0: LatencyTable(INFO, {**table.entries, **changed})})
    assert list(caught.value.operators) == lacking


def test_a_table_without_an_operator_says_which() -> None:
    space = tiny_space()
    entries = dict(table_of(space).entries)
    gone = next(o for o in entries if o.kind == "mbconv")
    del entries[gone]
    with pytest.raises(MissingOperator, match=gone.key):
        budgets_of(space, constraints(DOCUMENT[:1]).constraints, {0: LatencyTable(INFO, entries)})


def test_a_latency_without_its_table_is_refused_by_the_budgets_name() -> None:
    constraint = LatencyConstraint(metric="latency", device="pi4", max_us=10.0)
    with pytest.raises(ValueError, match="'pi4' needs a table"):
        budgets_of(tiny_space(), [constraint], {})
