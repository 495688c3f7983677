"""The log of a real service: one line an event, with ids and without secrets."""

import json
import logging
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.telemetry import logs
from api.telemetry.context import facts, learn, work
from tests.lutnas.test_serve import serving


def read(log: str) -> list[dict[str, Any]]:
    """Every line but those that are said to people as it starts."""
    return [json.loads(line) for line in log.splitlines() if not line.startswith(("lutnas listens", "the token lies"))]


def test_every_line_is_json_and_an_answer_is_found_by_its_request_id(tmp_path: Path) -> None:
    with serving(tmp_path, LUTNAS_LOG_FORMAT="json") as (process, ready):
        secret = Path(ready["token_file"]).read_text(encoding="utf-8").strip()
        headers = {"Authorization": f"Bearer {secret}", "X-Request-Id": "from-the-proxy"}
        token = httpx.get(f"{ready['address']}/v1/tokens/self", headers=headers).json()["id"]
        httpx.get(f"{ready['address']}/v1/devices/board?secret=word", headers=headers)
        httpx.get(f"{ready['address']}/healthz")
        process.terminate()
        _, said = process.communicate(timeout=60)
    lines = read(said)
    assert all({"time", "level", "logger", "message"} <= set(line) for line in lines)
    assert {"uvicorn.error", "api.access"} <= {line["logger"] for line in lines}
    answers = [line for line in lines if line["logger"] == "api.access"]
    assert [line["route"] for line in answers] == ["/v1/tokens/self", "/v1/devices/{device}"]  # no probes
    first = answers[0]
    assert (first["method"], first["status"], first["request_id"]) == ("GET", 200, "from-the-proxy")
    assert (first["token_id"], first["level"]) == (token, "INFO")
    assert first["milliseconds"] > 0
    assert first["time"].endswith("Z")
    assert secret not in said
    assert "secret=word" not in said


def test_the_level_is_a_setting_and_an_option_that_comes_before_it(tmp_path: Path) -> None:
    for options, level in (([], "warning"), (["--log-level", "warning"], "debug")):
        with serving(tmp_path, *options, LUTNAS_LOG_FORMAT="json", LUTNAS_LOG_LEVEL=level) as (process, ready):
            httpx.get(f"{ready['address']}/v1/devices")
            process.terminate()
            _, said = process.communicate(timeout=60)
        assert read(said) == []


def test_a_worker_joins_celerys_lines_to_ours(tmp_path: Path) -> None:
    with serving(tmp_path, "--worker", LUTNAS_LOG_FORMAT="json") as (process, _):
        assert process.stderr is not None
        lines = list[dict[str, Any]]()
        while not any(str(line["message"]).endswith("ready.") for line in lines):
            lines += read(process.stderr.readline())
    assert "celery.apps.worker" in {line["logger"] for line in lines}


def test_what_is_known_of_the_work_stands_in_text_too_and_ends_with_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        logs.configure("text", "info")
        with work(job_id="job_1"):
            with work(attempt=2):
                learn(step=3)
                logging.getLogger("workers.runner").info("goes on")
            assert facts() == {"job_id": "job_1"}
        logging.getLogger("workers.runner").info("idle")
        learn(nothing="kept")
        assert facts() == {}
    finally:
        logging.captureWarnings(False)
        root.handlers[:] = before
        root.setLevel(level)
    one, other = capsys.readouterr().err.splitlines()
    assert one.endswith("INFO    workers.runner: goes on [job_id=job_1 attempt=2 step=3]")
    assert other.endswith("INFO    workers.runner: idle")
