"""The artifact store, and downloads whole and in part."""

import hashlib
import re
import resource
import signal
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from api.app import create_app
from api.artifacts.models import Artifact
from api.artifacts.place import Bucket, place_of
from api.artifacts.service import are_there, record
from api.artifacts.store import ArtifactStore, StoreAway, StoredFile, StoreError
from api.db.session import Database
from api.jobs.lease import claim, save_checkpoint
from api.settings import Settings
from tests.api.making import X, Y, an_npz

CONTENT = bytes(range(256)) * 10


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """A folder, and a bucket of a real server."""
    if request.param == "folder":
        return tmp_path / "store"
    return str(request.getfixturevalue("bucket_url"))


@pytest.fixture
def store(place: Path | str) -> ArtifactStore:
    store = ArtifactStore(place)
    store.prepare()
    return store


class Broken:
    """A source that ends in the middle of its second part."""

    def __init__(self) -> None:
        self.left = 12

    def read(self, size: int) -> bytes:
        self.left -= 1
        if not self.left:
            raise OSError("the disk is full")
        return bytes(size)


def test_a_checkpoint_is_a_file_that_the_store_has_to_have(database: Database, client: TestClient, job: str) -> None:
    with database.write() as session:
        assert not are_there(session)
        lease = claim(session, job, worker="w", lease_seconds=60)
        assert lease is not None
        file = StoredFile("checkpoint", f"jobs/{job}/1/checkpoint", 1, "0", "x/y")
        save_checkpoint(session, lease, step=1, artifact=file)
        assert are_there(session)


def test_what_is_put_is_read_whole_in_part_and_as_a_file(store: ArtifactStore) -> None:
    large = bytes(range(256)) * (60 << 10)  # 15 MiB: several parts of an upload, several pieces of a download
    for source in (large, BytesIO(large)):
        file = store.put("jobs/a/1/large.bin", source, media_type="text/plain")
        assert (file.bytes, file.sha256) == (len(large), hashlib.sha256(large).hexdigest())
    assert store.read("jobs/a/1/large.bin") == large
    pieces = list(store.open("jobs/a/1/large.bin", 5, 3 << 20))
    assert b"".join(pieces) == large[5 : 3 << 20]
    assert b"".join(store.open("jobs/a/1/large.bin", len(large) - 7)) == large[-7:]
    with store.local("jobs/a/1/large.bin") as path:
        assert path.read_bytes() == large
        assert path.suffix == ".bin"


def test_an_empty_file_is_a_file(store: ArtifactStore) -> None:
    assert store.put("jobs/a/1/empty", b"", media_type="text/plain").bytes == 0
    assert store.read("jobs/a/1/empty") == b""
    assert list(store.open("jobs/a/1/empty", 0, 0)) == []


def test_a_file_is_whole_or_not_there(store: ArtifactStore) -> None:
    store.put("jobs/a/1/file", b"first", media_type="text/plain")
    with pytest.raises(OSError, match="full"):
        store.put("jobs/a/1/file", Broken(), media_type="text/plain")  # type: ignore[arg-type]
    assert store.read("jobs/a/1/file") == b"first"
    with pytest.raises(OSError, match="full"):
        store.put("jobs/a/1/new", Broken(), media_type="text/plain")  # type: ignore[arg-type]
    assert [file.path for file in store.found()] == ["jobs/a/1/file"]


def test_paths_stay_in_the_store(store: ArtifactStore) -> None:
    for path in ("../out", "/etc/passwd", "a/../../out", "", "a\\..\\b"):
        with pytest.raises(StoreError):
            store.put(path, b"x", media_type="text/plain")
    store.put("jobs/some", b"x", media_type="text/plain")
    with pytest.raises(StoreError, match="is gone"):
        store.open("jobs/none")  # at once: an answer has not begun yet
    with pytest.raises(StoreError, match="is gone"), store.local("jobs/none"):
        pass


def test_files_are_found_by_folder_with_size_and_time_until_they_are_deleted(store: ArtifactStore) -> None:
    before = datetime.now(UTC) - timedelta(seconds=5)
    for path in ("jobs/a/1/x", "jobs/a/2/y", "jobs/ab/1/z"):
        store.put(path, b"four", media_type="text/plain")
    found = {file.path: file for file in store.found("jobs/a")}
    assert set(found) == {"jobs/a/1/x", "jobs/a/2/y"}
    assert all(file.bytes == 4 and file.written_at > before for file in found.values())
    store.delete("jobs/a/1/x")
    store.delete("jobs/a/1/x")
    assert {file.path for file in store.found()} == {"jobs/a/2/y", "jobs/ab/1/z"}


def test_a_store_says_what_is_wrong_with_it(store: ArtifactStore, place: Path | str) -> None:
    assert store.fault() is None
    if isinstance(place, Path):
        assert "cannot be written" in str(ArtifactStore(place / "none").fault())
    else:
        fault = ArtifactStore(place.replace("s3://", "s3://no-")).fault()
        assert fault is not None
        assert "cannot be used" in fault
        assert len(fault.splitlines()) == 1


def test_a_bucket_that_does_not_answer_is_away_and_a_file_that_is_not_there_is_not(bucket_url: str) -> None:
    with pytest.raises(StoreError) as missing:
        ArtifactStore(bucket_url).read("jobs/a/1/x")
    assert not isinstance(missing.value, StoreAway)
    away = ArtifactStore(re.sub("endpoint_url=.*", "endpoint_url=http://127.0.0.1:9", bucket_url))
    for call in (away.read, away.delete, lambda path: away.put(path, b"x", media_type="x"), lambda _: [*away.found()]):
        with pytest.raises(StoreAway, match="cannot be used"):
            call("jobs/a/1/x")


def test_a_probe_of_a_bucket_that_says_nothing_ends_soon(bucket_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.artifacts.bucket.LOOK_SECONDS", 0.2)
    monkeypatch.setattr("api.artifacts.bucket.SILENT_SECONDS", 0.2)
    monkeypatch.setattr("api.artifacts.bucket.WRITE_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = re.sub("endpoint_url=.*", f"endpoint_url=http://127.0.0.1:{silent.getsockname()[1]}", bucket_url)
        store = ArtifactStore(url)
        assert "cannot be used" in str(store.fault())
        with pytest.raises(StoreAway, match="cannot be used"):
            store.put("jobs/a/1/x", b"x", media_type="x")


class _Drips(BaseHTTPRequestHandler):
    """A bucket behind a slow line: one object, a piece at a time."""

    def do_GET(self) -> None:
        self.send_response(200)
        headers = {"Content-Length": "40", "ETag": '"x"', "Last-Modified": "Mon, 30 Nov 2026 07:00:00 GMT"}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        for _ in range(4):
            time.sleep(0.9)
            self.wfile.write(b"0123456789")
            self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """Not on the test's output."""


def test_a_file_that_takes_longer_than_an_answer_may_is_read_whole(
    bucket_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.artifacts.bucket.SILENT_SECONDS", 3.0)
    monkeypatch.setattr("api.artifacts.bucket.READ_SECONDS", 0.1)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Drips) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        url = re.sub("endpoint_url=.*", f"endpoint_url=http://127.0.0.1:{server.server_address[1]}", bucket_url)
        try:
            assert ArtifactStore(url).read("jobs/a/1/x") == b"0123456789" * 4
        finally:
            server.shutdown()
            thread.join()


def test_a_share_that_is_away_or_fails_is_told_apart_from_a_file_that_is_gone(tmp_path: Path) -> None:
    share = tmp_path / "share"
    store = ArtifactStore(share)
    with pytest.raises(StoreAway, match="is not there: is it mounted"):
        store.put("jobs/a/1/x", b"x", media_type="x/y")
    store.prepare()
    store.put("jobs/a/1/x", b"x", media_type="x/y")
    share.rename(tmp_path / "elsewhere")
    with pytest.raises(StoreAway, match="is empty, or not there"):
        store.read("jobs/a/1/x")
    share.mkdir()  # as a mount point is where nothing is mounted
    for load in (store.read, lambda path: store.local(path).__enter__()):
        with pytest.raises(StoreAway, match="is empty, or not there"):
            load("jobs/a/1/x")
    share.rmdir()
    with pytest.raises(StoreAway, match="is not there"):
        list(store.found())
    with pytest.raises(StoreAway, match="is not there"):
        store.prepare(is_new=False)
    share.write_bytes(b"no folder")
    with pytest.raises(StoreAway, match="is not there"):
        store.put("jobs/a/1/x", b"x", media_type="x/y")
    share.unlink()
    (tmp_path / "elsewhere").rename(share)
    assert store.read("jobs/a/1/x") == b"x"
    with pytest.raises(StoreError, match="is gone") as gone:
        store.read("jobs/a/1/y")
    assert not isinstance(gone.value, StoreAway)


@pytest.mark.parametrize("count", [100, 2**20 + 5])
def test_a_disk_that_fails_at_a_write_is_away_however_small_the_file(tmp_path: Path, count: int) -> None:
    (tmp_path / "jobs").mkdir()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then a write beyond the limit fails with EFBIG
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, limits[1]))
    try:
        with pytest.raises(StoreAway, match="cannot be used: File too large"):
            ArtifactStore(tmp_path).put("jobs/a/1/x", b"x" * count, media_type="x/y")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_a_file_is_made_of_fails_for_itself(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Is a directory"):
        ArtifactStore(tmp_path).put("jobs/a/1/x", tmp_path, media_type="x/y")


def test_a_request_that_needs_a_bucket_that_is_away_may_be_tried_again_and_leaves_nothing(
    client: TestClient, settings: Settings, bucket_url: str
) -> None:
    working = settings.model_copy(update={"artifacts": bucket_url})
    away = settings.model_copy(
        update={"artifacts": re.sub("endpoint_url=.*", "endpoint_url=http://127.0.0.1:9", bucket_url)}
    )
    headers = {"Authorization": client.headers["Authorization"]}
    upload = {"data": {"name": "away"}, "files": {"file": an_npz(x=X, y=Y)}}
    with TestClient(create_app(away), headers=headers) as asked:
        refused = asked.post("/v1/datasets", **upload)
        assert (refused.status_code, refused.json()["type"]) == (503, "urn:lutnas:problem:store-unavailable")
        assert int(refused.headers["Retry-After"]) > 0
        assert asked.get("/v1/datasets/away").status_code == 404
    with TestClient(create_app(working), headers=headers) as asked:
        assert asked.post("/v1/datasets", **upload).status_code == 201


def test_folders_that_are_removed_while_files_are_listed_are_passed_over(tmp_path: Path) -> None:
    store, paths = ArtifactStore(tmp_path), [f"jobs/{job}/1/x" for job in "abc"]
    for path in paths:
        store.put(path, b"x", media_type="x/y")
    listed = store.found()
    first = next(listed).path
    for path in paths:
        store.delete(path)
    assert first in paths
    assert list(listed) == []


def test_deleting_removes_empty_folders_and_nothing_else(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    for name in ("jobs/a/1/x", "jobs/a/2/y"):
        store.put(name, b"x", media_type="text/plain")
    store.delete("jobs/a/1/x")
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")) == [
        "jobs", "jobs/a", "jobs/a/2", "jobs/a/2/y",
    ]  # fmt: skip


def test_a_url_of_no_bucket_is_refused() -> None:
    wrong = ["https://host/bucket", "s3://", "s3://key:secret@bucket", "s3://b?profile=x", "s3://b?endpoint_url=host"]
    for url in wrong:
        with pytest.raises(ValueError):
            place_of(url)
        with pytest.raises(ValueError, match="artifacts"):
            Settings(artifacts=url)
    assert place_of("s3://b/a/b/?endpoint_url=http://h:1&region=eu") == Bucket("b", "a/b", "http://h:1", "eu")
    assert Settings(artifacts="~/files").artifacts == Path("~/files").expanduser()


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
    beyond = client.get(content, headers={"Range": "bytes=9999-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, "bytes */2560")
    assert beyond.json()["type"] == "urn:lutnas:problem:range-not-satisfiable"


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [
        ("bytes=0-0", 206, slice(0, 1)), ("bytes=-5", 206, slice(2555, 2560)),
        ("bytes=2559-9999", 206, slice(2559, 2560)),
        ("bytes=-9999", 200, slice(0, 2560)), ("bytes=0-", 200, slice(0, 2560)),
        ("bytes=5-1", 200, slice(0, 2560)), ("bytes=-", 200, slice(0, 2560)), ("lines=1-2", 200, slice(0, 2560)),
        ("bytes=0-1,5-6", 200, slice(0, 2560)), (f"bytes={'9' * 5000}-", 200, slice(0, 2560)),
        (f"bytes=5-{'9' * 30}", 206, slice(5, 2560)),
    ],
)  # fmt: skip
def test_a_part_is_what_was_asked_for_and_all_else_is_the_whole(
    client: TestClient, content: str, asked: str, status: int, part: slice
) -> None:
    answer = client.get(content, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (status, CONTENT[part])
    assert answer.headers["content-length"] == str(len(CONTENT[part]))


def test_what_a_client_has_is_not_sent_again(client: TestClient, content: str) -> None:
    etag = client.get(content).headers["etag"]
    known = client.get(content, headers={"If-None-Match": f'"x", {etag}'})
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", etag)


def test_the_artifact_of_another_owner_is_not_there(client: TestClient, content: str, stranger: dict[str, str]) -> None:
    assert client.get(content, headers=stranger).status_code == 404
    assert client.get(content.removesuffix("/content"), headers=stranger).status_code == 404


def test_a_service_on_a_bucket_takes_data_and_gives_files(settings: Settings, token: str, bucket_url: str) -> None:
    changed = settings.model_copy(update={"artifacts": bucket_url})
    with TestClient(create_app(changed), headers={"Authorization": f"Bearer {token}"}) as client:
        assert client.get("/readyz").json()["checks"]["artifacts"] == "ok"
        sent = {"data": {"name": "mine"}, "files": {"file": an_npz(x=X, y=Y)}}
        assert client.post("/v1/datasets", **sent).status_code == 201
        assert client.post("/v1/datasets", **sent).status_code == 200
        store = ArtifactStore(bucket_url)
        (kept,) = store.found()  # the second one's file is deleted again
        database = Database(settings.database_url)
        with database.read() as session:
            artifact = session.scalars(select(Artifact)).one()
        database.close()
        assert (artifact.path, artifact.bytes) == (kept.path, kept.bytes)
        content = f"/v1/artifacts/{artifact.id}/content"
        whole = client.get(content)
        assert hashlib.sha256(whole.content).hexdigest() == artifact.sha256
        part = client.get(content, headers={"Range": "bytes=10-19", "If-Range": whole.headers["etag"]})
        assert (part.status_code, part.content) == (206, whole.content[10:20])
        assert client.get(content, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
