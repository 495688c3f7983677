"""What may go wrong under a service that runs: each harm ends what it means to end, and puts it up again."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import redis

from benchmarks._reporting import say
from benchmarks._site import Site, until
from tests.servers.postgres import libpq_url
from tests.servers.server import RunningServer

FULL_SECONDS = 5.0
_PIECE = b"\0" * (1 << 20)


class Crew:
    """The API and its workers; who is down is put up again."""

    def __init__(self, site: Site, workers: int) -> None:
        self.site = site
        self.api = site.start_api()
        self.workers = {f"worker-{number}": site.start(f"worker-{number}", "worker") for number in range(workers)}
        self.gone_by_themselves = 0

    def kill_api(self) -> None:
        """SIGKILL, and a new one."""
        self.api.kill()
        self.api.wait()
        self.api = self.site.start_api()

    def kill_worker(self, name: str) -> None:
        """SIGKILL of the parent, which takes its child along."""
        self.workers[name].kill()
        self.tend()

    def kill_child(self, name: str) -> None:
        """SIGKILL of the process that trains, if one does."""
        for child in psutil.Process(self.workers[name].pid).children():
            child.kill()

    def tend(self) -> None:
        """Starts workers that are down. One that nobody killed counts as gone by itself."""
        for name, worker in self.workers.items():
            if worker.poll() is not None:
                self.gone_by_themselves += worker.returncode != -9
                self.workers[name] = self.site.start(name, "worker")

    def stop(self) -> None:
        """Ends all, the workers at their next step."""
        for process in (*self.workers.values(), self.api):
            process.terminate()
        for process in (*self.workers.values(), self.api):
            process.wait()


class Restarted:
    """A server that is ended and started again, as it was: its files stay, its memory does not."""

    def __init__(self, server: RunningServer, answers: Callable[[str], bool]) -> None:
        assert server.process is not None, "a server that was given is not ours to end"
        self._server, self._answers, self._process = server, answers, server.process
        self.url = server.url

    def harm(self) -> None:
        """Down, and up again after a second."""
        self._end()
        time.sleep(1.0)
        self._process = subprocess.Popen(
            self._process.args, cwd=self._server.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(lambda: self._answers(self.url), "the server answers again")

    def stop(self) -> None:
        """Ends it for good."""
        self._end()
        RunningServer(self.url, "", folder=self._server.folder).stop()

    def _end(self) -> None:
        self._process.send_signal(self._server.stop_signal)
        self._process.wait()


def postgres_answers(url: str) -> bool:
    """Whether Postgres takes connections."""
    try:
        psycopg.connect(libpq_url(url), connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def redis_answers(url: str) -> bool:
    """Whether Redis answers."""
    try:
        with redis.Redis.from_url(url, socket_timeout=5) as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False


class SmallDisk:
    """A file system in memory under the artifacts, which somebody else fills now and then. Needs root."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.folder, self._filler = folder, folder / ".filler"
        folder.mkdir(mode=0o700, parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "tmpfs", str(folder)], check=True)

    def harm(self) -> None:
        """Full for some seconds."""
        try:
            with self._filler.open("wb", buffering=0) as file:
                while True:
                    file.write(_PIECE)
        except OSError:
            say("the disk is full")
        time.sleep(FULL_SECONDS)
        self._filler.unlink()

    def close(self) -> None:
        """Takes it away, with all that is on it."""
        subprocess.run(["umount", str(self.folder)], check=True)
