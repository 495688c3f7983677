"""Downloads that are whole or not there: streamed to the side, checked, renamed."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

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
    """Puts what the service has at `path` into the file `to`, and gives `to` back.

    The bytes go to a file beside it first; only when they are complete, and have the `sha256` that was promised, is
    that file renamed. `on_bytes` hears the size of each piece. Raises ChecksumError (nothing is kept) and as
    `Transport.stream`; a broken connection is not gone on with.
    """
    to.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{to.name}.", suffix=".part", dir=to.parent)
    part, digest = Path(name), hashlib.sha256()
    try:
        with os.fdopen(descriptor, "wb") as file, transport.stream(path) as response:
            for piece in response.iter_bytes(CHUNK):
                file.write(piece)
                digest.update(piece)
                if on_bytes is not None:
                    on_bytes(len(piece))
            file.flush()
            os.fsync(file.fileno())
        if sha256 is not None and digest.hexdigest() != sha256:
            detail = f"{to.name}: the bytes that came have sha256 {digest.hexdigest()}, promised was {sha256}"
            raise ChecksumError(detail, hint="nothing was kept; download it again")
        part.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner reads
        part.replace(to)
    finally:
        part.unlink(missing_ok=True)
    return to


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
