"""Changes of format between floats and integers: a table has all rows of them that a space needs, or none at all."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from latency.formats import write_csv
from latency.operator import Operator
from latency.table import Entry, LatencyTable, TableInfo
from search.choices import Choices
from search.space import preset
from tests.api.making import CSV, a_job

SPACE = preset("fbnet-mini").offering(Choices(precision=("fp32", "w8a8"))).model_copy(update={"name": "mixed"})
NEEDED = list(SPACE.operators())
BOUNDARIES = [operator for operator in NEEDED if operator.kind == "boundary"]
ELSEWHERE = Operator("boundary", 99, 99, 3, activation_bits=8)


@pytest.fixture
def device(client: TestClient) -> str:
    client.post("/v1/devices", json={"name": "cpu"}).raise_for_status()
    client.post("/v1/spaces", json=SPACE.model_dump(mode="json")).raise_for_status()
    return "/v1/devices/cpu/tables"


def table_of(operators: list[Operator]) -> str:
    info = TableInfo(device="cpu", runtime="test", threads=1, batch=1)
    table = LatencyTable(info, {operator: Entry(2.0) for operator in operators})
    return "".join(write_csv(info, table.entries.items()))


def keys(missing: list[dict[str, Any]]) -> list[str]:
    return [Operator(**one).key for one in missing]


@pytest.mark.parametrize("boundaries", [[], BOUNDARIES], ids=["none", "all"])
def test_a_table_with_all_boundaries_or_none_covers_the_space(
    client: TestClient, device: str, boundaries: list[Operator]
) -> None:
    operators = [operator for operator in NEEDED if operator.kind != "boundary"]
    answer = client.post(f"{device}?space=mixed", content=table_of(operators + boundaries), headers=CSV)
    assert answer.status_code == 201, answer.text
    coverage = client.get(f"/v1/tables/{answer.json()['id']}/coverage?space=mixed").json()
    assert coverage == {"covered": True, "missing": []}


@pytest.mark.parametrize("known", [BOUNDARIES[1:], [ELSEWHERE]], ids=["one lacks", "those of another space"])
def test_a_table_with_some_boundaries_lacks_the_others(client: TestClient, device: str, known: list[Operator]) -> None:
    operators = [operator for operator in NEEDED if operator.kind != "boundary"] + known
    lacking = [operator.key for operator in BOUNDARIES if operator not in known]
    refused = client.post(f"{device}?space=mixed", content=table_of(operators), headers=CSV)
    assert refused.status_code == 422
    assert keys(refused.json()["missing"]) == lacking
    stored = client.post(device, content=table_of(operators), headers=CSV).json()
    coverage = client.get(f"/v1/tables/{stored['id']}/coverage?space=mixed").json()
    assert keys(coverage["missing"]) == lacking
    plain = client.get(f"/v1/tables/{stored['id']}/coverage?space=fbnet-mini").json()
    assert plain["covered"]


def test_coverage_and_heatmap_answer_for_levels_of_zeros_too(client: TestClient, device: str) -> None:
    stored = client.post(device, content=table_of(NEEDED), headers=CSV).json()["id"]
    sparse = "space=fbnet-mini&sparsity=dense&sparsity=2:4@0.5"
    coverage = client.get(f"/v1/tables/{stored}/coverage?{sparse}").json()
    assert {one["pattern"] for one in coverage["missing"]} == {"2:4"}
    columns = client.get(f"/v1/tables/{stored}/heatmap?{sparse}").json()["columns"]
    assert "k3_e6 2:4@0.5" in columns


def test_an_identity_that_has_a_row_costs_what_it_says_where_budgets_are_judged(
    client: TestClient, device: str
) -> None:
    identities = [o for o in preset("fbnet-mini").operators(identities=True) if o.is_identity]
    info = TableInfo(device="cpu", runtime="test", threads=1, batch=1)
    rows = [(o, Entry(2.0)) for o in NEEDED if o.kind != "boundary"] + [(o, Entry(30.0)) for o in identities]
    client.post(device, content="".join(write_csv(info, rows)), headers=CSV).raise_for_status()
    table = client.get("/v1/devices/cpu/tables").json()["items"][0]["id"]
    layers = client.get(f"/v1/tables/{table}/heatmap?space=fbnet-mini").json()["layers"]
    assert {layer["latency_us"][-1] for layer in layers} == {2.0, 30.0}
    told = client.post("/v1/search-jobs/validate", json=a_job(constraints=[{"device": "cpu", "max_us": 1.0}])).text
    assert "20 to" in told  # seven layers of 2 or more, stem, head and call


def test_a_job_on_a_table_that_lacks_a_boundary_is_refused_by_it(client: TestClient, device: str) -> None:
    operators = [operator for operator in NEEDED if operator != BOUNDARIES[0]]
    client.post(device, content=table_of(operators), headers=CSV).raise_for_status()
    constraint = {"metric": "latency", "device": "cpu", "max_us": 1e6}
    job = {"space": "mixed", "dataset": "fashion-mnist", "constraints": [constraint]}
    answer = client.post("/v1/search-jobs/validate", json=job)
    assert BOUNDARIES[0].key in answer.text
