"""The benchmark of re-targeting at its smallest: a real search, its evidence asked for devices it never knew."""

import itertools

import pytest

from benchmarks._answers import posted_seconds
from benchmarks._searches import latency_budgets, search_and_derive
from benchmarks._tables import simulated
from benchmarks._truth_table import Indices, Row, TruthTable
from benchmarks.retarget import Query, ask_all, moved_bytes, on_device, other_devices, summary
from latency.operator import Operator
from search.costs import macs
from search.datasets import ImageData
from search.evidence import Evidence
from search.machine import use_threads
from search.space import Head, Input, Space, Stage, Stem
from search.spec import Search
from tests.search.builders import tiny_digits

TINY = Search(epochs=2, warmup_epochs=1, batch_size=16, evidence_samples=8)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    use_threads(1)


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return tiny_digits()


@pytest.fixture(scope="module")
def truth() -> TruthTable:
    """Nine architectures, the more accurate the larger their choices: made up, to be looked up."""
    space = Space(
        name="small",
        input=Input(channels=1, height=8, width=8),
        classes=10,
        stem=Stem(channels=8),
        stages=(Stage(channels=8, layers=2, candidates=("skip", "k3_e1", "k5_e3")),),
        head=Head(channels=16),
    )
    rows = dict[Indices, Row]()
    for indices in itertools.product(range(3), repeat=2):
        names = tuple(layer.choices[i].candidate.name for layer, i in zip(space.layers, indices, strict=True))
        accuracy = 0.5 + sum(indices) / 10
        rows[indices] = Row(names, 1.0, (accuracy, accuracy), 1.0)
    return TruthTable(space, simulated("home", lambda o: macs(o) / 1e3, space), rows, {})


def test_each_device_is_asked_for_each_budget_and_no_answer_exceeds_its_own(
    truth: TruthTable, digits: ImageData
) -> None:
    [home] = latency_budgets(truth.latencies, truth.space, [0.5])
    evidence = search_and_derive(truth.space, home, data=digits, settings=TINY, seed=0).choosing.evidence
    assert evidence is not None
    devices = {
        name: t for name, t in other_devices(truth.latencies, truth.space).items() if name in ("memory", "grouped")
    }
    queries = ask_all(evidence, devices, truth, data=digits, settings=TINY, seed=0, shares=(0.3, 0.6))
    assert [query.device for query in queries] == ["memory", "memory", "grouped", "grouped"]
    figures = summary(queries)
    assert figures["worst_overshoot"] == 0.0
    assert figures["worst_seconds"] == pytest.approx(max(query.seconds for query in queries), abs=1e-4)
    assert all(query.searched_us <= query.budget_us for query in queries)


def test_regret_is_what_the_search_found_beyond_the_answer_in_points() -> None:
    def query(answered: float, searched: float) -> Query:
        return Query("d", 10.0, 0.1, ("skip",), 9.0, answered, ("skip",), 10.0, searched, 0.9)

    figures = summary([query(0.80, 0.81), query(0.82, 0.82)])
    assert figures["mean_regret"] == pytest.approx(0.5)
    assert figures["mean_regret_to_best"] == {"answered": pytest.approx(9.0), "searched": pytest.approx(8.5)}


def test_the_devices_rank_blocks_differently(truth: TruthTable) -> None:
    devices = other_devices(truth.latencies, truth.space)
    assert len(devices) == 4
    orders = set()
    for table in devices.values():
        assert table.missing(truth.space.operators()) == []
        moved = on_device(truth, table)
        orders.add(tuple(sorted(moved.rows, key=lambda indices: moved.rows[indices].predicted_latency_us)))
        assert all(moved.predicted_latency_us(i) == row.predicted_latency_us for i, row in moved.rows.items())
    assert len(orders) > 1


def test_a_block_moves_each_tensor_in_and_out_and_its_weights_once() -> None:
    # 1x1 to 6, depthwise 3x3, 1x1 to 2, sum, on 4 pixels: 8 in, 24 out and in, 24 out and in, 8 out, 8 to add.
    weights = (6 * 2 + 6 * 9 + 2 * 6) * 4 + (6 + 6 + 2) * 4
    assert moved_bytes(Operator("mbconv", 2, 2, 2, 6, 2, 1, 3, 1)) == 4 * (8 + 2 * 24 + 2 * 24 + 8 + 8) + weights
    assert moved_bytes(Operator("skip", 2, 2, 2, 0, 2, 1)) == 0.0


def test_answers_of_a_service_are_timed_by_its_client(truth: TruthTable) -> None:
    worth = tuple(tuple(float(n) for n, _ in enumerate(layer.choices)) for layer in truth.space.layers)
    evidence = Evidence(space=truth.space, worth=worth, samples=0)
    budgets = latency_budgets(truth.latencies, truth.space, [0.3, 0.6])
    seconds = posted_seconds(evidence, truth.latencies, [budget.maximum for budget in budgets])
    assert len(seconds) == 3  # two, and a front
    assert all(0 < one < 60 for one in seconds)
