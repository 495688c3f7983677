"""A job may start from the weights that another one left, if they are the same user's and fit."""

from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from api.artifacts.store import ArtifactStore
from api.db.session import Database
from api.jobs.lease import claim, succeed
from api.jobs.models import SearchJob
from api.jobs.pins import load
from api.settings import Settings
from search.choices import Choices
from search.pretrained import PRETRAINED, misfit
from search.space import preset
from tests.api.making import a_job, an_architecture, stored
from tests.search.builders import tiny_space
from workers.inputs import WeightsChanged, load_weights

JOBS = "/v1/search-jobs"


def starting_from(job: str, **search: Any) -> dict[str, Any]:
    return a_job(search={"pretrained": job, **search})


def finish(database: Database, settings: Settings, job: str) -> None:
    with database.write() as session:
        lease = claim(session, job, worker="test", lease_seconds=600)
        assert lease is not None
        files = [stored(ArtifactStore(settings.artifacts), lease, PRETRAINED, b"weights")]
        succeed(session, lease, architecture=an_architecture(), artifacts=files)


def refused(client: TestClient, document: dict[str, Any], slug: str) -> str:
    answer = client.post(JOBS, json=document)
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert problem["type"].endswith(slug)
    assert problem["errors"][0]["field"] == "search.pretrained"
    return str(problem["errors"][0]["detail"])


def test_the_weights_of_a_job_that_succeeded_are_pinned(
    client: TestClient, database: Database, settings: Settings, job: str
) -> None:
    finish(database, settings, job)
    answer = client.post(JOBS, json=starting_from(job))
    assert answer.status_code == 201, answer.text
    second = answer.json()["id"]
    with database.read() as session:
        pinned = load(session, second).pretrained
    assert pinned is not None
    assert ArtifactStore(settings.artifacts).read(pinned.path) == b"weights"


def test_weights_that_are_not_there_or_do_not_fit_are_refused(
    client: TestClient, database: Database, settings: Settings, job: str
) -> None:
    assert "there is no job" in refused(client, starting_from("job_0nothing"), "unknown-job")
    assert f"is queued and left no {PRETRAINED}" in refused(client, starting_from(job), "no-pretrained-weights")
    finish(database, settings, job)
    told = refused(client, starting_from(job, supernet="reference"), "pretrained-does-not-fit")
    assert "they are of the shared form, this search is of the reference one" in told


def test_a_job_that_this_version_cannot_read_is_no_start(
    client: TestClient, database: Database, settings: Settings, job: str
) -> None:
    finish(database, settings, job)
    with database.write() as session:
        row = session.get_one(SearchJob, job)
        row.space = {**row.space, "stem": {**row.space["stem"], "kernel": 4}}
    assert "is of another version of lutnas" in refused(client, starting_from(job), "job-outdated")


def test_the_weights_of_another_user_are_not_there(
    client: TestClient, stranger: httpx.Headers, database: Database, settings: Settings, job: str
) -> None:
    finish(database, settings, job)
    answer = client.post(JOBS, json=starting_from(job), headers=stranger).json()
    assert [error["detail"] for error in answer["errors"] if error["field"] == "search.pretrained"] == [
        f"there is no job '{job}': GET /v1/search-jobs lists yours"
    ]


def test_a_file_that_was_changed_since_is_refused(
    client: TestClient, database: Database, settings: Settings, job: str
) -> None:
    finish(database, settings, job)
    second, store = client.post(JOBS, json=starting_from(job)).json()["id"], ArtifactStore(settings.artifacts)
    with database.read() as session:
        inputs = load(session, second)
    assert inputs.pretrained is not None
    store.put(inputs.pretrained.path, b"others", media_type="application/octet-stream")
    with pytest.raises(WeightsChanged, match="not the file that the job was submitted with: restore it"):
        load_weights(inputs, store)


def test_a_misfit_names_the_first_place_that_differs() -> None:
    space, layer = tiny_space(), "in layer 0 8 to 8 channels, "
    bits = space.offering(Choices(precision=("w8a8", "w4a4"), width=(1, 0.5), width_multiple=4))
    assert misfit(bits, "shared", space, "shared") is None
    assert misfit(space, "reference", space, "reference") is None
    narrow = tiny_space(candidates=["k3_e1", "k3_e3", "skip"])
    assert misfit(space, "shared", narrow, "shared") == (
        f"this search has {layer}48 middle ones, k5, no projecting skip, "
        f"they have {layer}24 middle ones, k3, no projecting skip"
    )
    shorter = tiny_space(stages=[{"channels": 8, "layers": 1}])
    assert "they have no such layer" in str(misfit(space, "shared", shorter, "shared"))
    assert misfit(tiny_space(classes=4, head={"channels": 24}), "shared", space, "shared") is None
    assert "a stem of 1 to 8" in str(misfit(space, "shared", preset("fbnet-cifar"), "shared"))
