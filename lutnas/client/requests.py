"""What devices are asked for: one method for each thing that the API does with requests to devices."""

import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Literal, cast

from lutnas.client.documents import Claim, DeviceRequest, Document
from lutnas.client.paths import path_of
from lutnas.client.transport import Transport


class DeviceRequests:
    """Requests to devices. Methods raise LutnasError. Those that take a `Claim` are for the agent that has it; all of
    these may be sent again when an answer was lost.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def submit(self, device: str, spec: Mapping[str, Any], *, idempotency_key: str | None = None) -> DeviceRequest:
        """Asks for something. A key of its own makes it safe to try again; give one to be safe across processes."""
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        path = path_of("devices", device, "requests")
        return self._answer(path, dict(spec), headers=headers)

    def of(self, device: str) -> Iterator[DeviceRequest]:
        """All requests to a device, newest first."""
        return self._transport.items(path_of("devices", device, "requests"))

    def get(self, request: str) -> DeviceRequest:
        """One request."""
        return cast(DeviceRequest, self._transport.json("GET", path_of("device-requests", request)))

    def cancel(self, request: str) -> DeviceRequest:
        """Asks for a request's end; a running one ends at its agent's next heartbeat."""
        return cast(
            DeviceRequest, self._transport.json("POST", path_of("device-requests", request, "cancel"), idempotent=True)
        )

    def claim(self, device: str, agent: str) -> Claim | None:
        """The oldest queued request of a device, if any and if no other agent is at work there. `agent` is a name that
        no other process has.
        """
        path = path_of("devices", device, "requests", "claim")
        response = self._transport.request("POST", path, json={"agent": agent}, idempotent=True)
        if response.status_code == 204:
            return None
        try:
            return cast(Claim, response.json())
        except ValueError:
            raise self._transport.foreign("an answer that is not JSON") from None

    def heartbeat(self, claim: Claim, progress: Mapping[str, Any]) -> Literal["continue", "cancel"]:
        """Keeps the lease, tells `done`, `total`, `seconds_left`, `message`, and brings back whether to go on."""
        body = {**_holder(claim), **progress}
        answer = self._transport.json(
            "POST", path_of("device-requests", claim["request"]["id"], "heartbeat"), json=body, idempotent=True
        )
        return cast(Literal["continue", "cancel"], answer["order"])

    def finish(self, claim: Claim, result: Mapping[str, Any]) -> DeviceRequest:
        """Names what came of it; that was sent before."""
        return self._end(claim, "finish", {"result": dict(result)})

    def fail(self, claim: Claim, detail: str) -> DeviceRequest:
        """Tells why it cannot be answered."""
        return self._end(claim, "fail", {"detail": detail})

    def release(self, claim: Claim) -> DeviceRequest:
        """Gives it back: it can be claimed at once, or is cancelled where that was asked for."""
        return self._end(claim, "release", {})

    def _end(self, claim: Claim, how: str, more: Document) -> DeviceRequest:
        return self._answer(path_of("device-requests", claim["request"]["id"], how), {**_holder(claim), **more})

    def _answer(self, path: str, body: Document, **more: Any) -> DeviceRequest:
        answer = self._transport.json("POST", path, json=body, idempotent=True, **more)
        return cast(DeviceRequest, answer)


def _holder(claim: Claim) -> Document:
    return {"agent": claim["lease"]["agent"], "attempt": claim["lease"]["attempt"]}
