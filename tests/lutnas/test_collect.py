"""`lutnas collect`, beside a running service."""

import os
import time
from typing import Any

from api.artifacts.store import ArtifactStore
from api.ids import new_id
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
