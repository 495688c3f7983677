"""The artifact store, and downloads whole and in part."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.artifacts.service import record
from api.artifacts.store import ArtifactStore, StoreError
from api.db.session import Database
from api.settings import Settings

CONTENT = bytes(range(256)) * 10


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    class Broken:
        def read(self, _size: int) -> bytes:
            raise OSError("the disk is full")

    store = ArtifactStore(tmp_path)
    store.put("jobs/a/1/file", b"first", media_type="text/plain")
    with pytest.raises(OSError, match="full"):
        store.put("jobs/a/1/file", Broken(), media_type="text/plain")  # type: ignore[arg-type]
    assert store.read("jobs/a/1/file") == b"first"
    assert len(list(tmp_path.rglob("*.*"))) == 0


def test_paths_stay_in_the_store(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "store")
    for path in ("../out", "/etc/passwd", "a/../../out", "", "a\\..\\b"):
        with pytest.raises(StoreError):
            store.put(path, b"x", media_type="text/plain")
    with pytest.raises(StoreError, match="is gone"):
        store.read("jobs/none")


def test_deleting_removes_empty_folders_and_nothing_else(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    for name in ("jobs/a/1/x", "jobs/a/2/y"):
        store.put(name, b"x", media_type="text/plain")
    store.delete("jobs/a/1/x")
    store.delete("jobs/a/1/x")
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")) == [
        "jobs", "jobs/a", "jobs/a/2", "jobs/a/2/y",
    ]  # fmt: skip


@pytest.fixture
def content(client: TestClient, settings: Settings, database: Database) -> str:
    """The address of an artifact that holds CONTENT."""
    store = ArtifactStore(settings.artifacts)
    file = store.put("jobs/j/1/weights", CONTENT, media_type="application/octet-stream")
    with database.write() as session:
        return f"/v1/artifacts/{record(session, 'main', file).id}/content"


def test_a_download_has_its_checksum_as_etag_and_a_name(client: TestClient, content: str) -> None:
    answer = client.get(content)
    described = client.get(content.removesuffix("/content")).json()
    assert answer.content == CONTENT
    assert answer.headers["etag"] == f'"{described["sha256"]}"'
    assert answer.headers["content-disposition"] == 'attachment; filename="weights"'
    head = client.head(content)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "2560")


def test_a_page_is_downloaded_and_would_run_nothing(client: TestClient, settings: Settings, database: Database) -> None:
    store = ArtifactStore(settings.artifacts)
    file = store.put("jobs/j/1/report.html", b"<script>alert(1)</script>", media_type="text/html")
    with database.write() as session:
        path = f"/v1/artifacts/{record(session, 'main', file).id}/content"
    headers = client.get(path).headers
    assert headers["content-type"].startswith("text/html")
    assert headers["content-disposition"] == 'attachment; filename="report.html"'
    assert headers["content-security-policy"] == "sandbox; default-src 'none'; style-src 'unsafe-inline'"
    assert headers["x-content-type-options"] == "nosniff"


def test_a_download_goes_on_where_it_was_cut(client: TestClient, content: str) -> None:
    etag = client.get(content).headers["etag"]
    rest = client.get(content, headers={"Range": "bytes=1000-", "If-Range": etag})
    assert (rest.status_code, rest.content) == (206, CONTENT[1000:])
    assert rest.headers["content-range"] == "bytes 1000-2559/2560"
    other = client.get(content, headers={"Range": "bytes=1000-", "If-Range": '"another"'})
    assert (other.status_code, other.content) == (200, CONTENT)
    assert client.get(content, headers={"Range": "bytes=9999-"}).status_code == 416


def test_what_a_client_has_is_not_sent_again(client: TestClient, content: str) -> None:
    etag = client.get(content).headers["etag"]
    known = client.get(content, headers={"If-None-Match": f'"x", {etag}'})
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", etag)


def test_the_artifact_of_another_owner_is_not_there(client: TestClient, content: str, stranger: dict[str, str]) -> None:
    assert client.get(content, headers=stranger).status_code == 404
    assert client.get(content.removesuffix("/content"), headers=stranger).status_code == 404
