"""An agent between whose calls the connection breaks, against scripted servers."""

import json
from typing import Any

import pytest

from lutnas.agent.heart import Cancelled, Heart, Lost
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
    assert (len(calls), len(waits)) == (sent, sent - 1)
