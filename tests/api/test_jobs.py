"""Submission: all that is wrong in one answer, nothing kept; what is right is pinned."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from api.app import create_app
from api.artifacts.store import ArtifactStore
from api.db.session import Database
from api.idempotency import body_hash
from api.jobs import deriving
from api.jobs.models import SearchJob
from api.jobs.pins import load
from api.settings import Settings
from latency.formats import read_csv
from search.space import preset
from tests.api.making import CSV, TOO_MANY, a_job, a_table_csv, an_npz, row_counts, submit

JOBS = "/v1/search-jobs"


def constrained(**changes: Any) -> dict[str, Any]:
    return a_job(constraints=[{"device": "cpu", "max_us": 250.0, **changes}])


def constrained_to(max_us: float, **changes: Any) -> dict[str, Any]:
    return a_job(constraints=[{"device": "cpu", "max_us": max_us}], **changes)


REFUSED = {
    "an unknown device": (constrained(device="nowhere"), "unknown-device", "constraints[0].device"),
    "an unknown table": (constrained(table="tbl_none"), "unknown-table", "constraints[0].table"),
    "an unreachable budget": (constrained(max_us=5), "unreachable-budget", "constraints[0].max_us"),
    "an unknown space": (a_job(space="nothing"), "unknown-space", "space"),
    "an unknown data set": (a_job(dataset="nothing"), "unknown-dataset", "dataset"),
    "data of another shape": (a_job(dataset="digits"), "space-does-not-fit", "space"),
    "a space without table": (a_job(space="fbnet"), "job-refused", "space"),
    "a baseline that is none": (a_job(baselines=["magic"]), "invalid-request", "baselines"),
    "a baseline of bits that the space lacks": (
        a_job(baselines=["random", "uniform-int8"]),
        "baseline-does-not-apply",
        "baselines[1]",
    ),
    "a baseline that cannot hold the budget": (
        constrained_to(200.0, baselines=["uniform-magnitude"]),
        "baseline-does-not-apply",
        "baselines[0]",
    ),
    "choices that are none": (a_job(choices={"precision": ["int8"]}), "invalid-request", "choices.precision"),
    "more choices than can be laid out": (
        a_job(choices=TOO_MANY),
        "space-does-not-fit",
        "choices",
    ),
    "more levels of zeros than a layer may have": (
        a_job(choices={"sparsity": {"levels": [n / 300 for n in range(300)]}}),
        "invalid-request",
        "choices.sparsity.levels",
    ),
    "a choice that the table lacks": (
        a_job(choices={"precision": ["fp32", "w8a8"]}),
        "space-not-covered",
        "constraints[0].device",
    ),
    "a side of a single picture": (
        a_job(search={"examples": 10, "theta_share": 0.1}),
        "too-few-pictures",
        "search.theta_share",
    ),
    "an unknown metric": (a_job(constraints=[{"metric": "colour"}]), "invalid-request", "constraints[0]"),
    "a maximum of another metric": (
        a_job(constraints=[{"metric": "size", "max_us": 1}]),
        "invalid-request",
        "constraints[0].max_bytes",
    ),
    "a size that nothing has": (
        a_job(constraints=[{"metric": "size", "max_bytes": 9}]),
        "unreachable-budget",
        "constraints[0].max_bytes",
    ),
    "a maximum that nothing can be a share of": (
        a_job(constraints=[{"metric": "size", "max_bytes": 5e-324}]),
        "invalid-request",
        "constraints[0].max_bytes",
    ),
    "a memory that nothing has": (
        a_job(constraints=[{"metric": "memory", "max_bytes": 9}]),
        "unreachable-budget",
        "constraints[0].max_bytes",
    ),
    "multiply-adds that nothing has": (
        a_job(constraints=[{"metric": "macs", "max": 9}]),
        "unreachable-budget",
        "constraints[0].max",
    ),
    "energy that the table lacks": (
        a_job(constraints=[{"metric": "energy", "device": "cpu", "max_uj": 9}]),
        "space-not-covered",
        "constraints[0].device",
    ),
    "too many finalists": (a_job(finalists=65), "invalid-request", "finalists"),
    "an unknown field": (a_job(colour="red"), "invalid-request", "colour"),
    "an infinite budget": (constrained(max_us="inf"), "invalid-request", "constraints[0].max_us"),
    "no constraint": (a_job(constraints=[]), "invalid-request", "constraints"),
    "a NUL": (a_job(name="a\0b"), "invalid-request", "name"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_job_that_cannot_run_is_refused_by_field_and_changes_nothing(
    client: TestClient, database: Database, device: str, name: str
) -> None:
    document, slug, field = REFUSED[name]
    before = row_counts(database)
    answer = client.post(JOBS, json=document)
    assert (answer.status_code, answer.json()["type"]) == (422, f"urn:lutnas:problem:{slug}"), answer.text
    assert answer.json()["errors"][0]["field"] == field
    assert row_counts(database) == before


def test_what_is_wrong_is_told_once_and_in_words_of_the_document(client: TestClient, device: str) -> None:
    wrong = a_job(constraints=[{"metric": "colour"}], colour="red", labels={"Team": "cam"}, space="A B")
    told = {error["field"]: error["detail"] for error in client.post(JOBS, json=wrong).json()["errors"]}
    assert told.keys() == {"constraints[0]", "colour", "labels.Team", "space"}
    assert told["colour"] == "is no field that is known here"
    assert told["labels.Team"].startswith("is no name of a label")
    assert told["space"].startswith("is no name")
    document = a_job()
    del document["constraints"]
    (error,) = client.post(JOBS, json=document).json()["errors"]
    assert error == {"field": "constraints", "detail": "is missing"}


def test_a_space_that_leaves_nothing_to_choose_is_refused(client: TestClient, device: str) -> None:
    document = preset("fbnet-mini").model_dump(mode="json") | {"name": "one", "candidates": ["k3_e1"]}
    document["stages"] = [stage | {"candidates": None} for stage in document["stages"]]
    assert client.post("/v1/spaces", json=document).status_code == 201
    answer = client.post(JOBS, json=a_job(space="one"))
    assert answer.status_code == 422
    refused = {error["field"]: error["detail"] for error in answer.json()["errors"]}
    assert refused["space"] == "one leaves nothing to choose, each layer has one choice: offer it more by `choices`"


def test_an_unreachable_budget_is_answered_with_what_can_be_reached(client: TestClient, device: str) -> None:
    table = read_csv(a_table_csv().splitlines(keepends=True))
    space = preset("fbnet-mini")
    fixed = sum(map(table.latency_us, (space.stem_operator, space.head_operator))) + 10.0
    costs = [[table.latency_us(layer.operator(c)) for c in layer.choices] for layer in space.layers]
    (reach,) = client.post(JOBS, json=constrained(max_us=5)).json()["reachable"]
    assert reach["min_us"] == pytest.approx(fixed + sum(map(min, costs)))
    assert reach["max_us"] == pytest.approx(fixed + sum(map(max, costs)))
    just_reachable = constrained(max_us=reach["min_us"])
    assert client.post(JOBS, json=just_reachable).status_code == 201


def test_a_space_that_the_table_does_not_cover_is_answered_with_the_missing_operators(client: TestClient) -> None:
    client.post("/v1/devices", json={"name": "cpu"})
    client.post("/v1/devices/cpu/tables", content=a_table_csv(without=4), headers=CSV)
    answer = client.post(JOBS, json=a_job()).json()
    assert answer["type"] == "urn:lutnas:problem:space-not-covered"
    assert answer["errors"][0]["field"] == "constraints[0].device"
    assert [(m["device"], m["kind"]) for m in answer["missing"]] == [("cpu", "mbconv")] * 4


def test_what_cannot_be_proven_while_somebody_waits_is_refused(
    client: TestClient, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deriving, "DERIVE_SECONDS", 0.0)
    both = [{"device": "cpu", "max_us": 250.0}, {"metric": "size", "max_bytes": 1e6}]
    answer = client.post("/v1/search-jobs/validate", json=a_job(constraints=both))
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:lutnas:problem:too-hard")
    assert "give fewer constraints" in answer.json()["detail"]


def test_budgets_that_only_hold_alone_are_refused_together(client: TestClient, device: str) -> None:
    """On the second device the cheap candidates are the dear ones: each budget is reachable, both are not."""
    lines = a_table_csv(device="odd").splitlines(keepends=True)
    odd = [_turned(line) if line.startswith(("mbconv", "skip")) else line for line in lines]
    client.post("/v1/devices", json={"name": "odd"})
    assert client.post("/v1/devices/odd/tables", content="".join(odd), headers=CSV).status_code == 201
    reach = client.post(
        f"{JOBS}/validate", json=a_job(constraints=[{"device": d, "max_us": 1e6} for d in ("cpu", "odd")])
    )
    least = {r["device"]: r["min_us"] for r in reach.json()["reachable"]}
    tight = [{"device": device, "max_us": least[device] + 5} for device in ("cpu", "odd")]
    assert [client.post(JOBS, json=a_job(constraints=[one])).status_code for one in tight] == [201, 201]
    answer = client.post(JOBS, json=a_job(constraints=tight))
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "constraints")


def _turned(line: str) -> str:
    cells = line.split(",")
    cells[13] = repr(500.0 - float(cells[13]))
    return ",".join(cells)


def test_all_that_is_wrong_comes_in_one_answer(client: TestClient, device: str) -> None:
    document = a_job(dataset="nothing", constraints=[{"device": "cpu", "max_us": 1}, {"device": "x", "max_us": 1}])
    fields = [error["field"] for error in client.post(JOBS, json=document).json()["errors"]]
    assert fields == ["dataset", "constraints[0].max_us", "constraints[1].device"]


def test_a_device_with_several_tables_wants_one_named(client: TestClient, database: Database, device: str) -> None:
    other = client.post("/v1/devices/cpu/tables", content=a_table_csv(scale=2), headers=CSV).json()
    answer = client.post(JOBS, json=constrained())
    assert answer.json()["errors"][0]["field"] == "constraints[0].table"
    named = client.post(JOBS, json=constrained(table=other["id"], max_us=600))
    assert named.json()["pins"]["tables"] == [
        {
            "constraint": 0,
            "device": "cpu",
            "table": other["id"],
            "content_hash": other["content_hash"],
            "correction": None,
        }
    ]


def test_validation_tells_what_submitting_would_and_keeps_nothing(
    client: TestClient, database: Database, device: str
) -> None:
    before = row_counts(database)
    good = client.post(f"{JOBS}/validate", json=a_job()).json()
    assert (good["valid"], good["errors"], good["architectures"]) == (True, [], preset("fbnet-mini").size)
    for document, _, field in REFUSED.values():
        found = client.post(f"{JOBS}/validate", json=document)
        assert found.status_code == 200
        assert not found.json()["valid"]
        assert found.json()["errors"][0]["field"] == field
    assert row_counts(database) == before


def test_the_same_key_answers_the_first_job_and_another_body_is_a_conflict(
    client: TestClient, database: Database, device: str
) -> None:
    headers = {"Idempotency-Key": "once"}
    first, again = (client.post(JOBS, json=a_job(), headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]
    assert first.headers["location"] == f"{JOBS}/{first.json()['id']}"
    other = client.post(JOBS, json=a_job(seed=1), headers=headers)
    assert (other.status_code, other.json()["type"]) == (409, "urn:lutnas:problem:idempotency-key-reused")
    assert row_counts(database)["search_jobs"] == 1


def test_a_key_of_before_an_upgrade_that_added_a_field_still_answers_its_body_alone(
    client: TestClient, database: Database, device: str
) -> None:
    headers = {"Idempotency-Key": "once"}
    first = client.post(JOBS, json=a_job(), headers=headers).json()["id"]
    with database.write() as session:
        row = session.get_one(SearchJob, first)
        row.spec = {name: value for name, value in row.spec.items() if name != "on_device"}
        row.idempotency_hash = body_hash(row.spec)
    again = client.post(JOBS, json=a_job(), headers=headers)
    assert (again.status_code, again.json()["id"]) == (200, first)
    for other in (a_job(seed=1), a_job(priority=1)):
        assert client.post(JOBS, json=other, headers=headers).status_code == 409


def test_jobs_are_listed_by_state_and_label_in_pages(client: TestClient, device: str) -> None:
    made = [submit(client, labels={"team": "cam" if number % 2 else "mic"}) for number in range(5)]
    client.post(f"{JOBS}/{made[0]}/cancel")
    listed: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = client.get(JOBS, params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        listed += [job["id"] for job in page["items"]]
        cursor = page["next_cursor"]
    assert sorted(listed) == sorted(made)
    assert len(client.get(JOBS, params={"label": "team:cam"}).json()["items"]) == 2
    assert [job["id"] for job in client.get(JOBS, params={"state": "cancelled"}).json()["items"]] == [made[0]]
    for wrong in ({"state": "asleep"}, {"label": "team"}, {"cursor": "?"}, {"limit": 0}):
        answer = client.get(JOBS, params=wrong)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, next(iter(wrong)))


def test_a_worker_gets_what_was_pinned(client: TestClient, database: Database, settings: Settings, device: str) -> None:
    rng = np_pictures()
    answer = client.post("/v1/datasets", data={"name": "own"}, files={"file": ("own.npz", an_npz(**rng))})
    assert answer.status_code == 201, answer.text
    document = {**json.loads(preset("fbnet-mini").model_dump_json()), "name": "tiny", "classes": 2}
    assert client.post("/v1/spaces", json=document).status_code == 201
    operators = client.get("/v1/spaces/tiny/operators").json()["operators"]
    rows = [{**{k: v for k, v in o.items() if v}, "latency_us": 10.0} for o in operators]
    table = {"device": "own", "runtime": "test", "threads": 1, "batch": 1, "rows": rows}
    client.post("/v1/devices", json={"name": "own"})
    assert client.post("/v1/devices/own/tables?space=tiny", json=table).status_code == 201
    job = submit(client, space="tiny", dataset="own", constraints=[{"device": "own", "max_us": 1e4}])
    with database.read() as session:
        inputs = load(session, job)
    assert inputs.space.classes == 2
    assert inputs.tables[0].missing(inputs.space.operators()) == []
    assert inputs.threads == 1
    assert inputs.dataset.file is not None
    assert ArtifactStore(settings.artifacts).read(inputs.dataset.file.path)
    assert inputs.dataset.content_hash == answer.json()["content_hash"]


def np_pictures() -> dict[str, Any]:
    import numpy as np

    return {"x": np.zeros((20, 28, 28), np.uint8), "y": np.arange(20) % 2}


def test_events_are_listed_behind_an_id(client: TestClient, job: str) -> None:
    client.post(f"{JOBS}/{job}/pause")
    client.post(f"{JOBS}/{job}/resume")
    page = client.get(f"{JOBS}/{job}/events", params={"limit": 2}).json()
    assert [event["data"]["state"] for event in page["items"]] == ["queued", "paused"]
    rest = client.get(f"{JOBS}/{job}/events", params={"after": page["next_cursor"]}).json()
    assert ([event["id"] for event in rest["items"]], rest["next_cursor"]) == ([3], None)


def test_the_same_key_sent_at_once_makes_one_job(client: TestClient, database: Database, device: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: client.post(JOBS, json=a_job(), headers={"Idempotency-Key": "k"}), range(6)))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert row_counts(database)["search_jobs"] == 1


def test_of_jobs_that_are_submitted_at_once_no_more_are_taken_than_an_owner_may_have(
    settings: Settings, token: str, database: Database, device: str
) -> None:
    few = settings.model_copy(update={"max_open_jobs": 3})
    headers = {"Authorization": f"Bearer {token}"}
    with TestClient(create_app(few), headers=headers) as client, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.post(JOBS, json=a_job()).status_code, range(16)))
    assert sorted(answers) == [201] * 3 + [409] * 13
    assert row_counts(database)["search_jobs"] == 3


def test_a_key_sent_again_at_once_is_no_job_too_many(
    settings: Settings, token: str, database: Database, device: str
) -> None:
    one = settings.model_copy(update={"max_open_jobs": 1})
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "k"}
    with TestClient(create_app(one), headers=headers) as client, ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: client.post(JOBS, json=a_job()).status_code, range(6)))
    assert sorted(answers) == [200] * 5 + [201]


def test_what_a_job_needs_is_looked_up_without_keeping_writers_out(
    client: TestClient, database: Database, device: str
) -> None:
    assert client.get("/v1/search-jobs").is_success  # the use of the token is noted
    with database.write() as session:
        session.execute(text("UPDATE devices SET description = 'somebody writes'"))
        answer = client.post("/v1/search-jobs", json=a_job(space="none"))
        assert answer.json()["type"] == "urn:lutnas:problem:unknown-space"
