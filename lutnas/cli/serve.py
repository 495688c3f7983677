"""`lutnas serve`, `lutnas worker`, `lutnas migrate`: what runs the service, imported only inside the functions."""

import contextlib
import importlib.util
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lutnas.cli.failure import ExitCode, Failure, extra
from lutnas.cli.options import json_option
from lutnas.cli.output import Output, say
from lutnas.process import Child, tie_to, use_one_heap

if TYPE_CHECKING:
    from uvicorn import Server

    from api.settings import Settings
    from api.telemetry.logs import Level

LOG_LEVELS = ["debug", "info", "warning", "error"]
PING_SECONDS = 5.0
# Of the extra `worker`, by the names that they are imported by. Asked for before anything starts: what takes jobs loads
# them in a process of its own, with the first job.
WORKER_PACKAGES = ("jinja2", "numba", "onnx", "onnxruntime", "safetensors", "sklearn", "threadpoolctl", "torch")

log_level_option = click.option(
    "--log-level",
    type=click.Choice(LOG_LEVELS),
    help="How much to log, on stderr; default: LUTNAS_LOG_LEVEL.",
)
tied_option = click.option("--tied-to", type=int, hidden=True, help="End when this process, the parent, is gone.")


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port; 0 takes any free one."
)
@click.option("--worker", is_flag=True, help="Run one worker too. It ends with the API.")
@log_level_option
@tied_option
@json_option
def serve(host: str, port: int, worker: bool, log_level: "Level | None", tied_to: int | None, as_json: bool) -> int:
    """Run the API, in the foreground until Ctrl-C.

    Brings the database to the newest revision, makes a token when there is none and prints where it lies. Settings
    are environment variables (LUTNAS_HOME, LUTNAS_DATABASE_URL, LUTNAS_BROKER_URL and more). With --json one line of
    JSON on stdout tells address and token file once it listens.
    """
    if tied_to is not None:
        tie_to(tied_to)
    use_one_heap()
    with extra("server", "lutnas serve"):
        import uvicorn

        from api.app import create_app
        from api.artifacts.files import StoreError
        from api.artifacts.service import are_there
        from api.artifacts.store import ArtifactStore
        from api.auth.service import ensure_token
        from api.db.session import Database
        from api.telemetry import logs
    if worker:
        _check_worker_packages("lutnas serve --worker")
    settings = load_settings()
    level = log_level or settings.log_level
    upgrade_database(settings)
    try:
        token_file = ensure_token(settings)
    except (OSError, ValueError) as error:
        raise Failure(f"cannot prepare the access token: {error}") from error
    try:
        with contextlib.closing(Database(settings.database_url)) as database, database.read() as session:
            is_new = not are_there(session)
        ArtifactStore(settings.artifacts).prepare(is_new=is_new)  # before anybody is told where it listens
    except (OSError, ValueError, StoreError) as error:
        detail = f"cannot use the store {settings.artifacts}: {error}"
        raise Failure(detail, hint="LUTNAS_ARTIFACTS names it") from error
    listener = listen(host, port)
    address = _address(host, listener.getsockname()[1])
    logs.configure(settings.log_format, level)
    config = uvicorn.Config(create_app(settings), log_config=None, log_level=level, access_log=False)  # we have our own
    server, lost = uvicorn.Server(config), list[int]()
    with contextlib.ExitStack() as stack:
        stack.enter_context(listener)
        stack.enter_context(ended_by_signals(server))
        stack.enter_context(_address_file(settings.home, address))
        if worker:
            child = stack.enter_context(Child(["worker", "--log-level", level]))

            def end_too(code: int) -> None:
                if not server.should_exit:
                    lost.append(code)
                    server.should_exit = True

            child.on_end(end_too)
        _announce(Output(as_json), address, token_file)
        server.run(sockets=[listener])
    if lost:
        raise Failure(f"the worker ended with code {lost[0]}, so the API ended too", hint="its log is above")
    return ExitCode.OK if server.started else ExitCode.ERROR


@click.command()
@click.option("--ping", is_flag=True, help="Only ask whether the worker of this machine answers: exit code 0 or 1.")
@log_level_option
@tied_option
@json_option
def worker(ping: bool, log_level: "Level | None", tied_to: int | None, as_json: bool) -> int:
    """Run a worker that carries out search jobs, until Ctrl-C.

    It ends at the next step of a running job and leaves a checkpoint; another worker goes on from there.
    """
    if tied_to is not None:
        tie_to(tied_to)
    if ping:
        return _ping(Output(as_json))
    with extra("worker", "lutnas worker"):
        import workers.main
    _check_worker_packages("lutnas worker")
    settings = load_settings()
    return workers.main.run(settings, loglevel=log_level or settings.log_level)


@click.command()
@json_option
def migrate(as_json: bool) -> None:
    """Bring the database to the newest revision. `lutnas serve` does this by itself."""
    settings = load_settings()
    upgrade_database(settings)
    shown = without_password(settings.database_url)
    Output(as_json).document({"database": shown}, f"{shown} is at the newest revision")


def _check_worker_packages(purpose: str) -> None:
    with extra("worker", purpose):
        for package in WORKER_PACKAGES:
            if importlib.util.find_spec(package) is None:
                raise ModuleNotFoundError(name=package)


def load_settings() -> "Settings":
    """The service's settings from the environment; a wrong one becomes a failure that names the variable."""
    with extra("server", "this command"):
        from pydantic import ValidationError

        from api.settings import Settings
    try:
        return Settings()
    except ValidationError as error:
        lines = [_setting_error(e["loc"], e["msg"]) for e in error.errors()]
        raise Failure("the settings of the service are wrong:\n" + "\n".join(f"  {line}" for line in lines)) from error


def upgrade_database(settings: "Settings") -> None:
    """Brings the database to the newest revision; one that cannot be reached becomes a failure."""
    with extra("server", "this command"):
        from sqlalchemy.exc import ArgumentError, DBAPIError

        from api.db.migrate import upgrade
    try:
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Failure(f"cannot make {settings.home}: {error.strerror}", hint="LUTNAS_HOME names the folder") from error
    try:
        upgrade(settings.database_url)
    except DBAPIError as error:  # also a file that is no database, and a role that may make no tables
        detail = f"cannot use the database {without_password(settings.database_url)}: {error.orig}"
        raise Failure(detail, hint="LUTNAS_DATABASE_URL names it") from error
    except (ArgumentError, ValueError) as error:
        raise Failure(str(error), hint="LUTNAS_DATABASE_URL names the database") from error


def _setting_error(place: tuple[int | str, ...], message: str) -> str:
    name = ".".join(map(str, place))
    return f"LUTNAS_{name.upper()}: {message}" if name else message.removeprefix("Value error, ")


def without_password(url: str) -> str:
    """A database's URL, to be shown."""
    from sqlalchemy import make_url

    return make_url(url).render_as_string(hide_password=True)


def _ping(output: Output) -> int:
    with extra("server", "lutnas worker --ping"):
        from kombu.exceptions import OperationalError

        from api.bell import make_celery
    name = f"celery@{socket.gethostname()}"
    try:
        answers = make_celery(load_settings()).control.ping(destination=[name], timeout=PING_SECONDS)
    except (OperationalError, OSError) as error:
        say(f"warning: the broker does not answer: {error}")
        answers = []
    answered = any(name in answer for answer in answers or [])
    output.document({"worker": name, "answered": answered}, f"{name} {'answers' if answered else 'does not answer'}")
    return ExitCode.OK if answered else ExitCode.ERROR


def listen(host: str, port: int) -> socket.socket:
    """A socket whose connections wait for no acknowledgement. Raises Failure."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        hint = "take another with --port; 0 takes any free one"
        raise Failure(f"cannot listen on {host} port {port}: {error.strerror}", hint=hint) from error
    # Connections inherit it. asyncio would set it, but not on what `create_server` makes, and without it the body of an
    # answer waits for the client to acknowledge its head: 40 ms a request.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _address(host: str, port: int) -> str:
    """Address by which this machine reaches a service that listens on `host`."""
    named = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    return f"http://[{named}]:{port}" if ":" in named else f"http://{named}:{port}"


@contextlib.contextmanager
def _address_file(home: Path, address: str) -> Iterator[None]:
    """Leaves the address where the command of this machine looks for it, while the service runs."""
    file = home / "address"
    beside = file.with_name(f".address-{os.getpid()}")
    beside.write_text(address + "\n", encoding="utf-8")
    beside.replace(file)
    try:
        yield
    finally:
        # A second service that started later has put its own address there.
        if file.exists() and file.read_text(encoding="utf-8") == address + "\n":
            file.unlink()


@contextlib.contextmanager
def ended_by_signals(server: "Server") -> Iterator[None]:
    """Turns SIGINT and SIGTERM into an end of the server, after which all is cleaned up.

    uvicorn stops at either, then raises it again for whoever was there before: without this, SIGTERM would end the
    process on the spot and leave the worker behind. Raising SystemExit here would do for that one, but a signal that
    comes before uvicorn listens for them would tear its event loop apart half made, and one that comes while Python
    collects garbage would raise where nobody hears it. A server that is told so before it runs starts and ends.
    """

    def leave(_number: int, _frame: object) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, leave) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _announce(output: Output, address: str, token_file: Path | None) -> None:
    if output.as_json:
        output.line({"address": address, "token_file": None if token_file is None else str(token_file)})
    say(f"lutnas listens on {address}")
    say(f"the token lies in {token_file}" if token_file is not None else "the token is the one that LUTNAS_TOKEN gave")
