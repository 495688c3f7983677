"""`lutnas webhooks` against a real service, and what its receivers check signatures with."""

import base64
import hashlib
import hmac
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from lutnas.webhooks import SignatureError, verify
from tests.e2e.conftest import until
from tests.lutnas.conftest import Service

# The example of Standard Webhooks.
SECRET, BODY, AT = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}', 1614265330.0
SIGNED = {
    "Webhook-Id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "WEBHOOK-TIMESTAMP": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}  # fmt: skip


def test_a_webhook_is_added_pinged_listed_and_removed(service: Service) -> None:
    made = service.data("webhooks", "add", "https://webhooks.invalid/x", "--event", "failed", "--description", "pager")
    assert (made["events"], made["description"], made["secret"][:6]) == (["failed"], "pager", "whsec_")
    listed = {one["id"]: one for one in service.data("webhooks", "list")}
    assert listed[made["id"]] == {name: value for name, value in made.items() if name != "secret"}
    sent = service.data("webhooks", "ping", made["id"])
    assert [one["id"] for one in service.data("webhooks", "deliveries", made["id"])] == [sent["id"]]
    until(lambda: service.data("webhooks", "deliveries", made["id"])[0]["tries"])  # it is on its way no more
    assert service.data("webhooks", "redeliver", made["id"], sent["id"])["state"] == "pending"
    shown = service.lutnas("webhooks", "deliveries", made["id"]).stdout
    assert sent["id"] in shown
    assert "ping" in shown
    assert service.data("webhooks", "remove", made["id"]) == {"webhook": made["id"], "removed": True}
    assert service.lutnas("webhooks", "deliveries", made["id"]).exit_code == 1


def test_people_see_the_secret_once_and_are_told_so(service: Service) -> None:
    done = service.lutnas("webhooks", "add", "https://webhooks.invalid/y")
    assert "whsec_" in done.stdout
    assert "store it now" in done.stderr
    assert "whsec_" not in service.lutnas("webhooks", "list").stdout


def test_a_url_on_the_services_own_machine_is_refused_with_the_setting_that_allows_it(service: Service) -> None:
    refused = service.lutnas("webhooks", "add", "http://127.0.0.1/")
    assert (refused.exit_code, "LUTNAS_WEBHOOK_PRIVATE" in refused.stderr) == (1, True)


def test_a_message_is_taken_by_headers_in_any_case_and_beside_other_signatures() -> None:
    assert verify(BODY, SIGNED, SECRET, clock=lambda: AT + 299) == {"test": 2432232314}
    two = {**SIGNED, "webhook-signature": "v1,AAAA v1a,x " + SIGNED["webhook-signature"]}
    assert verify(BODY, two, SECRET, clock=lambda: AT - 299) == {"test": 2432232314}


@pytest.mark.parametrize(
    ("changes", "later", "why"),
    [
        ({}, 301.0, "off"), ({}, -301.0, "off"), ({"WEBHOOK-TIMESTAMP": "1614265331"}, 0.0, "does not fit"),
        ({"WEBHOOK-TIMESTAMP": "-5"}, 0.0, "seconds since 1970"), ({"Webhook-Id": "msg_other"}, 0.0, "does not fit"),
        ({"webhook-signature": "v1,ä"}, 0.0, "does not fit"), ({"webhook-signature": None}, 0.0, "is missing"),
    ],
)  # fmt: skip
def test_a_message_that_is_old_or_changed_is_refused(changes: dict[str, Any], later: float, why: str) -> None:
    headers = {name: value for name, value in {**SIGNED, **changes}.items() if value is not None}
    with pytest.raises(SignatureError, match=why):
        verify(BODY, headers, SECRET, clock=lambda: AT + later)


@pytest.mark.parametrize("name", ["Webhook-Id", "webhook-signature"])
def test_bytes_that_are_no_text_in_a_header_are_refused_as_any_other(name: str) -> None:
    """As frameworks give them that decode headers with surrogates."""
    with pytest.raises(SignatureError, match="does not fit"):
        verify(BODY, {**SIGNED, name: "v1,\udcff"}, SECRET, clock=lambda: AT)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_no base64"])
def test_what_is_no_secret_verifies_nothing(secret: str) -> None:
    """Of an empty one, as of a variable that is not set, everybody knows how to sign."""
    body = b"{}"
    signature = base64.b64encode(hmac.new(b"", b"msg_1.1000." + body, hashlib.sha256).digest()).decode()
    headers = {"webhook-id": "msg_1", "webhook-timestamp": "1000", "webhook-signature": f"v1,{signature}"}
    with pytest.raises(ValueError, match="whsec_ and base64"):
        verify(body, headers, secret, clock=lambda: 1000.0)


def test_by_default_the_time_is_that_of_now() -> None:
    assert datetime.now(UTC).year > 2021
    with pytest.raises(SignatureError, match="off"):
        verify(BODY, SIGNED, SECRET)


def test_a_receiver_needs_nothing_but_python() -> None:
    code = "import sys, lutnas.webhooks; print([n for n in ('api', 'fastapi', 'torch') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
