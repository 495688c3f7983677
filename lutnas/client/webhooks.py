"""Webhooks: URLs that the service tells what becomes of jobs. What arrives there: `lutnas.webhooks.verify`."""

from collections.abc import Iterator, Sequence
from typing import cast

from lutnas.client.documents import Delivery, MadeWebhook, State, Webhook
from lutnas.client.paths import path_of
from lutnas.client.transport import Transport


class Webhooks:
    """The webhooks of one's owner. Methods raise LutnasError."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, url: str, *, events: Sequence[State] | None = None, description: str = "") -> MadeWebhook:
        """Names a URL that is told when a job comes to one of the states `events`, by default when it has ended. Its
        `secret` is in this answer, and nowhere else.
        """
        body = {"url": url, "description": description, **({} if events is None else {"events": list(events)})}
        return cast(MadeWebhook, self._transport.json("POST", "/v1/webhooks", json=body))

    def list(self) -> Iterator[Webhook]:
        """All webhooks, newest first."""
        return self._transport.items("/v1/webhooks")

    def remove(self, webhook: str) -> None:
        """Removes the webhook of an id, with its deliveries."""
        self._transport.request("DELETE", path_of("webhooks", webhook))

    def ping(self, webhook: str) -> Delivery:
        """Sends a message of the event `ping`, to try the way; `deliveries` tells what came of it."""
        return cast(Delivery, self._transport.json("POST", path_of("webhooks", webhook, "ping")))

    def deliveries(self, webhook: str) -> Iterator[Delivery]:
        """What was told to a webhook and what waits, newest first."""
        return self._transport.items(path_of("webhooks", webhook, "deliveries"))

    def redeliver(self, webhook: str, delivery: str) -> Delivery:
        """Sends a message once more, under the same id; a problem of 409 where it is on its way."""
        path = path_of("webhooks", webhook, "deliveries", delivery, "redeliver")
        return cast(Delivery, self._transport.json("POST", path))
