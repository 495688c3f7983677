"""A table over a space: every choice of every layer has a place of its own."""

import pytest
from fastapi.testclient import TestClient

from latency.formats import write_csv
from latency.table import Entry, TableInfo
from search.choices import Choices
from search.space import preset
from tests.api.making import CSV


@pytest.mark.parametrize("name", ["fbnet", "fbnet-mini"])
def test_no_two_choices_of_a_layer_share_a_column(client: TestClient, name: str) -> None:
    space = preset(name).offering(Choices(width=(1.0, 0.5, 0.25)))
    rows = [(operator, Entry(1.0 + operator.c_mid)) for operator in space.operators(identities=True)]
    info = TableInfo(device="cpu", runtime="test", threads=1, batch=1)
    client.post("/v1/devices", json={"name": "cpu"}).raise_for_status()
    made = client.post("/v1/devices/cpu/tables", content="".join(write_csv(info, rows)), headers=CSV).json()
    asked = {"space": name, "width": [1, 0.5, 0.25]}
    found = client.get(f"/v1/tables/{made['id']}/heatmap", params=asked).json()
    assert {"k3_e1", "k3_e1 x0.5", "k5_e3 x0.5", "skip"} <= set(found["columns"])
    half = found["columns"].index("k3_e3 x0.5")
    for layer, row in zip(space.layers, found["layers"], strict=True):
        shown = sorted(value for value in row["latency_us"] if value is not None)
        assert shown == sorted(1.0 + layer.operator(choice).c_mid for choice in layer.choices)
        assert row["latency_us"][half] == 1.0 + 8 * round(1.5 * layer.c_in / 8)
