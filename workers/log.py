"""What a worker logs while it runs an attempt: gathered, and bounded, so that it can be kept with the attempt."""

import logging
from collections import deque
from types import TracebackType

_FORM = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class AttemptLog(logging.Handler):
    """Gathers what the process logs while it is entered: its last `most_bytes` of UTF-8, in whole lines of logging."""

    def __init__(self, most_bytes: int) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter(_FORM))
        self._most_bytes = most_bytes
        self._entries: deque[str] = deque()
        self._bytes, self._left_out, self._version = 0, 0, 0

    def __enter__(self) -> "AttemptLog":
        logging.getLogger().addHandler(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        logging.getLogger().removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Takes an entry in; called under the handler's lock."""
        entry = self.format(record).encode("utf-8", "replace")[-self._most_bytes :].decode("utf-8", "replace") + "\n"
        self._entries.append(entry)
        self._bytes += len(entry.encode())
        while self._bytes > self._most_bytes and len(self._entries) > 1:
            self._bytes -= len(self._entries.popleft().encode())
            self._left_out += 1
        self._version += 1

    @property
    def version(self) -> int:
        """Grows with each entry."""
        return self._version

    def text(self) -> str:
        """All that is kept; says at its top how many entries are not."""
        self.acquire()
        try:
            head = f"({self._left_out} earlier entries are not kept)\n" if self._left_out else ""
            return head + "".join(self._entries)
        finally:
            self.release()
