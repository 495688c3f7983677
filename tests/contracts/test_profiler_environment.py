"""What a device installs to be profiled: no torch, no server, less than 250 MB; LiteRT and Parquet are extras."""

from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

MOST_BYTES = 250_000_000
FOREIGN = {"torch", "fastapi", "uvicorn", "sqlalchemy", "celery", "redis", "pydantic", "scipy", "pyarrow", "numba"}


def closure(name: str, extra: str = "") -> set[str]:
    """The distributions that `name` with `extra` brings, itself included."""
    found, waiting = set[str](), [(name, extra)]
    while waiting:
        current, wanted = waiting.pop()
        found.add(current)
        for line in metadata.distribution(current).requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": wanted}):
                brought = [(requirement.name.lower(), one) for one in ("", *requirement.extras)]
                waiting += [pair for pair in brought if pair[0] not in found or pair[1]]
    return found


def installed_bytes(name: str) -> int:
    files = metadata.distribution(name).files or ()
    places = (Path(str(file.locate())) for file in files)
    return sum(place.stat().st_size for place in places if place.is_file())


def test_the_profiler_brings_neither_torch_nor_the_server_and_is_small() -> None:
    brought = closure("lutnas", "profiler")
    assert {"onnxruntime", "onnx", "httpx", "numpy"} <= brought
    assert not brought & FOREIGN
    assert sum(map(installed_bytes, brought)) < MOST_BYTES


def test_the_client_alone_brings_no_runtime() -> None:
    assert not closure("lutnas") & {*FOREIGN, "onnx", "onnxruntime"}
