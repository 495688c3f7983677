"""Logs on stderr, one line an event: JSON for machines or text for people, from our loggers and from those of uvicorn
and Celery alike.

Fields of a line in JSON: time (RFC 3339, UTC), level, logger, message; where they are known request_id, token_id,
job_id and attempt; on an answer to a request method, route, status and milliseconds; exception with its traceback.
"""

import logging
import sys
from datetime import UTC, datetime
from typing import Literal

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from api.telemetry.context import facts

Format = Literal["text", "json"]
Level = Literal["debug", "info", "warning", "error"]
# They come with handlers of their own where somebody else set them up.
_JOINED = ("uvicorn", "uvicorn.error", "uvicorn.access", "celery", "celery.task", "celery.redirected")
_SECRETIVE = ("httpx", "httpcore")  # they log URLs, and those of webhooks may hold what opens them
_FACTS = "facts"


def configure(style: Format, level: Level) -> None:
    """Sends all loggers of this process to stderr in one form. What they wrote before went elsewhere."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_with_facts)
    handler.setFormatter(_json() if style == "json" else _Text())
    for name in _JOINED:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    for name in _SECRETIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(True)


def _with_facts(record: logging.LogRecord) -> bool:
    """Runs in the thread that logs, where the work at hand is known."""
    record.__dict__[_FACTS] = dict(facts())
    return True


def _json() -> logging.Formatter:
    return _Json(
        ["levelname", "name", "message"],
        rename_fields={"levelname": "level", "name": "logger", "exc_info": "exception"},
        reserved_attrs=[*RESERVED_ATTRS, _FACTS, "color_message"],  # uvicorn's message once more, in colours
    )


class _Json(JsonFormatter):
    def add_fields(
        self, log_data: dict[str, object], record: logging.LogRecord, message_dict: dict[str, object]
    ) -> None:
        log_data["time"] = _time(record)
        super().add_fields(log_data, record, message_dict)
        log_data.update(record.__dict__[_FACTS])


class _Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return _time(record)

    def formatMessage(self, record: logging.LogRecord) -> str:
        known = " ".join(f"{name}={value}" for name, value in record.__dict__[_FACTS].items())
        return super().formatMessage(record) + (f" [{known}]" if known else "")


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
