"""Webhooks: told of what happened and of nothing else, signed, again after a failure, and never by two at once."""

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from api.artifacts.store import ArtifactStore
from api.db.session import Database
from api.jobs import lease as jobs_lease
from api.jobs.retention import collect
from api.settings import Settings
from api.webhooks.models import Webhook, WebhookDelivery
from api.webhooks.outbox import queue
from api.webhooks.postman import Postman
from api.webhooks.rounds import record, take
from api.webhooks.sending import Outcome
from api.webhooks.signing import signed_headers
from lutnas.webhooks import SignatureError, verify
from tests.api.making import an_architecture, submit

Json = dict[str, Any]


class Receiver(ThreadingHTTPServer):
    """Notes what arrives; answers by `answers` in turn, then 204. None breaks the connection off."""

    daemon_threads = True
    request_queue_size = 128  # as many come at once as a postman sends

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.arrived: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int | None] = []
        self.hold = threading.Event()
        self.hold.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook"

    def messages(self, secret: str) -> list[Json]:
        return [verify(body, headers, secret) for headers, body in self.arrived]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.arrived.append((dict(self.headers.items()), body))
        answer = self.server.answers.pop(0) if self.server.answers else 204
        self.server.hold.wait(20)
        if answer is None:
            self.close_connection = True
            return
        self.send_response(answer)
        if 300 <= answer < 400:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Not on the test's output."""


def certificate(host: str, folder: Path) -> Path:
    """A file with a key and a certificate for `host` that it signed itself."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    today = datetime.now(UTC)
    made = x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key(), serial_number=1)
    made = made.not_valid_before(today - timedelta(days=1)).not_valid_after(today + timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    form, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    file = folder / f"{host}.pem"
    secret = key.private_bytes(form, pkcs8, serialization.NoEncryption())
    file.write_bytes(secret + made.sign(key, hashes.SHA256()).public_bytes(form))
    return file


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def near(settings: Settings) -> Settings:
    """Settings that let webhooks reach this machine, and try three times."""
    changes = {"webhook_private": True, "webhook_attempts": 3, "webhook_timeout_seconds": 5.0}
    return settings.model_copy(update=changes)


@pytest.fixture
def postman(database: Database, near: Settings) -> Postman:
    return Postman(database, near)


@pytest.fixture
def webhook(client: TestClient, database: Database, receiver: Receiver) -> Json:
    """A webhook that leads to the receiver; the API of these tests takes public addresses only."""
    made: Json = client.post("/v1/webhooks", json={"url": "https://example.com/hook"}).json()
    lead(database, made["id"], receiver.url)
    return made


def lead(database: Database, webhook_id: str, url: str) -> None:
    with database.write() as session:
        session.execute(update(Webhook).where(Webhook.id == webhook_id).values(url=url))


def all_due(database: Database) -> None:
    """As if the time until the next try, and that of every claim, had gone by."""
    with database.write() as session:
        session.execute(update(WebhookDelivery).values(next_try_us=0, claimed_until_us=0))


def deliveries(client: TestClient, webhook: Json) -> list[Json]:
    found: list[Json] = client.get(f"/v1/webhooks/{webhook['id']}/deliveries").json()["items"]
    return found


def queued(database: Database, webhook: Json, count: int) -> list[str]:
    """Ids of `count` messages that are due."""
    with database.write() as session:
        row = session.get_one(Webhook, webhook["id"])
        return [queue(session, row, "search-job.succeeded", {}).id for _ in range(count)]


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


@pytest.mark.parametrize(("host", "is_taken"), [("localhost", True), ("elsewhere.test", False)])
def test_tls_is_spoken_with_the_host_of_the_url_and_its_certificate_is_checked(
    client: TestClient, database: Database, receiver: Receiver, near: Settings, webhook: Json, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, host: str, is_taken: bool,
) -> None:  # fmt: skip
    """The connection goes to an address, and the certificate is still that of the name."""
    file = certificate(host, tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    receiver.socket = context.wrap_socket(receiver.socket, server_side=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    lead(database, webhook["id"], receiver.url.replace("http://127.0.0.1", "https://localhost"))
    client.post(f"/v1/webhooks/{webhook['id']}/ping").raise_for_status()
    assert Postman(database, near).round() == 1
    ((told,),) = (one["tries"] for one in deliveries(client, webhook))
    assert (told["status"], len(receiver.arrived)) == ((204, 1) if is_taken else (None, 0))
    if is_taken:
        assert receiver.arrived[0][0]["Host"] == f"localhost:{receiver.server_address[1]}"
    else:
        assert "certificate" in told["error"]


def test_a_name_beyond_ascii_is_asked_for_and_spoken_to_as_idna_2008_has_it(
    client: TestClient, database: Database, receiver: Receiver, near: Settings, webhook: Json, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """By that of 2003, which Python has, faß.de would be fass.de."""
    resolve, asked = socket.getaddrinfo, []

    def resolve_here(host: Any, *args: Any, **more: Any) -> Any:
        asked.append(host)
        return resolve("127.0.0.1" if host == "xn--fa-hia.de" else host, *args, **more)

    file = certificate("xn--fa-hia.de", tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    receiver.socket = context.wrap_socket(receiver.socket, server_side=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    lead(database, webhook["id"], receiver.url.replace("http://127.0.0.1", "https://faß.de"))
    client.post(f"/v1/webhooks/{webhook['id']}/ping").raise_for_status()
    monkeypatch.setattr(socket, "getaddrinfo", resolve_here)
    assert Postman(database, near).round() == 1
    ((told,),) = (one["tries"] for one in deliveries(client, webhook))
    assert (told["status"], told["error"]) == (204, None)
    assert "xn--fa-hia.de" in asked


def test_without_the_setting_nothing_is_sent_to_this_machine_even_by_name(
    client: TestClient, database: Database, receiver: Receiver, settings: Settings, webhook: Json
) -> None:
    for url in (receiver.url, receiver.url.replace("127.0.0.1", "2130706433")):
        lead(database, webhook["id"], url)
        queued(database, webhook, 1)
        assert Postman(database, settings).round() == 1
    assert receiver.arrived == []
    for delivery in deliveries(client, webhook):
        assert "LUTNAS_WEBHOOK_PRIVATE" in delivery["tries"][0]["error"]
        assert "127.0.0.1" not in delivery["tries"][0]["error"]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://example.com/", "http or https"), ("/hook", "http or https"), ("https:///x", "http or https"),
        ("https://me:secret@example.com/", "password"), ("http://localhost:80/", "this machine"),
        ("http://10.1.2.3/", "not public"), ("http://[::1]/", "not public"), ("http://169.254.169.254/", "not public"),
        ("http://[::ffff:127.0.0.1]/", "not public"), ("http://[::1/", "URL"), ("http://exa mple/", "no URL"),
        ("http://example.com:99999/", "no URL"), ("http://xn--a/", "no URL"),
    ],
)  # fmt: skip
def test_a_url_that_nothing_is_sent_to_is_refused_with_why(client: TestClient, url: str, why: str) -> None:
    answer = client.post("/v1/webhooks", json={"url": url})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:lutnas:problem:webhook-url-refused")
    assert why in answer.json()["errors"][0]["detail"]


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


def test_an_owner_has_so_many_webhooks_and_no_more(client: TestClient) -> None:
    answers = [client.post("/v1/webhooks", json={"url": "https://example.com/"}).status_code for _ in range(51)]
    assert answers == [201] * 50 + [409]


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
