"""Downloads that are whole or not there: streamed to the side, checked, renamed."""

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from lutnas.client.errors import ChecksumError
from lutnas.client.transport import Transport

CHUNK = 1 << 18


def download(
    transport: Transport,
    path: str,
    to: Path,
    *,
    sha256: str | None = None,
    on_bytes: Callable[[int], None] | None = None,
) -> Path:
    """Puts what the service has at `path` into the file `to`, also behind a link, and gives `to` back.

    The bytes go to a file beside it first; only when they are complete, and have the `sha256` that was promised, is
    that file renamed. What is no file, such as /dev/stdout, is written to as they come. `on_bytes` hears the size of
    each piece. Raises ChecksumError (no file is kept) and as `Transport.stream`; a broken connection is not gone on
    with.
    """

    def written(file: BinaryIO) -> None:
        digest = hashlib.sha256()
        with transport.stream(path) as response:
            for piece in response.iter_bytes(CHUNK):
                file.write(piece)
                digest.update(piece)
                if on_bytes is not None:
                    on_bytes(len(piece))
        file.flush()
        if sha256 is not None and digest.hexdigest() != sha256:
            detail = f"{to.name}: the bytes that came have sha256 {digest.hexdigest()}, promised was {sha256}"
            raise ChecksumError(detail, hint="nothing was kept; download it again")

    if (stdout := own_stdout(to)) is not None:
        with stdout:
            written(stdout)
        return to
    if to.exists() and not to.is_file():
        with to.open("wb") as file:
            written(file)
        return to
    target = to.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            written(file)
            os.fsync(file.fileno())
        part.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner reads
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return to


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
