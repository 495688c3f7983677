"""Webhooks: told of what happened and of nothing else, signed, again after a failure, and never by two at once."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from api.artifacts.store import ArtifactStore
from api.db.session import Database
from api.jobs import lease as jobs_lease
from api.jobs.retention import collect
from api.settings import Settings
from api.webhooks.models import WebhookDelivery
from api.webhooks.postman import Postman
from api.webhooks.rounds import record, take
from api.webhooks.sending import Outcome
from api.webhooks.signing import signed_headers
from lutnas.webhooks import SignatureError, verify
from tests.api.making import an_architecture, submit
from tests.api.receiving import Json, Receiver, all_due, deliveries, lead, queued


def test_the_end_of_a_job_is_told_once_and_signed(
    client: TestClient, database: Database, receiver: Receiver, postman: Postman, webhook: Json, device: str
) -> None:
    job = submit(client, labels={"team": "cam"})
    with database.write() as session:
        lease = jobs_lease.claim(session, job, worker="w", lease_seconds=60)
        assert lease is not None
        jobs_lease.succeed(session, lease, architecture=an_architecture(), artifacts=[])
    assert (postman.round(), postman.round()) == (1, 0)
    (message,) = receiver.messages(webhook["secret"])
    architecture = client.get(f"/v1/search-jobs/{job}").json()["architecture"]
    assert message["type"] == "search-job.succeeded"
    assert message["data"] == {
        "job": job, "name": "test", "owner": "main", "labels": {"team": "cam"}, "state": "succeeded", "attempt": 1,
        "event": 3, "reason": None, "architecture": architecture, "error": None,
    }  # fmt: skip
    (delivery,) = deliveries(client, webhook)
    assert (delivery["state"], delivery["attempts"], delivery["job"]) == ("delivered", 1, job)
    assert delivery["payload"] == message
    assert [one["status"] for one in delivery["tries"]] == [204]
    ((headers, body),) = receiver.arrived
    assert headers["webhook-id"] == delivery["id"]
    with pytest.raises(SignatureError, match="does not fit"):
        verify(body + b" ", headers, webhook["secret"])


def test_only_wanted_states_of_ones_own_jobs_are_told(
    client: TestClient, database: Database, webhook: Json, stranger: httpx.Headers, device: str
) -> None:
    foreign = client.post("/v1/webhooks", json={"url": "https://example.com/"}, headers=stranger).json()
    wanting = client.post("/v1/webhooks", json={"url": "https://example.com/", "events": ["paused", "queued"]}).json()
    job = submit(client)
    for change in ("pause", "resume", "cancel"):
        client.post(f"/v1/search-jobs/{job}/{change}").raise_for_status()
    assert [one["event"] for one in deliveries(client, webhook)] == ["search-job.cancelled"]
    told = sorted(one["event"] for one in deliveries(client, wanting))
    assert told == ["search-job.paused", "search-job.queued", "search-job.queued"]
    with database.read() as session:
        named = session.scalars(select(WebhookDelivery.webhook_id)).all()
    assert foreign["id"] not in named


def test_a_change_that_is_undone_is_not_told(client: TestClient, database: Database, webhook: Json, job: str) -> None:
    def claim_and_break() -> None:
        with database.write() as session:
            lease = jobs_lease.claim(session, job, worker="w", lease_seconds=60)
            assert lease is not None
            jobs_lease.fail(session, lease, problem={"detail": "why"})
            raise RuntimeError("the worker dies before its commit")

    with pytest.raises(RuntimeError):
        claim_and_break()
    assert deliveries(client, webhook) == []


def test_what_is_not_taken_is_sent_again_later_and_later_until_it_is(
    client: TestClient, database: Database, receiver: Receiver, postman: Postman, webhook: Json
) -> None:
    receiver.answers = [500, None]
    sent = client.post(f"/v1/webhooks/{webhook['id']}/ping").json()
    pauses = []
    for _ in range(2):
        assert (postman.round(), postman.round()) == (1, 0)  # the second one finds nothing due
        with database.read() as session:
            row = session.get_one(WebhookDelivery, sent["id"])
            assert (row.state, row.claim) == ("pending", None)
            tried_at = row.tries[-1]["at"]
            pauses.append(row.next_try_us / 1e6 - datetime.fromisoformat(tried_at).timestamp())
        all_due(database)
    assert pauses == pytest.approx([10.0, 40.0], abs=0.01)
    assert postman.round() == 1
    (delivery,) = deliveries(client, webhook)
    assert (delivery["state"], delivery["attempts"], delivery["next_try_at"]) == ("delivered", 3, None)
    assert [one["status"] for one in delivery["tries"]] == [500, None, 204]
    assert delivery["tries"][0]["error"] == "the receiver answered 500"
    assert "RemoteProtocolError" in delivery["tries"][1]["error"]
    assert {headers["webhook-id"] for headers, _ in receiver.arrived} == {sent["id"]}
    assert len({body for _, body in receiver.arrived}) == 1


def test_a_receiver_that_never_takes_it_is_left_alone_until_somebody_asks(
    client: TestClient, database: Database, receiver: Receiver, postman: Postman, webhook: Json
) -> None:
    receiver.answers = [503, 302, 404]
    sent = client.post(f"/v1/webhooks/{webhook['id']}/ping").json()
    for _ in range(5):
        postman.round()
        all_due(database)
    (delivery,) = deliveries(client, webhook)
    assert (delivery["state"], delivery["attempts"], len(receiver.arrived)) == ("failed", 3, 3)
    assert delivery["tries"][1]["error"] == "the receiver answered 302: redirects are not followed"
    again = client.post(f"/v1/webhooks/{webhook['id']}/deliveries/{sent['id']}/redeliver")
    assert (again.status_code, again.json()["state"]) == (202, "pending")
    assert postman.round() == 1
    (delivery,) = deliveries(client, webhook)
    assert (delivery["state"], delivery["attempts"], len(delivery["tries"])) == ("delivered", 1, 4)
    assert receiver.arrived[-1][0]["webhook-id"] == sent["id"]


def test_nobody_listening_and_a_silent_receiver_are_told_as_what_they_are(
    client: TestClient, database: Database, receiver: Receiver, near: Settings, webhook: Json
) -> None:
    receiver.hold.clear()
    hasty = Postman(database, near.model_copy(update={"webhook_timeout_seconds": 0.3}))
    client.post(f"/v1/webhooks/{webhook['id']}/ping").raise_for_status()
    hasty.round()
    lead(database, webhook["id"], "http://127.0.0.1:1/")
    all_due(database)
    hasty.round()
    receiver.hold.set()
    (delivery,) = deliveries(client, webhook)
    silent, absent = (one["error"] for one in delivery["tries"])
    assert silent == "no answer within 0.3 s"
    assert absent.startswith("ConnectError")


def test_an_answer_that_nobody_can_read_holds_up_no_other_message_and_tells_nothing(
    client: TestClient, database: Database, receiver: Receiver, postman: Postman, webhook: Json
) -> None:
    """httpx follows no redirect here, but reads where it leads: `xn--a` is no name."""
    receiver.answers, receiver.location = [302], "https://xn--a.secret/"
    first, second = (client.post(f"/v1/webhooks/{webhook['id']}/ping").json(), *queued(database, webhook, 1))
    assert postman.round() == 2
    by_id = {one["id"]: one for one in deliveries(client, webhook)}
    assert sorted(by_id[one]["state"] for one in (first["id"], second)) == ["delivered", "pending"]
    (error,) = (one["error"] for delivery in by_id.values() for one in delivery["tries"] if one["status"] is None)
    assert error.startswith("the answer cannot be read (")
    assert "secret" not in error


def test_two_postmen_at_once_send_each_message_once(
    client: TestClient, database: Database, receiver: Receiver, near: Settings, webhook: Json
) -> None:
    sent = set(queued(database, webhook, 30))
    with ThreadPoolExecutor(3) as pool:
        counts = list(pool.map(lambda _: Postman(database, near).round(), range(3)))
    assert sum(counts) == 30
    arrived = [headers["webhook-id"] for headers, _ in receiver.arrived]
    assert (len(arrived), set(arrived)) == (30, sent)


def test_a_receiver_that_does_not_answer_holds_up_its_own_messages_alone(
    client: TestClient, database: Database, receiver: Receiver, near: Settings, webhook: Json
) -> None:
    other = client.post("/v1/webhooks", json={"url": "https://example.com/hook"}).json()
    queued(database, webhook, 30)
    late = queued(database, other, 2)
    with database.write() as session:
        letters = take(session, claim_seconds=60, most=20, to_one=4)
    assert len(letters) == 6
    assert {letter.delivery_id for letter in letters} >= set(late)
    lead(database, other["id"], receiver.url)
    (later,) = queued(database, other, 1)
    with database.write() as session:  # of the second process: to both receivers messages are on their way
        assert take(session, claim_seconds=60, most=20, to_one=4) == []
    with database.write() as session:
        for letter in letters:
            if letter.delivery_id in late:
                record(session, letter, Outcome(204, None, 1), attempts=3, retry_seconds=10)
    assert Postman(database, near).round() == 1  # the other one waits still
    assert [headers["webhook-id"] for headers, _ in receiver.arrived] == [later]


def test_an_owner_with_many_webhooks_leaves_room_for_the_messages_of_others(
    client: TestClient, database: Database, stranger: httpx.Headers, webhook: Json
) -> None:
    many = [webhook, *(client.post("/v1/webhooks", json={"url": "https://example.com/hook"}).json() for _ in range(5))]
    for one in many:
        queued(database, one, 4)
    other = client.post("/v1/webhooks", json={"url": "https://example.com/hook"}, headers=stranger).json()
    late = queued(database, other, 3)
    with database.write() as session:
        taken = [letter.delivery_id for letter in take(session, claim_seconds=60, most=6, to_one=2)]
    assert len(taken) == 6
    assert [one for one in taken if one in late] == late[:2]


def test_a_ping_that_waits_and_a_message_on_its_way_are_not_asked_for_twice(
    client: TestClient, database: Database, receiver: Receiver, postman: Postman, webhook: Json
) -> None:
    receiver.answers = [503]
    path = f"/v1/webhooks/{webhook['id']}"
    sent = client.post(f"{path}/ping").json()
    again = f"{path}/deliveries/{sent['id']}/redeliver"
    for refused in (client.post(f"{path}/ping"), client.post(again)):
        assert (refused.status_code, refused.json()["type"]) == (409, "urn:lutnas:problem:delivery-pending")
        assert sent["id"] in refused.json()["detail"]
    postman.round()
    assert client.post(f"{path}/ping").status_code == 409  # it comes again in 10 s
    assert client.post(again).status_code == 202  # or at once
    postman.round()
    assert client.post(f"{path}/ping").status_code == 202
    assert len(receiver.arrived) == 2


def test_a_postman_that_died_is_followed_by_another_and_his_late_word_is_not_taken(
    client: TestClient, database: Database, receiver: Receiver, postman: Postman, webhook: Json
) -> None:
    client.post(f"/v1/webhooks/{webhook['id']}/ping").raise_for_status()
    with database.write() as session:
        (letter,) = take(session, claim_seconds=60, most=5, to_one=5)
    assert postman.round() == 0  # it is claimed
    all_due(database)
    assert postman.round() == 1
    with database.write() as session:
        assert record(session, letter, Outcome(None, "late", 1), attempts=1, retry_seconds=1) is None
    (delivery,) = deliveries(client, webhook)
    assert (delivery["state"], delivery["attempts"], len(delivery["tries"])) == ("delivered", 2, 1)


def test_the_secret_is_shown_once_and_kept_out_of_lists(client: TestClient, webhook: Json) -> None:
    answer = client.post("/v1/webhooks", json={"url": "https://example.com/?a=1", "description": "x"})
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["secret"].startswith("whsec_")
    assert answer.json()["secret"] != webhook["secret"]
    listed = client.get("/v1/webhooks").text + client.get(f"/v1/webhooks/{webhook['id']}").text
    listed += client.get("/v1/audit").text
    assert "whsec_" not in listed
    assert len(client.get("/v1/webhooks").json()["items"]) == 2


def test_a_webhook_that_is_removed_takes_what_waits_along(
    client: TestClient, receiver: Receiver, postman: Postman, webhook: Json, job: str
) -> None:
    client.post(f"/v1/webhooks/{webhook['id']}/ping").raise_for_status()
    assert client.delete(f"/v1/webhooks/{webhook['id']}").status_code == 204
    client.post(f"/v1/search-jobs/{job}/cancel").raise_for_status()
    assert (postman.round(), receiver.arrived) == (0, [])
    gone = client.get(f"/v1/webhooks/{webhook['id']}")
    assert (gone.status_code, gone.json()["type"]) == (404, "urn:lutnas:problem:unknown-webhook")


def test_an_owner_has_so_many_webhooks_and_no_more_also_where_they_come_at_once(client: TestClient) -> None:
    def add(_: int) -> int:
        return client.post("/v1/webhooks", json={"url": "https://example.com/"}).status_code

    assert [add(n) for n in range(47)] == [201] * 47
    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(add, range(8))) == [201] * 3 + [409] * 5


def test_what_was_told_long_ago_is_collected_and_what_waits_stays(
    client: TestClient, database: Database, near: Settings, postman: Postman, webhook: Json
) -> None:
    client.post(f"/v1/webhooks/{webhook['id']}/ping").raise_for_status()
    postman.round()
    waits = client.post(f"/v1/webhooks/{webhook['id']}/ping").json()["id"]
    store = ArtifactStore(near.artifacts)
    assert collect(database, store, near).deliveries == 0
    brief = near.model_copy(update={"keep_events_days": 0.0})
    assert collect(database, store, brief, dry_run=True).deliveries == 1
    assert collect(database, store, brief).deliveries == 1
    assert [one["id"] for one in deliveries(client, webhook)] == [waits]


def test_signatures_are_those_of_standard_webhooks() -> None:
    """The example of its specification."""
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    headers = signed_headers(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", body, seconds=1614265330)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert verify(body, headers, secret, clock=lambda: 1614265330) == json.loads(body)
