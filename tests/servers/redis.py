"""A real Redis for the tests."""

import os
import secrets
import shutil
import subprocess

import pytest
import redis

from tests.servers.binaries import find_redis
from tests.servers.server import RunningServer, free_port, private_folder, wait_until_up
from tests.servers.tether import tethered

GIVEN = "TEST_REDIS_URL"


def describe_redis() -> str:
    """One line for the head of the test report. Starts nothing."""
    return f"given by {GIVEN}" if os.environ.get(GIVEN) else str(find_redis())


def check_alone(processes: int) -> None:
    """Raises UsageError where so many processes of pytest would share a Redis that was given: a ring for the worker of
    one would be heard by that of another, and each empties it.
    """
    if os.environ.get(GIVEN) and processes > 1:
        raise pytest.UsageError(
            f"{GIVEN} names one Redis, and {processes} processes would share its one queue: give -n 0, or leave "
            f"{GIVEN} away, and each process starts a Redis of its own."
        )


def start_redis() -> RunningServer:
    """The server that TEST_REDIS_URL names, or one of our own."""
    if given := os.environ.get(GIVEN):
        return RunningServer(url=given, description=describe_redis())
    binary = find_redis()
    folder = private_folder("redis")
    port, password = free_port(), secrets.token_urlsafe(24)
    # By file, as a command line can be read by every user of the machine. No snapshots: nothing here outlives the run.
    config = folder / "redis.conf"
    config.touch(mode=0o600)
    config.write_text(f'bind 127.0.0.1\nport {port}\nrequirepass {password}\nsave ""\nappendonly no\ndir {folder}\n')
    log = folder / "redis.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(tethered([str(binary.path), str(config)]), stdout=sink, stderr=sink, cwd=folder)
    url = f"redis://:{password}@127.0.0.1:{port}/0"

    def answers() -> bool:
        with redis.Redis.from_url(url, socket_timeout=5) as client:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False

    try:
        wait_until_up(process, answers, name="redis-server", log=log)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return RunningServer(url=url, description=str(binary), folder=folder, process=process)
