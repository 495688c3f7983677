"""A real HTTP server that says what a test wrote down, for what a good service never does."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PROBLEM = "application/problem+json"


@dataclass
class Answer:
    """One answer. `cut` closes the connection when the body is out, before what the headers promised has come."""

    body: bytes = b""
    status: int = 200
    media_type: str = "application/json"
    cut: bool = False
    encoding: str | None = None


@dataclass
class Asked:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Scripted:
    """The server: its address and what it was asked."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)


@contextmanager
def scripted(answers: Sequence[Answer] | Callable[[str], Answer]) -> Iterator[Scripted]:
    """Serves `answers` one by one, the last one for ever; or what a function of the path gives."""
    known = Scripted()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_any(self) -> None:
            length = int(self.headers.get("content-length", 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            known.asked.append(Asked(self.command, self.path, headers, self.rfile.read(length)))
            number = len(known.asked) - 1
            answer = answers(self.path) if callable(answers) else answers[min(number, len(answers) - 1)]
            if answer.status == 0:  # hang up without a word
                self.close_connection = True
                return
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.media_type)
            if answer.encoding is not None:
                self.send_header("Content-Encoding", answer.encoding)
            self.send_header("Content-Length", str(len(answer.body) + (10 if answer.cut else 0)))
            self.end_headers()
            self.wfile.write(answer.body)
            self.close_connection = answer.cut

        do_GET = do_POST = do_any

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    known.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield known
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
