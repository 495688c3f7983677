"""The client when the service or the network misbehaves, against a real HTTP server that does."""

import hashlib
import importlib.util
import json
import os
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import lutnas
from lutnas import (
    ChecksumError,
    Client,
    ForeignAnswerError,
    LutnasError,
    ProblemError,
    UnreachableError,
    UnsendableError,
)
from lutnas.client.documents import Artifact
from lutnas.client.download import CHUNK
from lutnas.client.events import follow
from lutnas.client.transport import Transport
from tests.lutnas.scripted import PROBLEM, Answer, scripted

REFUSAL = {
    "type": "urn:lutnas:problem:invalid-table",
    "title": "Invalid table",
    "status": 422,
    "detail": "1 row cannot be taken.",
    "errors": [{"field": "latency_us", "row": 17, "detail": "-3.0 is negative"}],
    "count": 1,
}
DEVICE = {"id": "dev_1", "name": "pi4", "created_at": "2026-11-23T09:00:00Z"}


def as_json(document: Any, **more: Any) -> Answer:
    return Answer(json.dumps(document).encode(), **more)


def client_of(url: str, waits: list[float] | None = None) -> Client:
    return Client(url, "secret", sleep=(waits if waits is not None else []).append)


def test_the_package_gives_away_this_and_nothing_else() -> None:
    assert sorted(lutnas.__all__) == [
        "ChecksumError",
        "Client",
        "ForeignAnswerError",
        "LutnasError",
        "ProblemError",
        "UnreachableError",
        "UnsendableError",
    ]
    assert all(issubclass(getattr(lutnas, name), LutnasError) for name in lutnas.__all__ if name != "Client")


def test_the_token_goes_into_the_header_of_each_request() -> None:
    with scripted([as_json(DEVICE)]) as server, client_of(server.url) as client:
        client.device("pi4")
    assert server.asked[0].headers["authorization"] == "Bearer secret"


def test_a_refusal_carries_type_title_detail_errors_and_extensions() -> None:
    refusal = as_json(REFUSAL, status=422, media_type=PROBLEM)
    with scripted([refusal]) as server, client_of(server.url) as client, pytest.raises(ProblemError) as caught:
        client.device("pi4")
    error = caught.value
    assert (error.type, error.slug) == (REFUSAL["type"], "invalid-table")
    assert (error.title, error.status, error.detail) == ("Invalid table", 422, "1 row cannot be taken.")
    assert error.errors == REFUSAL["errors"]
    assert error.document["count"] == 1


def test_a_list_is_fetched_page_by_page() -> None:
    pages = [
        as_json({"items": [{"name": "a"}], "next_cursor": "c2"}),
        as_json({"items": [{"name": "b"}], "next_cursor": None}),
    ]
    with scripted(pages) as server, client_of(server.url) as client:
        assert [device["name"] for device in client.devices()] == ["a", "b"]
    assert [asked.path for asked in server.asked] == ["/v1/devices", "/v1/devices?cursor=c2"]


@pytest.mark.parametrize("trouble", [Answer(status=0), Answer(b"{", cut=True), Answer(b"bad gateway", status=502)])
def test_a_get_is_tried_again_after_trouble_on_the_way(trouble: Answer) -> None:
    waits = list[float]()
    with scripted([trouble, trouble, as_json(DEVICE)]) as server, client_of(server.url, waits) as client:
        assert client.device("pi4")["name"] == "pi4"
    assert len(server.asked) == 3
    assert len(waits) == 2


def test_trouble_that_stays_ends_the_tries() -> None:
    with scripted([Answer(status=0)]) as server, client_of(server.url) as client, pytest.raises(UnreachableError):
        client.device("pi4")
    assert len(server.asked) == 4


def test_what_must_not_happen_twice_is_not_sent_twice() -> None:
    with scripted([Answer(status=0)]) as server, client_of(server.url) as client, pytest.raises(UnreachableError):
        client.create_device("pi4")
    assert len(server.asked) == 1


def test_a_submission_is_tried_again_under_one_idempotency_key() -> None:
    with scripted([Answer(status=0), as_json({"id": "job_1"}, status=201)]) as server, client_of(server.url) as client:
        assert client.submit({"space": "s"})["id"] == "job_1"
    first, second = server.asked
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert first.body == second.body


def test_nobody_there_is_said_with_the_address() -> None:
    with scripted([Answer()]) as server:
        pass
    with client_of(server.url) as client, pytest.raises(UnreachableError, match=server.url):
        client.device("pi4")


@pytest.mark.parametrize(
    "answer",
    [Answer(b"<html>", media_type="text/html"), Answer(b"not found", status=404), as_json([], status=500)],
)
def test_what_is_no_lutnas_api_is_told_apart(answer: Answer) -> None:
    with scripted([answer]) as server, client_of(server.url) as client, pytest.raises(ForeignAnswerError):
        client.device("pi4")


def test_an_odd_name_stays_one_part_of_the_path() -> None:
    with scripted([as_json(DEVICE)]) as server, client_of(server.url) as client:
        client.device("a/b?c#d")
    assert server.asked[0].path == "/v1/devices/a%2Fb%3Fc%23d"


# --- proxies of the environment


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.usefixtures("no_proxies")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
def test_no_proxy_hears_of_a_service_on_this_machine(monkeypatch: pytest.MonkeyPatch, host: str, variable: str) -> None:
    with scripted([as_json({**DEVICE, "name": "by proxy"})]) as proxy, scripted([as_json(DEVICE)]) as server:
        monkeypatch.setenv(variable, proxy.url)
        with client_of(server.url.replace("127.0.0.1", host)) as client:
            assert client.device("pi4")["name"] == "pi4"
    assert proxy.asked == []
    assert len(server.asked) == 1


@pytest.mark.usefixtures("no_proxies")
def test_a_service_elsewhere_is_asked_by_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted([as_json(DEVICE)]) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        with client_of("http://lutnas.example") as client:
            assert client.device("pi4")["name"] == "pi4"
    assert [asked.path for asked in proxy.asked] == ["http://lutnas.example/v1/devices/pi4"]


WITHOUT_SOCKS = pytest.mark.skipif(importlib.util.find_spec("socksio") is not None, reason="SOCKS is there")


@pytest.mark.usefixtures("no_proxies")
@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        pytest.param("socks5://127.0.0.1:9", "socksio", marks=WITHOUT_SOCKS),
        ("gopher://127.0.0.1:9", "Unknown scheme"),
        ("http://127.0.0.1:80x", "Invalid port"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_told(monkeypatch: pytest.MonkeyPatch, proxy: str, said: str) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(UnreachableError, match=said) as caught:
        Client("http://lutnas.example")
    assert "unset HTTP_PROXY, HTTPS_PROXY and ALL_PROXY" in caught.value.hint
    with scripted([as_json(DEVICE)]) as server, client_of(server.url) as client:
        assert client.device("pi4")["name"] == "pi4"


@pytest.mark.parametrize(("token", "team"), [("tök", None), ("secret", "süd")])
def test_what_no_header_carries_is_refused_as_such(token: str, team: str | None) -> None:
    with pytest.raises(UnsendableError, match="ASCII characters alone"):
        Client("http://lutnas.example", token, team=team)


# --- downloads

CONTENT = b"weights" * 1000


def artifact(**changed: Any) -> Artifact:
    known = {
        "id": "art_1",
        "name": "model.onnx",
        "media_type": "application/octet-stream",
        "bytes": len(CONTENT),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "job": "job_1",
        "created_at": "2026-11-23T09:00:00Z",
    }
    return Artifact(**{**known, **changed})  # type: ignore[typeddict-item]


def test_a_download_arrives_whole_and_its_pieces_are_counted(tmp_path: Path) -> None:
    pieces = list[int]()
    with scripted([Answer(CONTENT)]) as server, client_of(server.url) as client:
        file = client.download(artifact(), tmp_path / "new", on_bytes=pieces.append)
    assert file == tmp_path / "new" / "model.onnx"
    assert file.read_bytes() == CONTENT
    assert sum(pieces) == len(CONTENT)
    assert server.asked[0].path == "/v1/artifacts/art_1/content"


def test_wrong_bytes_are_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"old")
    wrong = scripted([Answer(b"x" + CONTENT[1:])])
    with (
        wrong as server,
        client_of(server.url) as client,
        pytest.raises(ChecksumError, match="the bytes that came have"),
    ):
        client.download(artifact(), tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    assert (tmp_path / "model.onnx").read_bytes() == b"old"


def test_a_download_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    half = scripted([Answer(CONTENT[:100], cut=True)])
    with half as server, client_of(server.url) as client, pytest.raises(UnreachableError):
        client.download(artifact(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_breaks_off_is_begun_anew_and_its_pieces_count_once(tmp_path: Path) -> None:
    pieces, waits = list[int](), list[float]()
    broken = [Answer(CONTENT[:100], cut=True), Answer(b"bad gateway", status=502)]
    with scripted([*broken, Answer(CONTENT)]) as server, client_of(server.url, waits) as client:
        file = client.download(artifact(), tmp_path, on_bytes=pieces.append)
    assert file.read_bytes() == CONTENT
    assert (sum(pieces), len(waits)) == (len(CONTENT), 2)


def test_a_client_that_never_gives_up_downloads_once_the_service_is_there_again(tmp_path: Path) -> None:
    away = Answer(b'{"type": "urn:lutnas:problem:store-unavailable"}', status=503, media_type=PROBLEM)
    with scripted([away, away, Answer(CONTENT)]) as server:
        with client_of(server.url) as client, pytest.raises(ProblemError):
            client.download(artifact(), tmp_path)
        with Client(server.url, sleep=lambda _: None, attempts=None) as client:
            assert client.download(artifact(), tmp_path).read_bytes() == CONTENT
    assert len(server.asked) == 3


def test_what_went_into_a_pipe_is_not_sent_there_twice(tmp_path: Path) -> None:
    pipe, much = tmp_path / "pipe", bytes(CHUNK + 100)
    os.mkfifo(pipe)
    with (tmp_path / "read").open("wb") as read, subprocess.Popen(["cat", pipe], stdout=read):
        half = scripted([Answer(much, cut=True), Answer(much)])
        with half as server, client_of(server.url) as client, pytest.raises(UnreachableError):
            client.download_table("tbl_1", pipe)
    assert ((tmp_path / "read").stat().st_size, len(server.asked)) == (CHUNK, 1)


@pytest.mark.parametrize("name", ["../model.onnx", "/etc/model.onnx", "a\\b", "..", ""])
def test_a_file_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    right = scripted([Answer(CONTENT)])
    with right as server, client_of(server.url) as client, pytest.raises(ForeignAnswerError, match="name of a file"):
        client.download(artifact(name=name), tmp_path / "into")
    assert server.asked == []


# --- events


def message(number: int, kind: str, **data: Any) -> bytes:
    event = {"id": number, "attempt": 1, "step": number, "kind": kind, "data": data, "at": "2026-11-23T09:00:00Z"}
    return f"id: {number}\nevent: {kind}\ndata: {json.dumps(event)}\n\n".encode()


def stream(*messages: bytes, **more: Any) -> Answer:
    return Answer(b": hello\n\n" + b"".join(messages), media_type="text/event-stream", **more)


RUNNING, STEP, DONE = (
    message(1, "state", state="running"),
    message(2, "progress", step=2),
    message(3, "state", state="succeeded"),
)


def test_events_go_on_behind_the_last_one_when_the_connection_breaks() -> None:
    away = as_json({**REFUSAL, "status": 503}, status=503, media_type=PROBLEM)
    answers = [stream(RUNNING, STEP, cut=True), Answer(status=0), Answer(status=502), away, stream(STEP, DONE)]
    with scripted(answers) as server, client_of(server.url) as client:
        assert [event["id"] for event in client.events("job_1")] == [1, 2, 3]
    assert [asked.headers["last-event-id"] for asked in server.asked] == ["0", "2", "2", "2", "2"]


def test_a_stream_that_ends_early_is_opened_again() -> None:
    answers = [stream(RUNNING), as_json({"state": "running"}), stream(STEP, DONE)]
    with scripted(answers) as server, client_of(server.url) as client:
        assert [event["id"] for event in client.events("job_1")] == [1, 2, 3]


def test_events_behind_the_final_one_are_none_and_end() -> None:
    answers = {"/v1/search-jobs/job_1/events": stream(), "/v1/search-jobs/job_1": as_json({"state": "succeeded"})}
    with scripted(answers.__getitem__) as server, client_of(server.url) as client:
        assert list(client.events("job_1", after=3)) == []


def test_a_service_that_stays_away_ends_the_watching() -> None:
    with scripted([Answer(status=0)]) as server, client_of(server.url) as client, pytest.raises(UnreachableError):
        list(client.events("job_1", patience_seconds=0))


class Watch:
    """Events followed in a time of their own: waits go into it, and the first answers each come `quiet` seconds late.

    After its `answers` the service hangs up.
    """

    def __init__(self, answers: list[Answer], quiet: list[float]) -> None:
        self.now, self.answers, self.quiet = 0.0, iter(answers), iter(quiet)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def answer(self, path: str) -> Answer:
        self.now += next(self.quiet, 0.0)
        return next(self.answers, Answer(status=0))

    def follow(self, url: str) -> list[int]:
        transport = Transport(url, "secret", timeout_seconds=30, sleep=self.sleep)
        with closing(transport):
            return [event["id"] for event in follow(transport, "job_1", clock=self)]


def test_a_job_that_waited_long_is_watched_on_when_its_connection_breaks() -> None:
    watch = Watch([stream(cut=True), Answer(status=0), stream(RUNNING, STEP, DONE)], quiet=[1000.0])
    with scripted(watch.answer) as server:
        assert watch.follow(server.url) == [1, 2, 3]


def test_streams_that_break_off_again_and_again_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    watch = Watch([stream(RUNNING, cut=True), *[stream(cut=True)] * 8, stream(STEP, DONE)], quiet=[])
    with scripted(watch.answer) as server:
        assert watch.follow(server.url) == [1, 2, 3]
    (told,) = (one.getMessage() for one in caplog.records if one.name == "lutnas.client.events")
    assert told.startswith("the stream of events of job_1 broke off 5 times without one")


def test_streams_that_break_off_behind_an_event_are_nothing_to_tell(caplog: pytest.LogCaptureFixture) -> None:
    steps = [message(number, "progress", step=number) for number in range(2, 12)]
    watch = Watch([*(stream(step, cut=True) for step in steps), stream(message(12, "state", state="failed"))], quiet=[])
    with scripted(watch.answer) as server:
        assert watch.follow(server.url) == [*range(2, 13)]
    assert [one for one in caplog.records if one.name == "lutnas.client.events"] == []


def test_patience_counts_from_when_the_connection_broke() -> None:
    watch = Watch([stream(cut=True)], quiet=[1000.0])
    with scripted(watch.answer) as server, pytest.raises(UnreachableError):
        watch.follow(server.url)
    assert 1120 <= watch.now < 1130
    assert len(server.asked) > 20


def test_a_refused_stream_is_a_problem() -> None:
    refusal = as_json({**REFUSAL, "status": 404}, status=404, media_type=PROBLEM)
    with scripted([refusal]) as server, client_of(server.url) as client, pytest.raises(ProblemError):
        list(client.events("job_1"))


def test_what_is_no_stream_of_events_is_told_apart() -> None:
    with scripted([as_json({})]) as server, client_of(server.url) as client, pytest.raises(ForeignAnswerError):
        list(client.events("job_1"))


def test_an_answer_that_cannot_be_unpacked_is_said_to_be_foreign() -> None:
    told = pytest.raises(ForeignAnswerError, match="cannot be unpacked")
    with scripted([Answer(b"no gzip", encoding="gzip")]) as server, Client(server.url) as client, told:
        client.job("job_1")


def test_why_a_try_failed_is_told_before_the_next() -> None:
    told = list[str]()
    with (
        scripted([Answer(status=502), Answer(b'{"id": "job_1"}')]) as server,
        closing(Client(server.url, sleep=lambda _: None, tell=lambda why, _: told.append(why))) as client,
    ):
        assert client.job("job_1")["id"] == "job_1"
    (why,) = told
    assert "a gateway answered 502" in why
