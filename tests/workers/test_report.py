"""The rows of a report are the whole network: what they take adds up to its prediction."""

import math
import random

import pytest

from api.architectures.layers import layer_rows
from latency.estimate import predict_us
from latency.table import Entry, LatencyTable, TableInfo
from search.architecture import Architecture, LayerChoice
from tests.search.builders import mixed_space
from workers.report import fixed_rows

INFO = TableInfo(device="pi4", runtime="test", threads=1, batch=1)


@pytest.mark.parametrize("ends", ["fp32", "w8a8"])
def test_layers_and_what_is_fixed_add_up_to_the_prediction_with_its_changes_of_format(ends: str) -> None:
    space, rng = mixed_space(ends), random.Random(0)
    table = LatencyTable(INFO, {o: Entry(rng.uniform(1, 9)) for o in space.operators()})
    for _ in range(50):
        indices = [rng.randrange(len(layer.choices)) for layer in space.layers]
        architecture = Architecture.from_indices(space, indices)
        rows = [*layer_rows(architecture, table), *fixed_rows(architecture, table)]
        total_us = math.fsum(row["latency_us"] for row in rows)
        assert total_us == pytest.approx(predict_us(table, architecture.operators()), rel=1e-12)


def test_a_change_of_format_is_part_of_the_layer_that_it_stands_in_front_of() -> None:
    """Two float layers, an identity between two integer ones, a float head."""
    space = mixed_space()
    table = LatencyTable(INFO, {o: Entry(100.0 if o.kind == "boundary" else 1.0) for o in space.operators()})
    names = (("k3_e1", "fp32"), ("k5_e3", "fp32"), ("k3_e1", "w8a8"), ("skip", "fp32"), ("k3_e1", "w8a8"))
    layers = tuple(LayerChoice(candidate=candidate, precision=precision) for candidate, precision in names)
    architecture = Architecture(space=space, layers=layers)
    assert [row["latency_us"] for row in layer_rows(architecture, table)] == [1.0, 1.0, 101.0, 0.0, 1.0]
    assert [row["latency_us"] for row in fixed_rows(architecture, table)] == [1.0, 1.0, 101.0]
    assert {row["latency_us"] for row in [*layer_rows(architecture, None), *fixed_rows(architecture, None)]} == {None}
