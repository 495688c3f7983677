"""Measured networks: kept whole or not at all, they tell how far a table is off, and mend what jobs go by."""

from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from api.db.session import Database
from api.jobs.pins import load
from api.limits import MEASUREMENT_BYTES
from api.spaces.service import MOST_DRAWN_LAYERS
from latency.formats import write_csv
from latency.table import Entry, TableInfo
from search.architecture import LayerChoice
from search.space import Space, preset
from tests.api.making import CSV, TOO_MANY, a_job, a_table_csv, row_counts

Json = dict[str, Any]


@pytest.fixture
def table(client: TestClient) -> Json:
    """A table that covers fbnet-mini."""
    assert client.post("/v1/devices", json={"name": "cpu"}).status_code == 201
    answer: Json = client.post("/v1/devices/cpu/tables", content=a_table_csv(), headers=CSV).json()
    return answer


def sampled(client: TestClient, count: int = 20, query: str = "") -> Json:
    """What a calibration is told to time."""
    answer = client.get(f"/v1/spaces/fbnet-mini/architectures?count={count}{query}")
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


def test_more_architectures_than_one_answer_holds_are_refused_by_number(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = len(sampled(client, 1)["architectures"][0]["layers"])
    monkeypatch.setattr("api.spaces.service.MOST_DRAWN_LAYERS", 3 * layers)
    assert len(sampled(client, 3)["architectures"]) == 3
    answer = client.get("/v1/spaces/fbnet-mini/architectures?count=4")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "count")
    assert "at most 3 of fbnet-mini" in answer.json()["errors"][0]["detail"]


def test_as_many_layers_as_are_drawn_are_taken_back_once_they_were_timed() -> None:
    longest = LayerChoice(
        candidate="k9_e9_g8", c_mid=73728, precision="w8a8", pattern="unstructured", sparsity=0.1 + 0.2
    )
    layer = len(f"{longest.model_dump_json()},")
    networks = 1000 * len('{"layers":[],"latency_us":12345.678901234567,"p10_us":12345.678901234567,'
                          '"p90_us":12345.678901234567,"samples":1234567},')  # fmt: skip
    assert MOST_DRAWN_LAYERS * layer + networks < MEASUREMENT_BYTES


def test_networks_of_any_length_that_a_space_has_are_taken(client: TestClient) -> None:
    stage = {"channels": 16, "layers": 60, "candidates": ["k3_e1", "skip"]}
    space = {**preset("fbnet-mini").model_dump(mode="json"), "name": "long", "stages": [stage] * 6}
    assert client.post("/v1/spaces", json=space).status_code == 201
    client.post("/v1/devices", json={"name": "cpu"}).raise_for_status()
    rows = [(operator, Entry(1.0)) for operator in Space.model_validate(space).operators()]
    text = "".join(write_csv(TableInfo(device="cpu", runtime="onnxruntime", threads=1, batch=1), rows))
    table = client.post("/v1/devices/cpu/tables", content=text, headers=CSV).json()
    drawn = client.get("/v1/spaces/long/architectures?count=2").json()["architectures"]
    networks = [{"layers": one["layers"], "latency_us": 100.0 + len(one["layers"])} for one in drawn]
    answer = send(client, table, {"space": "long", "networks": networks})
    assert (answer.status_code, len(drawn[0]["layers"])) == (201, 360), answer.text


def predicted_us(client: TestClient, table: Json, architecture: Json) -> float:
    """The sum of the uploaded rows."""
    rows = client.get(f"/v1/tables/{table['id']}/rows?limit=1000").json()["items"]
    names = list(architecture["operators"][0])
    costs = {tuple(row[name] for name in names): row["latency_us"] for row in rows}
    base = next(row["latency_us"] for row in rows if row["kind"] == "base")
    return base + sum(costs.get(tuple(o.values()), 0.0) for o in architecture["operators"])  # identities have no row


def measured(client: TestClient, table: Json, count: int = 20, offset: float = 30.0, scale: float = 1.2) -> Json:
    """Measurements along a line over the predictions."""
    networks = [
        {"layers": a["layers"], "latency_us": offset + scale * predicted_us(client, table, a), "samples": 50}
        for a in sampled(client, count)["architectures"]
    ]
    return {"space": "fbnet-mini", "runtime": "onnxruntime", "threads": 1, "batch": 1, "networks": networks}


def send(client: TestClient, table: Json, body: Json) -> httpx.Response:
    return client.post(f"/v1/tables/{table['id']}/measurements", json=body)


def test_measured_networks_tell_how_far_a_table_is_off_and_what_mends_it(client: TestClient, table: Json) -> None:
    assert table["calibration"] is None
    answer = send(client, table, measured(client, table))
    assert answer.status_code == 201, answer.text
    found = answer.json()
    assert found["trust"]["networks"] == 20
    assert 0.15 < found["trust"]["mape"] < 0.4
    assert found["trust"]["spearman"] == pytest.approx(1.0)
    assert found["corrected"]["mape"] < 1e-6
    assert found["correction"] == {"offset_us": pytest.approx(30.0), "scale": pytest.approx(1.2)}
    assert client.get(f"/v1/tables/{table['id']}").json()["calibration"] == found
    kept = client.get(f"/v1/tables/{table['id']}/measurements?limit=7").json()
    assert [len(kept["items"]), kept["items"][0]["samples"]] == [7, 50]
    assert kept["next_cursor"]


def test_more_networks_are_added_to_those_before(client: TestClient, table: Json) -> None:
    send(client, table, measured(client, table, count=12))
    again = send(client, table, measured(client, table, count=12, offset=0.0, scale=1.0)).json()
    assert again["trust"]["networks"] == 24


def test_networks_that_are_sent_once_more_are_there_once(client: TestClient, table: Json) -> None:
    """As where a connection broke before the answer came: doubled, they would weigh twice."""
    body = measured(client, table, count=12)
    first, again = send(client, table, body), send(client, table, body)
    assert (again.status_code, again.json()) == (201, first.json())
    kept = client.get(f"/v1/tables/{table['id']}/measurements?limit=100").json()["items"]
    assert len(kept) == 12


def test_a_body_is_read_of_known_callers_and_for_a_table_that_is_there_alone(client: TestClient, table: Json) -> None:
    path = f"/v1/tables/{table['id']}/measurements"
    assert client.post(path, content=b"{", headers={"Authorization": "Bearer none"}).status_code == 401
    assert client.post("/v1/tables/tbl_none/measurements", content=b"{").status_code == 404
    answer = client.post(path, content=b"{")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "body")


def test_jobs_go_by_the_correction_that_stood_when_they_were_submitted(
    client: TestClient, table: Json, database: Database
) -> None:
    before = client.post("/v1/search-jobs", json=a_job()).json()
    plain = client.post("/v1/search-jobs/validate", json=a_job()).json()["reachable"][0]
    correction = send(client, table, measured(client, table)).json()["correction"]
    mended = client.post("/v1/search-jobs/validate", json=a_job()).json()["reachable"][0]
    for end in ("min_us", "max_us"):
        assert mended[end] == pytest.approx(correction["offset_us"] + correction["scale"] * plain[end])
    after = client.post("/v1/search-jobs", json=a_job(name="after")).json()
    assert [job["pins"]["tables"][0]["correction"] for job in (before, after)] == [None, correction]
    send(client, table, measured(client, table, offset=500.0, scale=3.0))
    with database.read() as session:
        tables = [load(session, job["id"]).tables[0] for job in (before, after)]
    bases = [next(e.latency_us for o, e in t.entries.items() if o.kind == "base") for t in tables]
    assert bases == pytest.approx([10.0, correction["offset_us"] + correction["scale"] * 10.0])


def bad(client: TestClient, table: Json, name: str) -> tuple[Json, str]:
    """A wrong request, and the field that is wrong."""
    body = measured(client, table, count=3)
    network = body["networks"][1]
    match name:
        case "another runtime":
            return body | {"runtime": "tflite"}, "runtime"
        case "more threads":
            return body | {"threads": 4}, "threads"
        case "a choice that is none":
            network["layers"][0] = {"candidate": "k7_e6"}
            return body, "networks[1]"
        case "a layer too few":
            network["layers"].pop()
            return body, "networks[1]"
        case "bits that the table lacks":
            return body | sampled_in_int8(client), "networks[0]"
        case "more choices than can be laid out":
            return body | {"choices": TOO_MANY}, "choices"
        case "no latency":
            network["latency_us"] = 1e-320
            return body, "networks[1].latency_us"
        case _:
            return body | {"networks": []}, "networks"


def sampled_in_int8(client: TestClient) -> Json:
    drawn = sampled(client, 2, "&precision=w8a8")
    networks = [{"layers": a["layers"], "latency_us": 10.0} for a in drawn["architectures"]]
    return {"choices": drawn["choices"], "networks": networks}


@pytest.mark.parametrize(
    "name",
    ["another runtime", "more threads", "a choice that is none", "a layer too few", "bits that the table lacks",
     "more choices than can be laid out", "no latency", "no network"],
)  # fmt: skip
def test_wrong_measurements_are_named_by_network_and_keep_nothing(
    client: TestClient, table: Json, database: Database, name: str
) -> None:
    body, field = bad(client, table, name)
    before = row_counts(database)
    answer = send(client, table, body)
    assert answer.status_code == 422, answer.text
    assert any(error["field"].startswith(field) for error in answer.json()["errors"]), answer.text
    assert row_counts(database) == before


def test_what_another_owner_measured_is_not_there(client: TestClient, table: Json, stranger: httpx.Headers) -> None:
    body = measured(client, table, count=2)
    path = f"/v1/tables/{table['id']}/measurements"
    assert client.post(path, json=body, headers=stranger).status_code == 404
    assert client.get(path, headers=stranger).status_code == 404


def test_architectures_are_drawn_by_seed_and_offer_what_is_asked(client: TestClient) -> None:
    one, same, other = (sampled(client, 8, f"&seed={seed}") for seed in (1, 1, 2))
    assert one == same != other
    layers = [str(a["layers"]) for a in one["architectures"]]
    assert len(set(layers)) == 8
    drawn = sampled(client, 8, "&precision=fp32&precision=w8a8&width=1&width=0.5")
    assert drawn["choices"]["precision"] == ["fp32", "w8a8"]
    assert {c["precision"] for a in drawn["architectures"] for c in a["layers"]} == {"fp32", "w8a8"}
    operators = client.get("/v1/spaces/fbnet-mini/operators?precision=w8a8&width=0.5").json()["operators"]
    assert {o["weight_bits"] for o in operators if o["kind"] == "mbconv"} == {8}
    sparse = client.get("/v1/spaces/fbnet-mini/operators?sparsity=dense&sparsity=2:4@0.5").json()["operators"]
    assert {(o["pattern"], o["sparsity"]) for o in sparse if o["kind"] == "mbconv"} == {("", 0.0), ("2:4", 0.5)}
    for wrong, told in (("2:4", "no level of zeros"), ("2:4@0.25", "2:4 has 0.5 zeros or none"), ("1.5", "no level")):
        answer = client.get(f"/v1/spaces/fbnet-mini/operators?sparsity={wrong}")
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "sparsity"
        assert told in answer.json()["detail"]
    mixed = client.get("/v1/spaces/fbnet-mini/operators?sparsity=2:4@0.5&sparsity=unstructured@0.5")
    assert "2:4 and unstructured: levels of zeros are of one pattern" in mixed.json()["detail"]
    refused = client.get("/v1/spaces/fbnet-mini/operators?precision=int8")
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:lutnas:problem:choices-refused")
    assert refused.json()["errors"][0]["field"] == "precision"


def test_a_table_that_does_not_say_its_runtimes_version_is_calibrated_by_any(client: TestClient, table: Json) -> None:
    text = "".join(line for line in a_table_csv().splitlines(keepends=True) if not line.startswith("# runtime_version"))
    other = client.post("/v1/devices/cpu/tables", content=text, headers=CSV).json()
    assert other["runtime_version"] == ""
    body = measured(client, other, count=2) | {"runtime_version": "9.9"}
    assert send(client, other, body).status_code == 201
    assert send(client, table, body).status_code == 422
