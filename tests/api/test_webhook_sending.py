"""Where messages to webhooks go: by name and certificate, and never to this machine unless a setting says so."""

import asyncio
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fastapi.testclient import TestClient

from api.db.session import Database
from api.settings import Settings
from api.webhooks.postman import Postman, new_client
from tests.api.receiving import Json, Receiver, deliveries, lead, queued


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


def speak_tls(receiver: Receiver, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The receiver shows the certificate in `file`, which is trusted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    receiver.socket = context.wrap_socket(receiver.socket, server_side=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))


@pytest.mark.parametrize(("host", "is_taken"), [("localhost", True), ("elsewhere.test", False)])
def test_tls_is_spoken_with_the_host_of_the_url_and_its_certificate_is_checked(
    client: TestClient, database: Database, receiver: Receiver, near: Settings, webhook: Json, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, host: str, is_taken: bool,
) -> None:  # fmt: skip
    """The connection goes to an address, and the certificate is still that of the name."""
    speak_tls(receiver, certificate(host, tmp_path), monkeypatch)
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

    speak_tls(receiver, certificate("xn--fa-hia.de", tmp_path), monkeypatch)
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


def test_no_cookie_of_one_receiver_comes_to_another(receiver: Receiver) -> None:
    """They may have one address, which the messages of a round go to."""
    receiver.headers = {"Set-Cookie": "of=one"}

    async def both() -> None:
        async with new_client(ssl.create_default_context()) as client:
            for _ in range(2):
                await client.post(receiver.url, content=b"{}")

    asyncio.run(both())
    assert [headers.get("Cookie") for headers, _ in receiver.arrived] == [None, None]
