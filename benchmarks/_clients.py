"""Clients that ask much: threads that list and read and submit, and many readers of one job's events. Torch-free.

Both speak HTTP/1.1 by themselves: a client library would take more of the machine than the API.
"""

import asyncio
import http.client
import json
import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

SHARES = {"list": 0.4, "get": 0.4, "events": 0.15, "submit": 0.05}


@dataclass(frozen=True)
class Asked:
    """One request: its kind, when it began, what it took, and its status. Seconds by the clock of its process."""

    kind: str
    seconds: float
    status: int


def load(url: str, token: str, jobs: Sequence[str], document: str, *, threads: int, seconds: float) -> list[Asked]:
    """What `threads` that each ask again as soon as they have their answer got in `seconds`."""
    with ThreadPoolExecutor(threads) as pool:
        runs = [pool.submit(_ask, url, token, jobs, document, seconds, seed) for seed in range(threads)]
        return [asked for run in runs for asked in run.result()]


def _ask(url: str, token: str, jobs: Sequence[str], document: str, seconds: float, seed: int) -> list[Asked]:
    drawn, found = random.Random(seed), list[Asked]()
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    headers = {"Authorization": f"Bearer {token}"}
    end = time.monotonic() + seconds
    while (begin := time.monotonic()) < end:
        (kind,) = drawn.choices(list(SHARES), list(SHARES.values()))
        if kind == "submit":
            connection.request("POST", "/v1/search-jobs", document, {**headers, "Content-Type": "application/json"})
        else:
            path = {"list": "?limit=20", "get": f"/{drawn.choice(jobs)}", "events": f"/{drawn.choice(jobs)}/events"}[
                kind
            ]
            connection.request("GET", f"/v1/search-jobs{path}", headers=headers)
        answer = connection.getresponse()
        json.loads(answer.read())
        found.append(Asked(kind, time.monotonic() - begin, answer.status))
    connection.close()
    return found


def follow(url: str, token: str, job: str, readers: int) -> list[list[int]]:
    """The ids of all events that each of so many readers got, until the job came to its end."""

    async def together() -> list[list[int]]:
        return await asyncio.gather(*(_follow(url, token, job) for _ in range(readers)))

    return asyncio.run(together())


async def _follow(url: str, token: str, job: str) -> list[int]:
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    head = [
        f"GET /v1/search-jobs/{job}/events HTTP/1.1", f"Host: {place.netloc}", f"Authorization: Bearer {token}",
        "Accept: text/event-stream", "Connection: close", "", "",
    ]  # fmt: skip
    writer.write("\r\n".join(head).encode())
    found = [int(line[3:]) async for line in reader if line.startswith(b"id:")]
    writer.close()
    return found
