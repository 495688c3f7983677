"""A job whose finalists are timed on its device: what it asks, and what follows from the answers."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from api.db.session import Database
from api.settings import Settings
from api.tables.models import Table
from tests.e2e.conftest import made_up_table, spec
from tests.search.builders import tiny_space
from tests.workers.asking import (
    SMALL,
    agent,
    budget_us,
    events,
    measured,
    reported,
    requests,
    shown,
    submitted,
)
from tests.workers.attempting import Clock, attempted


def test_a_network_that_takes_too_long_on_the_device_is_not_the_one_that_is_trained(
    client: TestClient, database: Database, settings: Settings
) -> None:
    job = submitted(client)
    most = budget_us(client, job)
    attempted(database, settings, job, Clock(agent(client, [1.3 * most, 0.9 * most])))
    assert shown(client, job)["state"] == "succeeded", shown(client, job)["error"]
    first, second = requests(client)
    assert first["spec"]["operators"] != second["spec"]["operators"]
    assert {one["kind"] for one in (first, second)} == {"time"}
    told = measured(client, job)
    assert [one["held"] for one in told] == [False, True]
    assert [one["measured"]["board"] for one in told] == [1.3 * most, 0.9 * most]
    (row,) = reported(client, job)
    assert (row["what"], row["latency_us"]) == ("exported network", 0.9 * most)
    assert row["where"] == "on board: made-up, 1 thread, batch 1, random weights, before training"
    notes = [event["data"]["detail"] for event in events(client, job) if event["kind"] == "note"]
    assert notes[0].startswith(f"waits for board ({first['id']}) to time the network: `lutnas agent`")
    derived = client.get(f"/v1/architectures/{shown(client, job)['architecture']}").json()
    blocks = [one for one in second["spec"]["operators"][1:-1] if one["kind"] == "mbconv"]
    named = [f"k{one['kernel']}_e{one['c_mid'] // one['c_in']}" for one in blocks]
    assert [name.split("_g")[0] for name in derived["candidates"] if name != "skip"] == named


def test_who_may_not_ask_a_device_cannot_repeat_a_job_that_would(
    client: TestClient, database: Database, settings: Settings
) -> None:
    """As who left the team whose device it is, and keeps what he repeated."""
    job = submitted(client)
    attempted(database, settings, job, Clock(agent(client, [1.0])))
    again = f"/v1/search-jobs/{job}/reproduce"
    assert client.post(again).status_code == 201
    with database.write() as session:
        session.execute(update(Table).values(owner="others"))
    answer = client.post(again)
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:lutnas:problem:inputs-changed")
    (wrong,) = answer.json()["errors"]
    assert wrong["field"] == "constraints[0].table"
    assert wrong["detail"].endswith("which `on_device` asks, is another owner's or not your token's")


def test_a_device_that_holds_the_budget_with_nothing_ends_the_job_by_name(
    client: TestClient, database: Database, settings: Settings
) -> None:
    job = submitted(client)
    most = budget_us(client, job)
    attempted(database, settings, job, Clock(agent(client, [100 * most] * 8)))
    found = shown(client, job)
    assert (found["state"], found["error"]["type"]) == ("failed", "urn:lutnas:problem:over-budget-on-device")
    assert "and nothing is predicted to take what that calls for (board below" in found["error"]["detail"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"constraints": [{"metric": "macs", "max": 1e9}]}, "on_device: no constraint names a device's latency"),
        ({"on_device": {"wait_seconds": 0}}, "on_device.wait_seconds"),
        ({"constraints": [{"device": "board", "table": "BATCH", "max_us": 20}]}, "of batch 8"),
        ({"choices": {"precision": ["w8a8", "w4a4"]}}, "no runtime computes w4a4, which tiny offers"),
        ({"choices": {"ends": "w4a4"}}, "no runtime computes w4a4, which tiny offers"),
        ({"space": "deep"}, "deep has 1088 layers, and networks of up to 1022 are timed: remove on_device"),
        ({"baselines": ["random"]}, "whose networks no device times"),
        ({"comparison": {"points": 2}}, "whose networks no device times"),
    ],
)
def test_what_no_agent_could_time_is_refused(client: TestClient, changes: dict[str, Any], told: str) -> None:
    of_batch_8 = made_up_table(tiny_space()).replace(b"# batch: 1", b"# batch: 8")
    headers = {"Content-Type": "text/csv"}
    table = client.post("/v1/devices/board/tables?space=tiny", content=of_batch_8, headers=headers).json()["id"]
    stages = tuple({"channels": 4, "layers": 64, "stride": 1} for _ in range(17))
    deep = tiny_space(name="deep", stages=stages, candidates=["k3_e1", "skip"])
    assert client.post("/v1/spaces", json=deep.model_dump(mode="json")).status_code == 201
    document = json.loads(json.dumps(spec(**{**SMALL, **changes})).replace("BATCH", table))
    answer = client.post("/v1/search-jobs", json=document)
    assert answer.status_code == 422
    assert told in answer.json()["detail"]
