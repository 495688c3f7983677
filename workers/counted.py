"""An attempt as it is seen from outside."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from api.telemetry.metrics import ATTEMPTS


@contextmanager
def counted_attempt(outcome: Callable[[Exception | None], str]) -> Iterator[None]:
    """Counts the attempt inside; `outcome` names what became of it by the error that ended it, None for none."""
    try:
        yield
    except Exception as error:
        ATTEMPTS.labels(outcome=outcome(error)).inc()
        raise
    ATTEMPTS.labels(outcome=outcome(None)).inc()
