"""`lutnas jobs` and `lutnas architectures`, with the tests in the part of a worker, by the worker's own door."""

import contextlib
import json
import random
import signal
import subprocess
from pathlib import Path
from typing import Any

from api.artifacts.store import StoredFile
from api.db.session import Database
from api.jobs.events import append
from api.jobs.lease import fail, keep_log
from api.jobs.models import SearchJob
from api.jobs.sharing import NewNetwork, share_out
from lutnas.cli.watch import View
from search.evidence import Evidence
from search.space import preset
from tests.lutnas.conftest import Service
from tests.lutnas.part_of_a_worker import FILES, finish, step, submit, take


def some_evidence() -> Evidence:
    rng, space = random.Random(0), preset("fbnet-mini")
    worth = tuple(tuple(rng.gauss(0, 1) for _ in layer.choices) for layer in space.layers)
    return Evidence(space=space, worth=worth, samples=9, rank_correlation=0.8)


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_job_is_submitted_listed_shown_and_cancelled(service: Service, spec: dict[str, Any]) -> None:
    job = submit(service, {**spec, "labels": {"team": "cam"}})
    assert job["state"] == "queued"
    assert service.data("jobs", "show", job["id"])["spec"]["space"] == "fbnet-mini"
    for options in (["--label", "team=cam"], ["--state", "queued"], []):
        assert job["id"] in [known["id"] for known in service.data("jobs", "list", *options)]
    assert job["id"] in service.lutnas("jobs", "list").stdout
    assert service.data("jobs", "cancel", job["id"])["state"] == "cancelled"
    assert job["id"] not in [known["id"] for known in service.data("jobs", "list", "--state", "queued")]


def test_the_same_key_gives_the_first_job_back(service: Service, spec: dict[str, Any]) -> None:
    first, second = submit(service, spec, "--key", "once"), submit(service, spec, "--key", "once")
    assert first["id"] == second["id"]


def test_a_queued_job_pauses_and_goes_on(service: Service, spec: dict[str, Any]) -> None:
    job = submit(service, spec)
    assert service.data("jobs", "pause", job["id"])["state"] == "paused"
    assert service.data("jobs", "resume", job["id"])["state"] == "queued"


def test_events_of_many_pages_are_told_once_each(service: Service, database: Database, spec: dict[str, Any]) -> None:
    job = submit(service, spec)["id"]
    with database.write() as session:
        row = session.get_one(SearchJob, job)
        for number in range(230):
            append(session, row, "note", {"text": f"number {number}"})
    with service.client() as client:
        ids = [event["id"] for event in client.told(job)]
        behind = [event["id"] for event in client.told(job, after=ids[104])]
    assert ids == sorted(set(ids))
    assert len(ids) == 231
    assert behind == ids[105:]


def test_validation_tells_what_can_be_reached(service: Service, spec: dict[str, Any]) -> None:
    answer = service.data("jobs", "validate", "-", input=json.dumps(spec))
    assert answer["valid"]
    (reachable,) = answer["reachable"]
    assert 0 < reachable["min_us"] < reachable["max_us"]
    assert "board" in service.lutnas("jobs", "validate", "-", input=json.dumps(spec)).stdout


def test_validation_tells_every_metric_and_what_the_job_would_take(service: Service, spec: dict[str, Any]) -> None:
    spec["constraints"] += [{"metric": "size", "max_bytes": 3e5}, {"metric": "memory", "max_bytes": 2e5}]
    shown = service.lutnas("jobs", "validate", "-", input=json.dumps(spec)).stdout
    for words in ("board", "size", "memory", " us", " bytes", "expected: ", "GB of memory", "multiply-adds a second"):
        assert words in shown


def test_new_constraints_are_answered_by_a_finished_job(
    service: Service, database: Database, spec: dict[str, Any]
) -> None:
    job = submit(service, spec)["id"]
    lease = take(database, job)
    finish(service, database, lease, files={"evidence.json": some_evidence().model_dump_json().encode()})
    limits = ["--device", "board", "--max-us", "2000", "--max-bytes", "300000"]
    found = service.data("jobs", "derive", job, *limits, "--count", "3")["architectures"]
    assert len(found) == 3
    assert all(one["predicted"][0]["predicted_us"] <= 2000 for one in found)
    with service.client() as client:
        constraints = [{"device": "board", "max_us": 2000}, {"metric": "size", "max_bytes": 300000}]
        assert client.derive(job, constraints, count=3)["architectures"] == found
    front = service.data("jobs", "derive", job, *limits, "--front")["architectures"]
    assert front[-1] == found[0]
    shown = service.lutnas("jobs", "derive", job, *limits).stdout
    for words in ("worth", "board", "size", found[0]["candidates"][0], "rank correlation 0.80"):
        assert words in shown


def test_new_constraints_that_cannot_be_are_refused(service: Service, database: Database, spec: dict[str, Any]) -> None:
    job = submit(service, spec)["id"]
    early = service.lutnas("jobs", "derive", job, "--max-macs", "1e9")
    assert (early.exit_code, "when it has succeeded" in early.stderr) == (1, True)
    for options, named in (
        ([], "--max-us"), (["--max-us", "3"], "--device"), (["--max-macs", "9", "--front", "--count", "2"], "--count"),
        (["--max-macs", "9", "--device", "board"], "--device"), (["--max-macs", "9", "--table", "tbl_1"], "--table"),
    ):  # fmt: skip
        done = service.lutnas("jobs", "derive", job, *options)
        assert (done.exit_code, named in done.stderr) == (2, True)
    finish(service, database, take(database, job), files={"evidence.json": some_evidence().model_dump_json().encode()})
    low = service.lutnas("jobs", "derive", job, "--max-macs", "9")
    assert (low.exit_code, "constraints[0].max" in low.stderr) == (1, True)


def test_a_job_that_would_be_refused_is_exit_code_1_with_the_field(service: Service, spec: dict[str, Any]) -> None:
    spec["constraints"][0]["device"] = "nobody"
    assert not service.data("jobs", "validate", "-", input=json.dumps(spec), code=1)["valid"]
    done = service.lutnas("jobs", "submit", "-", input=json.dumps(spec))
    assert done.exit_code == 1
    assert "constraints[0].device" in done.stderr


def test_watching_a_job_that_succeeds_prints_every_event_and_the_job(
    service: Service, database: Database, spec: dict[str, Any]
) -> None:
    job = submit(service, spec)
    watching = service.process("jobs", "watch", job["id"], "--json")
    lease = take(database, job["id"])
    for number in range(1, 4):
        step(database, lease, number)
    finish(service, database, lease)
    out, said = watching.communicate(timeout=60)
    assert watching.returncode == 0, said
    *events, ended = lines(out)
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    assert [event["kind"] for event in events][-5:] == ["state", "progress", "progress", "progress", "state"]
    assert (ended["id"], ended["state"]) == (job["id"], "succeeded")


def test_watching_without_a_terminal_says_phase_budget_and_time_left(
    service: Service, database: Database, spec: dict[str, Any]
) -> None:
    job = submit(service, spec)
    lease = take(database, job["id"])
    step(database, lease, 3)
    finish(service, database, lease)
    done = service.lutnas("jobs", "watch", job["id"])
    assert done.exit_code == 0
    expected = (
        "searching  step 3/10  1 min 05 s left  expected latency 500000.0 of 1000000.0 us on board (50%)  epoch 3"
    )
    assert expected in done.stderr
    assert done.stdout.strip() == service.data("jobs", "show", job["id"])["architecture"]


def test_watching_a_comparison_says_which_of_how_many_networks_it_is(service: Service, spec: dict[str, Any]) -> None:
    view, told = View(submit(service, spec)), list[str | None]()
    for number, network in enumerate((1, 3, 3, 4)):
        which = {"network": network, "networks": 12, "method": "random", "share": 0.85, "seed": 0}
        data = {"phase": "compare", "step": number, "steps": 40, **which, "epoch": 1}
        told.append(view.take({"id": 1, "attempt": 1, "step": number, "kind": "progress", "data": data, "at": ""}))
    assert told[1] == "comparing  3 of 12 (random at 0.85)  step 1/40  epoch 1"
    assert [line is None for line in told] == [False, False, True, False]


def test_what_a_device_took_is_said(service: Service, spec: dict[str, Any]) -> None:
    data = {"phase": "measure", "step": 1, "steps": 8, "measured": {"board": 123.46}, "held": True}
    view = View(submit(service, spec))
    said = view.take({"id": 1, "attempt": 1, "step": 1, "kind": "progress", "data": data, "at": ""})
    assert said == "measuring the best  step 1/8  measured latency 123.5 us on board"


def test_two_budgets_of_one_device_are_told_apart_by_their_tables(service: Service, spec: dict[str, Any]) -> None:
    job = submit(service, spec)
    job["spec"]["constraints"] = [
        {"metric": "latency", "device": "board", "table": table, "max_us": most}
        for table, most in (("tbl_1", 100.0), ("tbl_2", 50.0))
    ]
    data = {"phase": "search", "expected_latency_us": {"board (tbl_1)": 50.0, "board (tbl_2)": 50.0}}
    view = View(job)
    view.take({"id": 1, "attempt": 1, "step": 1, "kind": "progress", "data": data, "at": ""})
    assert list(view.measures()) == [
        "expected latency 50.0 of 100.0 us on board (tbl_1) (50%)",
        "expected latency 50.0 of 50.0 us on board (tbl_2) (100%)",
    ]


def test_events_up_to_a_number_are_left_out(service: Service, database: Database, spec: dict[str, Any]) -> None:
    job = submit(service, spec)
    finish(service, database, take(database, job["id"]))
    everything = lines(service.lutnas("jobs", "watch", job["id"], "--json").stdout)
    last = everything[-2]["id"]
    assert (
        lines(service.lutnas("jobs", "watch", job["id"], "--json", "--after", str(last - 1)).stdout) == everything[-2:]
    )
    assert lines(service.lutnas("jobs", "watch", job["id"], "--json", "--after", str(last)).stdout) == everything[-1:]


def test_a_job_that_fails_is_exit_code_1_with_its_reason(
    service: Service, database: Database, spec: dict[str, Any]
) -> None:
    job = submit(service, spec)
    lease = take(database, job["id"])
    with database.write() as session:
        fail(
            session,
            lease,
            problem={"type": "urn:lutnas:problem:diverged", "title": "Diverged", "detail": "loss is NaN"},
        )
    done = service.lutnas("jobs", "watch", job["id"])
    assert done.exit_code == 1
    assert "error: the job failed: loss is NaN" in done.stderr


def test_a_job_that_is_cancelled_while_submit_watches_is_exit_code_3(
    service: Service, spec: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "job.json"
    file.write_text(json.dumps(spec))
    watching = service.process("jobs", "submit", str(file), "--watch", "--json")
    assert watching.stdout is not None
    job = json.loads(watching.stdout.readline())
    service.data("jobs", "cancel", job["id"])
    out, said = watching.communicate(timeout=60)
    assert watching.returncode == 3, said
    *events, ended = lines(out)
    assert events[-1]["data"]["state"] == ended["state"] == "cancelled"


def test_a_job_that_is_paused_ends_the_watching_with_exit_code_5(
    service: Service, spec: dict[str, Any], tmp_path: Path
) -> None:
    job = submit(service, spec)
    service.data("jobs", "pause", job["id"])
    paused = service.lutnas("jobs", "watch", job["id"])
    assert paused.exit_code == 5
    assert "paused: paused by its user" in paused.stderr
    assert f"`lutnas jobs resume {job['id']}` takes a paused job up again" in paused.stderr
    service.data("jobs", "resume", job["id"])
    service.data("jobs", "pause", job["id"])
    again = lines(service.lutnas("jobs", "watch", job["id"], "--json").stdout)
    assert [one["data"]["state"] for one in again[:-1]] == ["queued", "paused", "queued", "paused"]
    behind = service.lutnas("jobs", "watch", job["id"], "--json", "--after", str(again[-2]["id"]))
    assert (behind.exit_code, [one["state"] for one in lines(behind.stdout)]) == (5, ["paused"])
    service.data("jobs", "resume", job["id"])
    service.data("jobs", "cancel", job["id"])
    assert service.lutnas("jobs", "watch", job["id"]).exit_code == 3  # it was paused, and went on


def test_ctrl_c_ends_the_watching_and_not_the_job(service: Service, spec: dict[str, Any]) -> None:
    job = submit(service, spec)
    watching = service.process("jobs", "watch", job["id"], "--json")
    assert watching.stdout is not None
    assert json.loads(watching.stdout.readline())["kind"] == "state"  # it watches by now
    for _ in range(3):  # Python drops what a signal raises inside a finalizer: a person presses again
        watching.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            _, said = watching.communicate(timeout=20)
            break
    else:
        watching.kill()
    assert watching.wait() == 130
    assert f"the job goes on: `lutnas jobs watch {job['id']}`" in said
    assert service.data("jobs", "show", job["id"])["state"] == "queued"


def test_an_architecture_is_listed_shown_and_downloaded(
    service: Service, database: Database, spec: dict[str, Any], tmp_path: Path
) -> None:
    job = submit(service, spec)
    finish(service, database, take(database, job["id"]))
    name = service.data("jobs", "show", job["id"])["architecture"]
    assert name in [known["id"] for known in service.data("architectures", "list")]
    shown = service.data("architectures", "show", name)
    assert shown["predicted_latency_us"] == {"board": 70.0}
    people = service.lutnas("architectures", "show", name).stdout
    for words in ("k3_e1", "precision", "all, on board", "200,000 bytes"):
        assert words in people
    done = service.data("architectures", "download", name, "--output", str(tmp_path / "all"))
    assert {Path(file).name: Path(file).read_bytes() for file in done["files"]} == FILES
    one = service.data("architectures", "download", name, "--output", str(tmp_path / "one"), "--only", "model.onnx")
    assert [Path(file).name for file in one["files"]] == ["model.onnx"]


def test_a_file_that_an_architecture_has_not_is_wrong_usage(
    service: Service, database: Database, spec: dict[str, Any]
) -> None:
    job = submit(service, spec)
    finish(service, database, take(database, job["id"]))
    name = service.data("jobs", "show", job["id"])["architecture"]
    done = service.lutnas("architectures", "download", name, "--only", "model.pb")
    assert done.exit_code == 2
    assert "'model.pb' is none of " in done.stderr


def test_attempts_and_the_log_of_the_last_one_are_shown(
    service: Service, database: Database, spec: dict[str, Any]
) -> None:
    job = submit(service, spec)["id"]
    early = service.lutnas("jobs", "log", job)
    assert (early.exit_code, "no worker has taken" in early.stderr) == (1, True)
    lease = take(database, job)
    with database.write() as session:
        keep_log(session, lease, "dividing\n")
        fail(session, lease, problem={"type": "t", "detail": "by zero"}, traceback="ZeroDivisionError\n")
    (attempt,) = service.data("jobs", "attempts", job)
    assert (attempt["ended"], attempt["traceback"]) == ("failed", "ZeroDivisionError\n")
    shown = service.lutnas("jobs", "attempts", job).stdout
    for words in ("failed", "by zero", "ZeroDivisionError"):
        assert words in shown
    assert service.lutnas("jobs", "log", job).stdout == "dividing\n"
    assert service.data("jobs", "log", job, "--attempt", "1")["log"] == "dividing\n"


def test_the_networks_of_a_comparison_are_listed_with_who_trains_them(
    service: Service, database: Database, spec: dict[str, Any], tmp_path: Path
) -> None:
    job = submit(service, spec)["id"]
    assert "nothing is compared yet" in service.lutnas("jobs", "comparison", job).stderr
    lease = take(database, job)
    result = {"before": 0.5, "after": 0.75, "predicted": {"board": 80.0}}
    networks = [
        NewNetwork(method=method, share=0.85, seed=0, steps=10, result=done)
        for method, done in (("search", result), ("random", None))
    ]
    checkpoint = StoredFile("checkpoint", f"jobs/{job}/1/checkpoint", 1, "0" * 64, "application/octet-stream")
    with database.write() as session:
        share_out(session, lease, networks, step=1, checkpoint=checkpoint)
    first, second = service.data("jobs", "comparison", job)
    assert (first["state"], first["after"], first["predicted"]) == ("done", 0.75, {"board": 80.0})
    assert (second["state"], second["worker"], second["after"]) == ("queued", None, None)
    shown = service.lutnas("jobs", "comparison", job).stdout.splitlines()
    assert shown[1].split() == ["1", "search", "0.85", "0", "done", lease.worker, "0", "10/10", "0.5000", "0.7500"]


def test_watching_a_comparison_tells_how_many_workers_share_it(service: Service, spec: dict[str, Any]) -> None:
    view = View(submit(service, spec))
    data = {"phase": "compare", "step": 5, "steps": 10, "workers": 3}
    told = view.take({"id": 1, "kind": "progress", "step": 5, "attempt": 1, "at": "", "data": data})
    assert told == "comparing  step 5/10  on 3 workers"
