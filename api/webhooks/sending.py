"""One message sent once: to an address that was looked at, without redirects, within a time."""

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from api.webhooks.addresses import AddressRefused, addresses_of, check_url, host_of

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of it: the receiver's status, or why there is none. Nothing else of an answer is kept: a webhook must
    not be a way to read what the service can reach.
    """

    status: int | None
    error: str | None
    milliseconds: int

    @property
    def is_taken(self) -> bool:
        """Whether the receiver took it."""
        return self.status is not None and 200 <= self.status < 300


async def send(
    client: httpx.AsyncClient, target: str, body: bytes, headers: Mapping[str, str], *, timeout_seconds: float,
    private: bool,
) -> Outcome:  # fmt: skip
    """Posts `body`; never raises for what the other side does. `timeout_seconds` is for all of it, names included."""
    began, status, error = time.monotonic(), None, None
    try:
        async with asyncio.timeout(timeout_seconds):
            status = await _post(client, check_url(target, private=private), body, headers, private=private)
    except TimeoutError:
        error = f"no answer within {timeout_seconds:g} s"
    except AddressRefused as refused:
        error = f"the URL {refused}"
    except httpx.ConnectError as broken:
        error = f"ConnectError: {broken}"  # of the address or its certificate: nobody has answered yet
    except httpx.TransportError as broken:
        error = f"the connection broke off, or the answer is no HTTP ({type(broken).__name__})"
    except Exception as broken:  # what a receiver answers may make any part of the client stumble
        _logger.warning("a webhook's answer cannot be read", exc_info=True)
        error = f"the answer cannot be read ({type(broken).__name__})"
    if status is not None and not 200 <= status < 300:
        error = f"the receiver answered {status}" + (": redirects are not followed" if 300 <= status < 400 else "")
    return Outcome(status, error, round((time.monotonic() - began) * 1000))


async def _post(
    client: httpx.AsyncClient, url: httpx.URL, body: bytes, headers: Mapping[str, str], *, private: bool
) -> int:
    """The status of the answer, whose body is not read. The first address that takes a connection is spoken to."""
    *others, last = await addresses_of(url, private=private)
    host = host_of(url)
    to_host = {**headers, "Host": url.netloc.decode(), "Content-Type": "application/json"}
    for address in (*others, last):
        request = client.build_request(
            "POST", url.copy_with(host=address), content=body, headers=to_host, extensions={"sni_hostname": host}
        )
        try:
            answer = await client.send(request, stream=True)
        except httpx.ConnectError:
            if address is last:
                raise
            continue
        await answer.aclose()
        return answer.status_code
    raise AssertionError("the last address answers or raises")
