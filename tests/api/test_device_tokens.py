"""What the token of a device reaches, and one that profiles: an agent's lies on a board, where anybody may find it."""

import httpx
from fastapi.testclient import TestClient

from api.artifacts.store import ArtifactStore, StoredFile
from api.db.session import Database
from api.jobs import lease as jobs_lease
from api.settings import Settings
from tests.api.making import CSV, Json, a_table_csv, a_token, an_architecture, stored


def finished(database: Database, store: ArtifactStore, job: str, *names: str) -> list[StoredFile]:
    """The files that a worker leaves, which ends the job with them."""
    with database.write() as session:
        lease = jobs_lease.claim(session, job, worker="w", lease_seconds=60)
        assert lease is not None
        files = [stored(store, lease, name) for name in names]
        jobs_lease.succeed(session, lease, architecture=an_architecture(), artifacts=files)
    return files


def architecture_of(client: TestClient, job: str) -> tuple[Json, dict[str, str]]:
    """What it derived, and where its files are fetched, by name."""
    found = client.get(f"/v1/search-jobs/{job}/architecture").json()
    return found, {one["name"]: f"/v1/artifacts/{one['id']}/content" for one in found["artifacts"]}


def test_the_token_of_a_device_answers_for_that_device(client: TestClient, device: str) -> None:
    document, by = a_token(client, "profile", device=device)
    assert document["device"] == device
    content, headers = a_table_csv(scale=2.0), {**CSV, **by}
    assert [one["name"] for one in client.get("/v1/devices", headers=by).json()["items"]] == [device]
    assert client.post(f"/v1/devices/{device}/tables", content=content, headers=headers).status_code == 201
    assert client.get("/v1/spaces/fbnet-mini/operators", headers=by).status_code == 200
    client.post(f"/v1/devices/{device}/requests", json={"kind": "profile", "space": "fbnet-mini"}).raise_for_status()
    got = client.post(f"/v1/devices/{device}/requests/claim", json={"agent": "a"}, headers=by).json()
    request, holder = got["request"]["id"], {"agent": "a", "attempt": got["lease"]["attempt"]}
    table = client.get(f"/v1/devices/{device}/tables", headers=by).json()["items"][0]["id"]
    for what, body in (("heartbeat", holder), ("finish", {**holder, "result": {"table": table}})):
        answer = client.post(f"/v1/device-requests/{request}/{what}", json=body, headers=by)
        assert answer.status_code == 200, answer.text


def test_the_token_of_a_device_reaches_nothing_else(client: TestClient, device: str, job: str) -> None:
    client.post("/v1/devices", json={"name": "other"}).raise_for_status()
    headers = {"Content-Type": "text/csv"}
    table = client.post("/v1/devices/other/tables", content=a_table_csv(device="other"), headers=headers).json()["id"]
    asked = client.post("/v1/devices/other/requests", json={"kind": "profile", "space": "fbnet-mini"}).json()["id"]
    _, by = a_token(client, "profile", device=device)
    for path in ("/v1/devices/other", "/v1/devices/other/tables", f"/v1/tables/{table}", f"/v1/tables/{table}/file",
                 f"/v1/tables/{table}/measurements", f"/v1/device-requests/{asked}"):  # fmt: skip
        assert client.get(path, headers=by).status_code == 404, path
    holder = {"agent": "a", "attempt": 1}
    assert client.post("/v1/devices/other/requests/claim", json={"agent": "a"}, headers=by).status_code == 404
    assert client.post(f"/v1/device-requests/{asked}/heartbeat", json=holder, headers=by).status_code == 404
    content = a_table_csv(device="other", scale=3.0)
    answer = client.post("/v1/devices/other/tables", content=content, headers={**headers, **by})
    assert answer.status_code == 404
    client.post("/v1/devices/other/tables", content=content, headers=headers).raise_for_status()
    copied = content.replace("# device: other", "# device: cpu")
    own = client.post(f"/v1/devices/{device}/tables", content=copied, headers={**headers, **by})
    assert own.status_code == 201, own.text
    assert "other" not in own.text  # that rows are copied is said to who may see both
    again = client.post(f"/v1/devices/{device}/tables", content=copied, headers=headers)
    assert "equal those of other" in again.text
    for path in ("/v1/search-jobs", f"/v1/search-jobs/{job}", "/v1/architectures", "/v1/datasets", "/v1/tokens"):
        assert client.get(path, headers=by).status_code == 403, path
    for path, body in (("/v1/devices", {"name": "third"}), ("/v1/tokens", {"name": "x", "scopes": ["profile"]})):
        assert client.post(path, json=body, headers=by).status_code == 403, path


def test_who_profiles_and_may_not_read_fetches_models_alone(
    client: TestClient, database: Database, settings: Settings, device: str, job: str
) -> None:
    store = ArtifactStore(settings.artifacts)
    _, weights = finished(database, store, job, "model.onnx", "weights.safetensors")
    _, paths = architecture_of(client, job)
    _, by = a_token(client, "profile")
    assert client.get(paths["model.onnx"], headers=by).status_code == 200
    assert client.get(paths["weights.safetensors"], headers=by).status_code == 404
    assert client.get(paths["weights.safetensors"]).status_code == 200
    store.delete(weights.path_in_store)
    gone = client.get(paths["weights.safetensors"])
    assert (gone.status_code, gone.json()["type"]) == (404, "urn:lutnas:problem:artifact-missing")


def test_an_agent_sees_an_architecture_and_its_model_once_asked_to_verify_it(
    client: TestClient, database: Database, settings: Settings, device: str, job: str
) -> None:
    finished(database, ArtifactStore(settings.artifacts), job, "model.onnx", "report.json")
    architecture, names = architecture_of(client, job)
    path, measured = f"/v1/architectures/{architecture['id']}", {"device": device, "latency_us": 10.0}
    measured |= {"runtime": "onnxruntime", "runtime_version": "1", "threads": 1, "batch": 1}
    _, by = a_token(client, "profile", device=device)
    _, others = a_token(client, "profile", device=client.post("/v1/devices", json={"name": "other"}).json()["id"])

    def answers(headers: httpx.Headers) -> list[int]:
        gets = [client.get(one, headers=headers).status_code for one in (path, names["model.onnx"])]
        return [*gets, client.post(f"{path}/measurements", json=measured, headers=headers).status_code]

    assert answers(by) == [404, 404, 404]
    asked = {"kind": "verify", "architecture": architecture["id"]}
    client.post(f"/v1/devices/{device}/requests", json=asked).raise_for_status()
    assert answers(by) == [200, 200, 201]
    assert client.get(names["report.json"], headers=by).status_code == 404
    assert answers(others) == [404, 404, 404]
