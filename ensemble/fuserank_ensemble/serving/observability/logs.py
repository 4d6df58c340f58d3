"""Structured logs: one JSON object a line on stderr, with where something failed and never what was asked."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

LOGGER = "fuserank"
# A record's own attributes that are ours; whatever else was attached to it is not printed.
_FIELDS = ("stage", "bundle", "request_id", "seconds")


class JsonFormatter(logging.Formatter):
    """Writes a record without its exception's words, which may quote a query, a user or a value of theirs."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON: time, level, event, what belongs to it, and of an exception its type and its frames."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            # The constant text alone: arguments may be values of a request.
            "event": record.msg,
        }
        line |= {name: getattr(record, name) for name in _FIELDS if hasattr(record, name)}
        if record.exc_info and record.exc_info[0]:
            kind, _, trace = record.exc_info
            line["error"] = kind.__name__
            line["frames"] = [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(trace)]
        return json.dumps(line, ensure_ascii=False)


def log_as_json() -> logging.Logger:
    """Sends the product's log to stderr as JSON; calling it again changes nothing."""
    logger = logging.getLogger(LOGGER)
    if not any(isinstance(handler.formatter, JsonFormatter) for handler in logger.handlers):
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonFormatter())
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    return logger
