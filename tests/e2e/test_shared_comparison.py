"""Workers without a job share the comparison of another's: the same rows to the byte, whoever is killed or stopped."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import or_, update

from api.artifacts.store import ArtifactStore
from api.db.session import Database
from api.jobs.models import ComparedNetwork
from api.jobs.retention import collect
from api.settings import Settings
from lutnas.client import Client
from tests.e2e.conftest import BRIEF, LONG_SECONDS, PROGRAM, Site, finished, spec, until
from tests.e2e.test_survival import FIVE, SHORT

pytestmark = pytest.mark.timeout(LONG_SECONDS)

Worker = subprocess.Popen[bytes]
COMPARED: dict[str, Any] = {
    "search": {"epochs": 1, "warmup_epochs": 0, "batch_size": 256, "evidence_samples": 16}, "finalists": 4,
    "finish": {"epochs": 3, "batch_size": 64}, "baselines": ["random"], "comparison": {"points": 2, "seeds": 3},
}  # fmt: skip


@pytest.fixture(scope="module")
def calm(served: Client, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What comes of the job on one worker that nobody disturbs."""
    return came(served, served.submit(spec(**COMPARED))["id"], tmp_path_factory.mktemp("calm"))


def report_of(client: Client, job: str, folder: Path) -> dict[str, Any]:
    by_name = {artifact["name"]: artifact for artifact in client.job_artifacts(job)}
    found: dict[str, Any] = json.loads(client.download(by_name["report.json"], folder / job).read_text())
    return found


def came(client: Client, job: str, folder: Path) -> str:
    """What a job that is waited for came to: its weights, and its rows as text."""
    (folder / job).mkdir()
    weights = finished(client, job)
    rows = report_of(client, job, folder)["comparison"]
    assert {network["state"] for network in client.comparison(job)} == {"done"}
    return json.dumps([weights, rows])


def warm_up(client: Client, count: int) -> None:
    """Until so many workers have worked: each loads torch with its first job, and would come late to a comparison."""
    warm = set[str]()

    def all_are_warm() -> bool:
        for job in [client.submit(spec(**BRIEF))["id"] for _ in range(count)]:
            finished(client, job)
            warm.update(_process(attempt["worker"]) for attempt in client.attempts(job))
        return len(warm) == count

    until(all_are_warm)


def _process(worker: str) -> str:
    """The process id in a worker's name."""
    return worker.split(":")[1]


def shared(client: Client, job: str, count: int = 2) -> bool:
    """Whether so many workers are at its networks, or more."""
    return len({network["worker"] for network in client.comparison(job) if network["state"] == "running"}) >= count


def own(client: Client, job: str, workers: list[Worker]) -> Worker:
    """The one whose attempt the job's newest is."""
    process = _process(list(client.attempts(job))[-1]["worker"])
    (found,) = [worker for worker in workers if process in children(worker)]
    return found


def aiding(client: Client, job: str, workers: list[Worker]) -> Worker | None:
    """One that takes part in another's job, stopped in the middle of a network; None where there is none."""
    ours = own(client, job, workers)
    for worker in workers:
        if worker is ours or not _is_at_one(client, job, worker):
            continue
        _signal(worker, signal.SIGSTOP)
        if _is_at_one(client, job, worker):
            return worker
        _signal(worker, signal.SIGCONT)  # it was done meanwhile
    return None


def _is_at_one(client: Client, job: str, worker: Worker) -> bool:
    running = {_process(n["worker"]) for n in client.comparison(job) if n["state"] == "running" and n["worker"]}
    return bool(running & {*children(worker)})


def _signal(worker: Worker, which: signal.Signals) -> None:
    for process in children(worker):
        os.kill(int(process), which)


def children(worker: Worker) -> list[str]:
    """Process ids of a worker and of what it began."""
    task = Path(f"/proc/{worker.pid}/task/{worker.pid}/children")
    return [str(worker.pid), *task.read_text(encoding="utf-8").split()] if task.exists() else []


def kill_aiding(site: Site, worker: Worker, job: str) -> None:
    """SIGKILL; the lease of its network then runs out at once."""
    its = or_(*(ComparedNetwork.worker.contains(f":{process}:") for process in children(worker)))
    worker.kill()
    worker.wait()
    running = (ComparedNetwork.job_id == job) & (ComparedNetwork.state == "running") & its
    database = Database(site.database_url)
    with database.write() as session:
        expired = session.execute(update(ComparedNetwork).where(running).values(lease_expires_us=1))
        assert expired.rowcount == 1  # type: ignore[attr-defined]  # of a CursorResult
    database.close()


def checkpoints_left_behind(site: Site) -> list[str]:
    """Those that stay where files without a row are collected: who is killed before the row leaves a file."""
    settings = Settings(home=site.folder / "home", database_url=site.database_url, keep_unnamed_seconds=1e-6)
    database, store = Database(site.database_url), ArtifactStore(settings.artifacts)
    collect(database, store, settings)
    database.close()
    return [file.path for file in store.found(half_written=True) if "checkpoint" in file.path]


def test_workers_without_a_job_share_a_comparison_and_its_rows_are_those_of_one_worker(site: Site, calm: str) -> None:
    with site.serve() as client, site.worker("first"), site.worker("second"):
        warm_up(client, 2)
        job = client.submit(spec(**COMPARED))["id"]
        assert came(client, job, site.folder) == calm
        networks = list(client.comparison(job))
        steps = [event for event in client.events(job) if event["data"].get("phase") == "compare"]
    assert len({network["worker"] for network in networks}) == 2
    assert all(network["environment"] == networks[0]["environment"] for network in networks)
    assert {event["attempt"] for event in steps} == {1}
    assert [event["step"] for event in steps] == sorted(event["step"] for event in steps)
    assert steps[-1]["step"] == steps[-1]["data"]["steps"] == sum(network["steps"] for network in networks)
    assert max(event["data"].get("workers", 1) for event in steps) == 2


def test_rows_are_the_same_when_one_who_takes_part_is_killed_and_then_the_jobs_own_worker(
    site: Site, calm: str
) -> None:
    with site.serve() as client, site.worker("a") as a, site.worker("b") as b, site.worker("c") as c:
        workers = [a, b, c]
        warm_up(client, 3)
        job = client.submit(spec(**COMPARED))["id"]
        other = until(lambda: shared(client, job) and aiding(client, job, workers))
        kill_aiding(site, other, job)
        site.kill(own(client, job, workers), job)
        assert came(client, job, site.folder) == calm
        assert client.job(job)["attempt"] == 2
        assert sum(network["lost"] for network in client.comparison(job)) == 1
    assert not checkpoints_left_behind(site)


def test_rows_are_the_same_after_a_pause_and_when_workers_are_told_to_stop(sqlite_site: Site, calm: str) -> None:
    with sqlite_site.serve() as client, sqlite_site.worker("a") as a, sqlite_site.worker("b") as b:
        warm_up(client, 2)
        job = client.submit(spec(**COMPARED))["id"]
        until(lambda: shared(client, job))
        client.pause(job)
        until(lambda: client.job(job)["state"] == "paused")
        assert {network["state"] for network in client.comparison(job)} <= {"queued", "done"}
        client.resume(job)
        until(lambda: shared(client, job, 1))  # on a busy machine the rest may be done before another comes
        ours = own(client, job, [a, b])
        ours.terminate()
        assert ours.wait(timeout=120) == 0
        assert came(client, job, sqlite_site.folder) == calm
        assert sum(network["lost"] for network in client.comparison(job)) == 0


def test_a_cancel_reaches_all_who_take_part(sqlite_site: Site) -> None:
    with sqlite_site.serve() as client, sqlite_site.worker("a"), sqlite_site.worker("b"):
        job = client.submit(spec(**{**COMPARED, "finish": {"epochs": 20, "batch_size": 64}}))["id"]
        until(lambda: shared(client, job))
        client.cancel(job)
        until(lambda: client.job(job)["state"] == "cancelled")
        assert "running" not in {network["state"] for network in client.comparison(job)}
        assert list(client.job_artifacts(job)) == []
        following = [client.submit(spec(**BRIEF))["id"] for _ in range(2)]
        assert len({finished(client, one) for one in following}) == 1


def test_one_report_has_the_search_and_five_baselines_in_one_budget_with_three_seeds_each(sqlite_site: Site) -> None:
    given, baselines, most = FIVE["differentiable"]
    choices = {"precision": ["fp32", "w8a8"], "width": [1, 0.5], "sparsity": {"levels": [0, 0.5]}}
    document = {
        **spec(**given), "finish": SHORT, "choices": choices, "baselines": baselines, "comparison": {"seeds": 3},
        "constraints": [{"metric": "size", "max_bytes": most}],
    }  # fmt: skip
    with sqlite_site.serve() as client, sqlite_site.worker("first"), sqlite_site.worker("second"):
        job = client.submit(document)["id"]
        until(lambda: client.job(job)["state"] in ("succeeded", "failed"))
        assert client.job(job)["state"] == "succeeded", client.job(job)
        (sqlite_site.folder / job).mkdir()
        report = report_of(client, job, sqlite_site.folder)
        networks = list(client.comparison(job))
        steps = [event["data"] for event in client.events(job) if event["data"].get("phase") == "compare"]
        forecast = client.job(job)["forecast"]
        command = [*PROGRAM, "jobs", "comparison", job]
        environ = {**os.environ, **sqlite_site.environ, "LUTNAS_URL": client.url, "COLUMNS": "200"}
        shown = subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout
    assert forecast is not None
    assert forecast["compare_steps"] == steps[-1]["steps"] == steps[-1]["step"]
    methods = ("search", *baselines)
    assert [row["method"] for row in report["comparison"]] == ["search", *sorted(baselines)]
    after: dict[tuple[str, int], float] = {}
    for row in report["comparison"]:
        assert [run["seed"] for run in row["runs"]] == [0, 1, 2]
        assert all(run["predicted"]["size"] <= most for run in row["runs"])
        after |= {(run["method"], run["seed"]): run["after"] for run in row["runs"]}
    assert [(n["method"], n["seed"], n["after"]) for n in networks] == [
        (method, seed, after[method, seed]) for method in methods for seed in (0, 1, 2)
    ]
    assert after["search", 0] == report["test_accuracy"]
    assert all(line.split()[1] in methods for line in shown.splitlines()[1:])
    assert len(shown.splitlines()) == 1 + len(networks)
