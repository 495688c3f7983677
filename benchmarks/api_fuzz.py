"""What the API answers to requests that nobody thought of: some ten thousand, made from its own description.

The API runs in this process, on SQLite or on a Postgres that is started for it. Every failure is a request with its
answer, and the exit code is 1 where there is one.
"""

import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.app import create_app
from api.auth.service import ensure_token
from api.db.migrate import upgrade
from api.db.session import Database
from api.settings import Settings
from benchmarks._fuzzing import fuzz
from benchmarks._reporting import parser, say, show
from tests.api.making import CSV, a_table_csv, one_of_each, submit
from tests.servers.postgres import start_postgres

ROUND = 30  # random requests of a kind to an operation, before another seed


@contextmanager
def store(name: str, home: Path) -> Iterator[str]:
    """URL of an empty database."""
    if name == "sqlite":
        yield f"sqlite:///{home / 'lutnas.db'}"
        return
    server = start_postgres()
    try:
        yield server.url
    finally:
        server.stop()


def furnish(settings: Settings) -> tuple[FastAPI, str, dict[str, str]]:
    """The API with one of everything, the token of its home and the ids of what it has."""
    upgrade(settings.database_url)
    path = ensure_token(settings)
    assert path is not None
    token, app, database = path.read_text().strip(), create_app(settings), Database(settings.database_url)
    with TestClient(create_app(settings), headers={"Authorization": f"Bearer {token}"}) as client:
        client.post("/v1/devices", json={"name": "cpu"}).raise_for_status()
        client.post("/v1/devices/cpu/tables", content=a_table_csv(), headers=CSV).raise_for_status()
        known = one_of_each(client, database, settings.artifacts, submit(client))
    database.close()
    return app, token, known


def main() -> None:
    """Runs the benchmark."""
    options = parser(__doc__)
    options.add_argument("--cases", type=int, default=10_000, help="requests at the least")
    options.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    for name in [name for name in os.environ if name.startswith("LUTNAS_")]:
        del os.environ[name]
    operations, failures, cases = Counter[str](), dict[tuple[str, str], dict[str, Any]](), 0
    with tempfile.TemporaryDirectory() as home, store(given.store, Path(home)) as url:
        settings = Settings(home=Path(home), database_url=url, sweep_seconds=3600, threads=1, requests_per_minute=10**9)
        app, token, known = furnish(settings)
        seed = given.seed
        while cases < given.cases:
            found = fuzz(app, token, known, examples=ROUND, seed=seed, coverage=seed == given.seed)
            cases, operations, failures = cases + found.cases, operations + found.operations, found.failures | failures
            say(f"seed {seed}: {cases} requests, {len(failures)} failures")
            seed += 1
    show({"cases": cases, "operations": len(operations), "failures": list(failures.values())}, as_json=given.json)
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
