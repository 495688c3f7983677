"""`lutnas collect`, beside a running service."""

import os
import sqlite3
import time
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from api.artifacts.store import ArtifactStore
from api.db.migrate import upgrade
from api.ids import new_id
from lutnas.cli import cli
from tests.lutnas.conftest import Service


def test_it_tells_what_would_go_and_then_removes_it(service: Service, table: Any) -> None:
    path = ArtifactStore(service.home / "artifacts").put(f"datasets/{new_id('dst')}.npz", b"12345", media_type="x")
    file = service.home / "artifacts" / path.path_in_store
    os.utime(file, (time.time() - 7200,) * 2)
    told = service.data("collect", "--dry-run")
    assert (told["dry_run"], told["files"], told["bytes"], file.exists()) == (True, 1, 5, True)
    done = service.data("collect")
    assert (done["dry_run"], done["files"], file.exists()) == (False, 1, False)
    assert service.data("collect")["files"] == 0
    assert "files" in service.lutnas("collect").stdout


def test_a_database_of_another_version_is_left_alone(tmp_path: Path) -> None:
    database = tmp_path / "lutnas.db"
    upgrade(f"sqlite:///{database}")
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    told = CliRunner().invoke(cli, ["collect"], env={"LUTNAS_HOME": str(tmp_path)})
    assert told.exit_code == 1
    assert f"{database}: it is of another version" in told.stderr
