"""A receiver of webhooks, and what tests do with the messages for it."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from fastapi.testclient import TestClient
from sqlalchemy import update

from api.db.session import Database
from api.webhooks.models import Webhook, WebhookDelivery
from api.webhooks.outbox import queue
from lutnas.webhooks import verify

Json = dict[str, Any]


class Receiver(ThreadingHTTPServer):
    """Notes what arrives; answers by `answers` in turn, then 204. None breaks the connection off."""

    daemon_threads = True
    request_queue_size = 128  # as many come at once as a postman sends

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.arrived: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int | None] = []
        self.location = "/elsewhere"  # where a redirect leads
        self.headers: dict[str, str] = {}  # of each answer, beside others
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
            self.send_header("Location", self.server.location)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Not on the test's output."""


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
