"""An agent between whose calls the connection breaks, against scripted servers."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from lutnas.agent.heart import Cancelled, Heart, Lost
from lutnas.agent.loop import Agent
from lutnas.agent.stop import Stop, Stopped
from lutnas.cli.answer import send_once
from lutnas.client import Client, UnreachableError
from tests.lutnas.scripted import PROBLEM, Answer, scripted
from tests.lutnas.test_agent import until


def test_a_claim_goes_through_any_number_of_outages() -> None:
    away = [Answer(status=0), Answer(b"bad gateway", status=502)]
    busy = Answer(b'{"type": "urn:lutnas:problem:database-unavailable"}', status=503, media_type=PROBLEM)
    waits = list[float]()
    answers = [*away * 4, busy, Answer(status=204)]
    with scripted(answers) as server, Client(server.url, sleep=waits.append, attempts=None) as client:
        assert client.requests.claim("pi4", "me") is None
    assert len(waits) == 9
    assert waits[0] < 0.3
    assert 20 < waits[-1] < 30.2


class UntilIdle(Stop):
    """Is asked to end as soon as the agent would wait."""

    def sleep(self, seconds: float) -> None:
        raise Stopped


REQUEST = {"id": "req_1", "kind": "profile", "state": "running", "spec": {}}
CLAIM = {"request": REQUEST, "lease": {"agent": "me", "attempt": 1, "seconds": 60}}
BROKEN = [
    Answer(b"<h1>oops</h1>", status=500, media_type="text/html"),
    Answer(b'{"type": "urn:lutnas:problem:internal-error", "status": 500}', status=500, media_type=PROBLEM),
]


def worked(answers: dict[str, Answer], answer: Callable[..., Any]) -> tuple[list[str], list[str]]:
    """What an agent asks, and says, until it would wait; the service answers by the last part of the path."""
    claims = iter([Answer(json.dumps(CLAIM).encode())])
    known = {"heartbeat": Answer(b'{"order": "continue"}'), **answers}
    said = list[str]()

    def service(path: str) -> Answer:
        last = path.rpartition("/")[2]
        return next(claims, Answer(status=204)) if last == "claim" else known[last]

    with scripted(service) as server, Client(server.url) as client:
        agent = Agent(
            device="pi4", name="me", patient=client, quick=client, stop=UntilIdle(), answer=answer, explain=str,
            say=said.append, show=lambda _: None,
        )  # fmt: skip
        with pytest.raises(Stopped):
            agent.run(once=False, poll_seconds=1)
    asked = [one.path.rpartition("/")[2] for one in server.asked]
    return [what for what in asked if what != "heartbeat"], said


@pytest.mark.parametrize("broken", BROKEN)
def test_an_answer_that_the_service_does_not_take_fails_the_request(broken: Answer) -> None:
    """Else the next claim would give it out again, for ever."""
    failed = Answer(json.dumps({**REQUEST, "state": "failed"}).encode())
    asked, said = worked({"finish": broken, "fail": failed}, lambda *_: {"table": "t"})
    assert asked[:3] == ["claim", "finish", "fail"]
    assert said[-1] == "req_1 failed"


@pytest.mark.parametrize("broken", BROKEN)
def test_an_agent_outlives_a_service_that_takes_no_answer_at_all(broken: Answer) -> None:
    queued = Answer(json.dumps({**REQUEST, "state": "queued"}).encode())
    asked, said = worked({"finish": broken, "fail": broken, "release": queued}, lambda *_: {"table": "t"})
    assert asked == ["claim", "finish", "fail", "release"]
    assert said[-2] == "gave req_1 back"
    assert said[-1].startswith("warning: the answer to req_1 did not get through")


@pytest.mark.parametrize("broken", BROKEN)
def test_an_agent_outlives_a_request_that_it_cannot_give_back(broken: Answer) -> None:
    def cancelled(*_: Any) -> Any:
        raise Cancelled

    asked, said = worked({"release": broken}, cancelled)
    assert asked == ["claim", "release", "release"]
    assert said[1].startswith("warning: req_1 is not given back")


def heart_of(url: str) -> tuple[Client, Heart]:
    """A heart that beats every ten milliseconds."""
    client = Client(url, attempts=1)
    claim: Any = {"request": {"id": "req_1"}, "lease": {"agent": "me", "attempt": 1}}
    return client, Heart(lambda progress: client.requests.heartbeat(claim, progress), 0.03)


@pytest.mark.parametrize(
    ("last", "raised"),
    [
        (Answer(b'{"order": "cancel"}'), Cancelled),
        (Answer(b'{"type": "urn:lutnas:problem:lease-lost", "status": 409}', status=409, media_type=PROBLEM), Lost),
    ],
)
def test_a_heart_beats_through_outages_and_hears_when_to_stop(last: Answer, raised: type[Exception]) -> None:
    with scripted([Answer(b'{"order": "continue"}'), Answer(status=0), Answer(b"", status=502), last]) as server:
        client, heart = heart_of(server.url)
        heart.progress = {"done": 1, "total": 2}
        with client, heart:
            heart.check()
            until(lambda: len(server.asked) == 4)
        with pytest.raises(raised):
            heart.check()
    assert json.loads(server.asked[0].body) == {"agent": "me", "attempt": 1, "done": 1, "total": 2}


@pytest.mark.parametrize(("arrived", "sent"), [(True, 1), (False, 2)])
def test_what_was_sent_when_the_connection_broke_is_sent_again_only_if_it_is_not_there(
    arrived: bool, sent: int
) -> None:
    calls = list[int]()

    def send() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise UnreachableError("the connection broke")

    waits = list[float]()
    send_once(send, lambda: arrived, waits.append)
    assert (len(calls), len(waits)) == (sent, 1)
