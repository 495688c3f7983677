"""The broker in folders: whoever looks while another writes sees whole messages and tables."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty
from typing import Any

import pytest

from api.bell import QUEUE, make_celery
from api.settings import Settings

LARGE = "x" * 4_000_000  # takes a while to write


@pytest.fixture
def channels(tmp_path: Path) -> Iterator[list[Any]]:
    """Three connections' channels to the same folders."""
    app = make_celery(Settings(home=tmp_path))
    connections = [app.connection_for_write() for _ in range(3)]
    yield [connection.channel() for connection in connections]
    for connection in connections:
        connection.close()
    app.close()


def test_a_worker_that_looks_while_messages_are_written_takes_each_once_and_whole(channels: list[Any]) -> None:
    done = threading.Event()

    def write() -> None:
        for number in range(30):
            channels[0]._put(QUEUE, {"number": number, "body": LARGE})
        done.set()

    def take(channel: Any) -> list[int]:
        found = list[int]()
        while True:
            was_done = done.is_set()
            try:
                message = channel._get(QUEUE)
            except Empty:
                if was_done:
                    return found
                continue
            assert message["body"] == LARGE
            found.append(message["number"])

    with ThreadPoolExecutor(3) as pool:
        takers = [pool.submit(take, channel) for channel in channels[1:]]
        pool.submit(write).result()
        assert sorted(number for taker in takers for number in taker.result()) == [*range(30)]
    assert [file for file in Path(channels[0].processed_folder).iterdir() if file.is_file()] == []


def test_queues_that_are_bound_and_deleted_at_once_are_all_in_the_table_or_out_of_it(channels: list[Any]) -> None:
    numbers = range(60)

    def bind(channel: Any, name: str) -> None:
        for number in numbers:
            channel._queue_bind("x", "", "", f"{name}{number}")
            channel.get_table("x")
            if number % 2:
                channel._delete(f"{name}{number}", "x", "", "")

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(bind, channels, "abc"))
    expected = {f"{name}{number}" for name in "abc" for number in numbers if number % 2 == 0}
    assert {bound.queue for bound in channels[0].get_table("x")} == expected


def test_a_writer_that_was_killed_leaves_nothing_that_is_taken_for_a_message(
    channels: list[Any], tmp_path: Path
) -> None:
    queue = tmp_path / "bell" / "queue"
    channels[0]._put(QUEUE, {"number": 1})
    (whole,) = queue.iterdir()
    (queue / ".half").write_text(whole.read_text()[:5])
    assert channels[1]._size(QUEUE) == 1
    assert channels[1]._get(QUEUE) == {"number": 1}
    with pytest.raises(Empty):
        channels[1]._get(QUEUE)
