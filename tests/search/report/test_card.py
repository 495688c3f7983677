"""The report card as a document: what it holds follows from the network, and adds up."""

import json
import math
from dataclasses import replace
from datetime import UTC, datetime
from statistics import fmean, stdev

import pytest

from api.architectures.layers import layer_rows
from latency.estimate import predict_us
from latency.operator import BASE
from latency.table import Entry, LatencyTable
from search.architecture import Architecture, LayerChoice
from search.costs import macs, parameters, stored_bytes
from search.report.card import ReportCard
from search.report.compared import SEARCHED
from search.report.comparison import comparison
from search.report.filling import Origin, Outcome, UsedTable, report_card
from tests.search.builders import mixed_space
from tests.search.report.cards import (
    ENVIRONMENT,
    FILES,
    card_of,
    compared_runs,
    folded_of,
    full_card,
    random_architecture,
    spec_of,
    table_of,
)


def test_a_card_comes_back_from_its_json_whole() -> None:
    for card in (card_of(), full_card()):
        assert ReportCard.model_validate_json(card.text()) == card


def test_the_json_is_flat_and_begins_with_its_schema_and_the_headline() -> None:
    document = json.loads(full_card().text())
    assert list(document)[:8] == [
        "schema", "name", "job", "attempts", "made_at", "test_accuracy", "test_top5", "accuracy_before",
    ]  # fmt: skip
    assert document["schema"] == "lutnas/report-card/1"
    assert list(document["layers"][0])[:6] == ["layer", "candidate", "c_mid", "precision", "pattern", "sparsity"]
    budget = document["budgets"][0]
    assert (budget["name"], budget["metric"], budget["device"], budget["max_us"]) == ("pi4", "latency", "pi4", 109.0)


def test_counts_and_latencies_of_the_parts_are_those_of_the_network() -> None:
    card, operators = card_of(), random_architecture(mixed_space()).operators()
    parts = [*card.fixed, *card.layers]
    assert sum(part.macs for part in parts) == card.macs == sum(map(macs, operators))
    assert sum(part.parameters for part in parts) == card.parameters == sum(map(parameters, operators))
    assert sum(part.nonzeros for part in parts) == card.nonzeros
    assert sum(part.effective_macs for part in parts) == card.effective_macs
    assert math.fsum(part.size_bytes for part in parts) == card.size_bytes == math.fsum(map(stored_bytes, operators))
    by_format = {row.format: row.bytes for row in card.storage}
    assert math.fsum(part.stored_bytes for part in parts) == by_format["auto"] <= by_format["dense"]
    assert by_format["float32"] == 4 * card.parameters
    (figure,) = card.budgets
    assert math.fsum(part.latency_us or 0 for part in parts) == pytest.approx(figure.predicted_us)  # type: ignore[union-attr]
    assert math.fsum(part.latency_share or 0 for part in parts) == pytest.approx(1.0)


def cost_rows(architecture: Architecture, table: LatencyTable) -> ReportCard:
    """A card of `architecture` by `table`."""
    outcome = Outcome(
        architecture=architecture, folded=folded_of(architecture), predicted={"pi4": 100.0}, test_accuracy=0.9
    )
    origin = Origin(
        job="job_1", attempts=1, made_at=datetime(2026, 11, 24, tzinfo=UTC), spec=spec_of(architecture.space),
        tables={0: UsedTable(table, "a")}, dataset_hash="d", environment=ENVIRONMENT,
    )  # fmt: skip
    return report_card(outcome, origin, FILES)


@pytest.mark.parametrize("ends", ["fp32", "w8a8"])
def test_layers_and_what_is_fixed_add_up_to_the_prediction_with_its_changes_of_format(ends: str) -> None:
    space = mixed_space(ends)
    table = table_of(space)
    for seed in range(20):
        architecture = random_architecture(space, seed)
        card = cost_rows(architecture, table)
        total_us = math.fsum(row.latency_us or 0.0 for row in (*card.layers, *card.fixed))
        assert total_us == pytest.approx(predict_us(table, architecture.operators()), rel=1e-12)


def test_a_change_of_format_is_part_of_the_layer_that_it_stands_in_front_of() -> None:
    """Two float layers, an identity between two integer ones, a float head."""
    space = mixed_space()
    info = table_of(space).info
    table = LatencyTable(info, {o: Entry(100.0 if o.kind == "boundary" else 1.0) for o in space.operators()})
    names = (("k3_e1", "fp32"), ("k5_e3", "fp32"), ("k3_e1", "w8a8"), ("skip", "fp32"), ("k3_e1", "w8a8"))
    layers = tuple(LayerChoice(candidate=candidate, precision=precision) for candidate, precision in names)
    architecture = Architecture(space=space, layers=layers)
    card = cost_rows(architecture, table)
    latencies_us = [1.0, 1.0, 101.0, 0.0, 1.0]
    assert [row.latency_us for row in card.layers] == latencies_us
    assert [row["latency_us"] for row in layer_rows(architecture, table)] == latencies_us  # as the API has them
    assert [row.latency_us for row in card.fixed] == [1.0, 1.0, 101.0]


def test_without_a_device_nothing_has_a_latency() -> None:
    card = card_of(
        spec={"constraints": [{"metric": "size", "max_bytes": 9000.0}]}, predicted={"size": 8000.0}, with_table=False
    )
    assert {part.latency_us for part in (*card.fixed, *card.layers)} == {None}
    assert {part.provenance for part in (*card.fixed, *card.layers)} == {None}
    assert (card.tables, card.pins.tables) == ((), ())


def test_the_least_trusted_row_names_the_provenance_of_a_part_and_of_the_table() -> None:
    space = mixed_space()
    architecture, table = random_architecture(space), table_of(space)
    _, _, third, *_ = architecture.operators()
    rows = {o: replace(entry, provenance="published") if o == third else entry for o, entry in table.entries.items()}
    rows[BASE] = replace(rows[BASE], provenance="simulated")
    card = cost_rows(architecture, LatencyTable(table.info, rows))
    found = {part.operator: part.provenance for part in (*card.fixed, *card.layers)}
    others = set(found) - {third.key, "base"}
    assert (found[third.key], found["base"], card.tables[0].provenance) == ("published", "simulated", "simulated")
    assert {found[key] for key in others} <= {"measured", None}  # an identity has no row


def test_runs_are_compared_by_method_and_share_over_their_seeds() -> None:
    space = mixed_space()
    layers = random_architecture(space).layers
    runs = compared_runs(layers)
    rows = comparison(space, list(reversed(runs)), ["pi4"])
    assert [(row.method, row.share) for row in rows] == [
        (method, share) for method in (SEARCHED, "random", "uniform int8") for share in (0.5, 0.75, 1.0)
    ]
    for row in rows:
        own = [run for run in runs if (run.method, run.share) == (row.method, row.share)]
        assert list(row.runs) == own
        assert (row.accuracy.mean, row.accuracy.deviation) == (
            fmean(run.after for run in own), stdev([run.after for run in own]),
        )  # fmt: skip
        assert row.top5 is not None
        assert row.predicted == {"pi4": own[0].predicted["pi4"]}


def test_counts_of_a_compared_network_follow_from_its_layers() -> None:
    space, one, other = mixed_space(), random_architecture(mixed_space()), random_architecture(mixed_space(), 1)
    run, *_ = compared_runs(one.layers)
    runs = [run, run.model_copy(update={"seed": 1, "layers": other.layers, "top5_after": None})]
    (row,) = comparison(space, runs, ["pi4"])
    assert row.macs == fmean(sum(map(macs, architecture.operators())) for architecture in (one, other))
    assert row.parameters == fmean(sum(map(parameters, a.operators())) for a in (one, other))
    assert row.size_bytes == fmean(sum(map(stored_bytes, a.operators())) for a in (one, other))
    assert row.top5 is None  # one of the two has none
    (alone,) = comparison(space, [run], ["pi4"])
    assert alone.accuracy.deviation is None


def test_a_baseline_may_choose_what_the_job_does_not_offer() -> None:
    space = mixed_space()
    run, *_ = compared_runs(
        [layer.model_copy(update={"precision": "w2a8"}) for layer in random_architecture(space).layers]
    )
    (row,) = comparison(space, [run], ["pi4"])
    assert row.size_bytes < row.parameters * 4


def test_a_run_that_does_not_fit_the_job_is_refused() -> None:
    space = mixed_space()
    run, *_ = compared_runs(random_architecture(space).layers)
    with pytest.raises(ValueError, match=r"search, seed 0: predicted has no 'size'"):
        comparison(space, [run], ["pi4", "size"])
    with pytest.raises(ValueError, match="4 choices for the 5 layers"):
        comparison(space, [run.model_copy(update={"layers": run.layers[1:]})], ["pi4"])
