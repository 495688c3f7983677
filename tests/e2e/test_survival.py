"""Whatever happens to a worker, a job ends as if nothing had: the same architecture, the same weights, to the bit."""

import json
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lutnas.client import Client
from search.choices import Choices
from search.space import preset
from tests.e2e.conftest import BRIEF, LONG_SECONDS, PROGRAM, Site, finished, made_up_table, spec, until
from tests.search.builders import tiny_space

pytestmark = pytest.mark.timeout(LONG_SECONDS)


def progress(client: Client, job_id: str, phase: str) -> dict[str, Any] | None:
    """The job's progress once it has done some steps, and checkpoints, of `phase`."""
    found: dict[str, Any] = {**client.job(job_id)["progress"]}
    return found if found.get("phase") == phase and found["step"] >= 40 else None


def has_failed(client: Client, job_id: str) -> bool:
    return client.job(job_id)["state"] == "failed"


def all_events(client: Client, job_id: str) -> list[dict[str, Any]]:
    """All events of a job that has ended."""
    return [dict(event) for event in client.events(job_id)]


@pytest.fixture(scope="module")
def calm(served: Client) -> str:
    """The weights that come of a job nobody disturbs."""
    return finished(served, served.submit(spec())["id"])


def test_a_job_whose_workers_are_killed_ends_bit_identical(site: Site, calm: str) -> None:
    with site.serve() as client:
        with site.worker("first") as worker:
            job = client.submit(spec())["id"]
            until(partial(progress, client, job, "search"))
            site.kill(worker, job)
        with site.worker("second") as worker:
            until(partial(progress, client, job, "finish"))
            site.kill(worker, job)
        with site.worker("third"):
            assert finished(client, job) == calm
        events = all_events(client, job)
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    resumed = {
        attempt: next(e for e in events if e["attempt"] == attempt and e["kind"] == "progress") for attempt in (2, 3)
    }
    assert resumed[2]["data"]["phase"] == "search"
    assert resumed[2]["step"] > 1
    assert resumed[3]["data"]["phase"] == "finish"
    assert resumed[3]["step"] > 1
    assert sum(event["kind"] == "derived" for event in events) == 1


def test_a_job_whose_worker_is_killed_in_the_warm_start_ends_bit_identical(sqlite_site: Site) -> None:
    search = {"epochs": 5, "warmup_epochs": 4, "batch_size": 64, "warm_start": "variational-dropout"}
    document = {
        **spec(search=search, finish=SHORT, choices={"sparsity": {"levels": [0, 0.5]}}),
        "constraints": [{"metric": "size", "max_bytes": 20_000}],
    }  # fmt: skip
    with sqlite_site.serve() as client:
        with sqlite_site.worker("first") as worker:
            calm = finished(client, client.submit(document)["id"])
            job = client.submit(document)["id"]
            until(partial(progress, client, job, "warm-start"))
            sqlite_site.kill(worker, job)
        with sqlite_site.worker("second"):
            assert finished(client, job) == calm
        resumed = next(e for e in all_events(client, job) if e["attempt"] == 2 and e["kind"] == "progress")
    assert resumed["data"]["phase"] == "warm-start"
    assert resumed["step"] > 1


def test_a_job_waits_for_no_worker_that_is_busy(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTNAS_REQUEUE_SECONDS", "3600")  # who hears of a job hears of it once
    with site.serve() as client, site.worker("busy"):
        long = client.submit(spec(search={"epochs": 1000}))["id"]
        until(lambda: progress(client, long, "search"))
        brief = client.submit(spec(**BRIEF))["id"]
        with site.worker("free"):
            finished(client, brief)
        assert client.job(long)["state"] == "running"
        client.cancel(long)


def test_sigterm_pause_and_cancel_take_effect_at_the_next_step(site: Site, calm: str) -> None:
    with site.serve() as client:
        with site.worker("drained") as worker:
            job = client.submit(spec())["id"]
            until(lambda: progress(client, job, "search"))
            worker.terminate()
            assert worker.wait(timeout=120) == 0
        assert client.job(job)["state"] == "queued"
        with site.worker("paused"):
            until(lambda: client.job(job)["state"] == "running")
            client.pause(job)
            until(lambda: client.job(job)["state"] == "paused")
            client.resume(job)
            assert finished(client, job) == calm
            unwanted = client.submit(spec())["id"]
            until(lambda: progress(client, unwanted, "search"))
            client.cancel(unwanted)
            until(lambda: client.job(unwanted)["state"] == "cancelled")
            assert list(client.job_artifacts(unwanted)) == []


def test_both_stores_give_the_same_architecture_and_weights(sqlite_site: Site, postgres_site: Site) -> None:
    found = []
    for site in (sqlite_site, postgres_site):
        with site.serve() as client, site.worker("worker"):
            job = client.submit(spec(**BRIEF))["id"]
            first = (finished(client, job), client.architecture(str(client.job(job)["architecture"]))["candidates"])
            search = {**spec(**BRIEF)["search"], "pretrained": job}
            second = finished(client, client.submit(spec(**{**BRIEF, "search": search}))["id"])
            assert second != first[0]  # it started from what the first one learnt
            found.append((first, second))
    assert found[0] == found[1]


def test_a_job_that_is_repeated_comes_out_the_same_whatever_came_since(sqlite_site: Site) -> None:
    """One of few bits: it ships a float file too, and says why there is none for TFLite."""
    choices = Choices(precision=("w4a4",))
    few_bits = tiny_space().offering(choices)
    with sqlite_site.serve() as client, sqlite_site.worker("worker"):
        table = client.upload_table("board", made_up_table(few_bits), media_type="text/csv")["id"]
        constraint = {"metric": "latency", "device": "board", "table": table, "max_us": 60.0}
        job = client.submit(spec(**BRIEF, constraints=[constraint], choices=choices.model_dump()))["id"]
        until(lambda: client.job(job)["state"] == "succeeded")
        notes = [event["data"]["detail"] for event in all_events(client, job) if event["kind"] == "note"]
        names = {artifact["name"] for artifact in client.job_artifacts(job)}
        client.upload_table("board", made_up_table(few_bits, scale=2), media_type="text/csv")
        command = [*PROGRAM, "jobs", "reproduce", job, "--json"]
        environ = {**sqlite_site.environ, "LUTNAS_URL": client.url}
        told = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    verdict = json.loads(told.stdout.splitlines()[-1])
    assert (verdict["same"], verdict["reproduces"], verdict["environment"]) == (True, job, [])
    assert len(verdict["files"]) == 4
    assert ("model-float.onnx" in names, "model.tflite" in names) == (True, False)
    (note,) = notes
    assert note.startswith("model.tflite was not written: layers.")


def test_another_budget_gives_another_network_and_each_holds_its_own(served: Client) -> None:
    networks = []
    for max_us in (12.0, 60.0):
        constraint = {"metric": "latency", "device": "board", "max_us": max_us}
        job = served.submit(spec(**BRIEF, constraints=[constraint]))["id"]
        weights_of = finished(served, job)
        architecture = served.architecture(str(served.job(job)["architecture"]))
        assert architecture["predicted_latency_us"]["board"] <= max_us
        networks.append((architecture["candidates"], weights_of))
    assert networks[0][0] != networks[1][0]


def test_a_job_that_fails_says_why_and_leaves_nothing(served: Client) -> None:
    mini = preset("fbnet-mini")
    served.create_device("larger")
    served.upload_table("larger", made_up_table(mini, device="larger"), media_type="text/csv", space=mini.name)
    constraint = {"metric": "latency", "device": "larger", "max_us": 1e4}
    job = served.submit(spec(space="fbnet-mini", dataset="fashion-mnist", constraints=[constraint]))["id"]
    until(lambda: served.job(job)["state"] == "failed")
    error = served.job(job)["error"]
    assert error is not None
    assert error["type"] == "urn:lutnas:problem:dataset-out-of-reach"
    assert "LUTNAS_FASHION_MNIST" in error["detail"]
    assert list(served.job_artifacts(job)) == []


def test_a_job_that_takes_more_than_it_may_fails_at_a_step_and_keeps_its_log(served: Client) -> None:
    cases: dict[str, dict[str, float]] = {
        "time-limit": {"max_seconds": 0.5}, "memory-limit": {"max_memory_bytes": 2**20},
    }  # fmt: skip
    for slug, limits in cases.items():
        job = served.submit(spec(limits=limits))["id"]
        until(partial(has_failed, served, job))
        error, (attempt,) = served.job(job)["error"], served.attempts(job)
        assert error is not None
        assert error["type"] == f"urn:lutnas:problem:{slug}"
        assert attempt["problem"] == error
        assert attempt["traceback"] is not None
        assert next(iter(limits)) in served.log(job, 1)


def test_the_report_and_the_onnx_file_download_and_agree(served: Client, tmp_path: Path) -> None:
    job = served.submit(spec(**BRIEF))["id"]
    finished(served, job)
    by_name = {artifact["name"]: artifact for artifact in served.job_artifacts(job)}
    report = json.loads(served.download(by_name["report.json"], tmp_path).read_text())
    architecture = served.architecture(str(served.job(job)["architecture"]))
    assert report["test_accuracy"] == architecture["test_accuracy"]
    assert report["test_accuracy"] > 0.5
    total = sum(row["latency_us"] for row in report["layers"] + report["fixed"])
    assert abs(total - architecture["predicted_latency_us"]["board"]) < 1e-6
    assert report["environment"]["threads"] == 1
    others = {name: artifact for name, artifact in by_name.items() if not name.startswith("report.")}
    assert {file["name"]: file["sha256"] for file in report["files"]} == {n: a["sha256"] for n, a in others.items()}


def test_a_job_is_compared_within_its_budgets_and_the_report_has_all_rows(served: Client, tmp_path: Path) -> None:
    compared = {"baselines": ["random", "uniform-magnitude"], "comparison": {"points": 2, "seeds": 1}}
    job = served.submit(spec(**BRIEF, **compared))["id"]
    finished(served, job)
    by_name = {artifact["name"]: artifact for artifact in served.job_artifacts(job)}
    report = json.loads(served.download(by_name["report.json"], tmp_path).read_text())
    steps = [event["data"] for event in served.events(job) if event["data"].get("phase") == "compare"]
    forecast = served.job(job)["forecast"]
    methods = ("search", "random", "uniform-magnitude")
    rows = {(row["method"], row["share"]): row for row in report["comparison"]}
    assert set(rows) == {(method, share) for method in methods for share in (1.0, 0.85)}
    assert rows["search", 1.0]["accuracy"]["mean"] == report["test_accuracy"]
    assert all(row["predicted"]["board"] <= 60.0 for row in rows.values())
    assert (steps[-1]["network"], steps[-1]["networks"]) == (6, 6)
    assert forecast is not None
    assert forecast["compare_steps"] == steps[-1]["steps"]


SHORT = {"epochs": 1, "batch_size": 256}
FIVE: dict[str, tuple[dict[str, Any], tuple[str, ...], int]] = {
    "differentiable": (
        {"search": {"epochs": 2, "warmup_epochs": 1, "batch_size": 256, "evidence_samples": 16}, "finalists": 4},
        ("hawq", "magnitude-global", "hard-concrete", "lottery-ticket", "scratch"),
        8000,
    ),
    "hawq": (
        {"search": {}, "hawq": {"epochs": 1, "vectors": 4, "pictures": 64}},
        ("random", "magnitude-gradient", "variational-dropout", "uniform-int8", "scratch-2x"),
        20_000,  # the blocks that are given are of the greatest width
    ),
}


def test_a_job_of_strategy_hawq_has_one_report_with_a_row_for_each_of_five_baselines(
    served: Client, tmp_path: Path
) -> None:
    """Under a size alone, so that no table has to know every precision and level of zeros. That of a search is in
    test_shared_comparison.
    """
    given, baselines, most = FIVE["hawq"]
    choices = {"precision": ["fp32", "w8a8"], "width": [1, 0.5], "sparsity": {"levels": [0, 0.5]}}
    document = {
        **spec(**given), "strategy": "hawq", "finish": SHORT, "choices": choices, "baselines": baselines,
        "constraints": [{"metric": "size", "max_bytes": most}],
    }  # fmt: skip
    job = served.submit(document)["id"]
    until(lambda: served.job(job)["state"] in ("succeeded", "failed"))
    assert served.job(job)["state"] == "succeeded", served.job(job)
    by_name = {artifact["name"]: artifact for artifact in served.job_artifacts(job)}
    report = json.loads(served.download(by_name["report.json"], tmp_path).read_text())
    steps = [event["data"] for event in served.events(job) if event["data"].get("phase") == "compare"]
    forecast = served.job(job)["forecast"]
    rows = {row["method"]: row for row in report["comparison"]}
    assert set(rows) == {"search", *baselines}
    assert all(row["predicted"]["size"] <= most for row in rows.values())
    assert rows["search"]["accuracy"]["mean"] == report["test_accuracy"]
    assert forecast is not None
    assert forecast["compare_steps"] == steps[-1]["steps"] == steps[-1]["step"]
