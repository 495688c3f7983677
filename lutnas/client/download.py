"""Downloads that are whole or not there: streamed to the side, checked, renamed."""

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from lutnas.client.errors import ChecksumError, UnreachableError
from lutnas.client.transport import Transport

CHUNK = 1 << 18


def download(
    transport: Transport,
    path: str,
    to: Path,
    *,
    sha256: str | None = None,
    on_bytes: Callable[[int], None] | None = None,
    patient: bool = False,
) -> Path:
    """Puts what the service has at `path` into the file `to`, also behind a link, and gives `to` back.

    The bytes go to a file beside it first; only when they are complete, and have the `sha256` that was promised, is
    that file renamed. Where the connection breaks a file is begun anew, as often as `transport` tries a request. What
    is no file, such as /dev/stdout, is written to as they come, once. `on_bytes` hears the size of each piece, and a
    negative one of what is begun anew. Who is `patient` waits for each piece as for an upload. Raises ChecksumError
    (no file is kept) and as `Transport.stream`.
    """

    def written(file: BinaryIO, *, again: bool) -> None:
        for attempt in transport.attempts(again=again):
            with attempt:
                if again:
                    file.seek(0)
                    file.truncate()
                digest = _receive(transport, path, file, on_bytes or (lambda _: None), patient=patient)
        file.flush()
        if sha256 is not None and digest != sha256:
            detail = f"{to.name}: the bytes that came have sha256 {digest}, promised was {sha256}"
            raise ChecksumError(detail, hint="nothing was kept; download it again")

    if (stdout := own_stdout(to)) is not None:
        with stdout:
            written(stdout, again=False)
        return to
    if to.exists() and not to.is_file():
        with to.open("wb") as file:
            written(file, again=False)
        return to
    target = to.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            written(file, again=True)
            os.fsync(file.fileno())
        part.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner reads
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return to


def _receive(transport: Transport, path: str, file: BinaryIO, told: Callable[[int], None], *, patient: bool) -> str:
    """Writes the answer of `path` into `file`; gives its sha256."""
    digest, count = hashlib.sha256(), 0
    try:
        with transport.stream(path, **({"timeout": transport.reading} if patient else {})) as response:
            for piece in response.iter_bytes(CHUNK):
                file.write(piece)
                digest.update(piece)
                count += len(piece)
                told(len(piece))
    except UnreachableError:
        told(-count)
        raise
    return digest.hexdigest()


def own_stdout(to: Path) -> BinaryIO | None:
    """This process's standard output, where `to` names it as /dev/stdout does. It may be sent to a file, which has to
    be gone on with: what opens it by its name cuts it, or puts another in its place.
    """
    try:
        if not os.path.samestat(to.stat(), os.fstat(1)):
            return None
    except OSError:  # neither need be there
        return None
    sys.stdout.flush()
    return os.fdopen(os.dup(1), "wb")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
