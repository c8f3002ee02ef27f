"""The log of ``tallied serve``: text or JSON, written without waiting for its reader.

Access lines go to standard output, and everything else to standard error. Nothing of this touches
the logging of a host.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from datetime import UTC, datetime
from queue import Full, Queue
from threading import Thread
from typing import Any

from uvicorn.logging import DefaultFormatter

from ..logs.errors import format_error
from ..settings import Settings

MAX_WAITING = 10_000
"""How many lines may wait to be written; further lines are dropped and counted."""

CLOSE_SECONDS = 2.0
"""Seconds that the end of the process waits for the remaining lines."""

FIELDS = ("method", "path", "status", "client", "duration", "error_id")
"""Attributes of a record that its JSON object contains as well."""


RETRY_SECONDS = 0.05


class TextFormatter(DefaultFormatter):
    """Write a line for people, in colours on a terminal; an error's traceback is shortened."""

    def formatException(self, ei: Any) -> str:
        """Return an error and its traceback without the values of users."""
        return format_error(ei[1]) if ei[1] else super().formatException(ei)


class JsonFormatter(logging.Formatter):
    """Write one object per line, for programs."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as JSON; the time is in UTC (RFC 3339)."""
        written = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "timestamp": written.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": getattr(record, "request_id", None),
        }
        line |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        if record.exc_info and record.exc_info[1]:
            line["exception"] = format_error(record.exc_info[1])
        return json.dumps(line, default=str)


class BackgroundHandler(logging.Handler):
    """Write lines in a thread, so that no request waits for their reader.

    :param stream: ``stdout`` or ``stderr``.
    """

    def __init__(self, stream: str) -> None:
        super().__init__()
        # Not through the stream, whose lock a thread that hangs would hold as the process ends.
        self._file = getattr(sys, stream).fileno()
        self._lines: Queue[str | None] = Queue(MAX_WAITING)
        self._dropped = 0
        self._thread = Thread(target=self._write_all, name="tallied log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a line for the thread, or drop it if too many are waiting."""
        try:
            self._lines.put_nowait(self.format(record))
        except Full:
            self._dropped += 1
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Write the remaining lines, if that is possible in a short time."""
        try:
            self._lines.put_nowait(None)
        except Full:
            pass
        else:
            self._thread.join(CLOSE_SECONDS)
        super().close()

    def _write_all(self) -> None:
        while (line := self._lines.get()) is not None:
            dropped, self._dropped = self._dropped, 0
            if dropped:
                self._write(self._report(dropped))
            self._write(line)

    def _report(self, dropped: int) -> str:
        message = f"{dropped} lines of the log were dropped: nobody has read it."
        record = logging.LogRecord("tallied", logging.WARNING, "", 0, message, None, None)
        record.request_id = "-"
        return self.format(record)

    def _write(self, line: str) -> None:
        content = f"{line}\n".encode(errors="backslashreplace")
        while content:
            try:
                content = content[os.write(self._file, content) :]
            except BlockingIOError:
                time.sleep(RETRY_SECONDS)  # Another process has set the pipe to be non-blocking.
            except OSError:
                return  # The reader is gone, or the disk is full: there is nobody to tell.


def make_log_config(settings: Settings) -> dict[str, Any]:
    """Return the configuration of the logging of ``tallied serve``.

    uvicorn's own lines are left out but for warnings; those about requests are Tallied's.
    """
    module = __name__
    formatter: dict[str, Any] = {"()": f"{module}.JsonFormatter"}
    if settings.log_format == "text":
        formatter = {
            "()": f"{module}.TextFormatter",
            "fmt": "%(levelprefix)s [%(request_id)s] %(message)s",
        }
    handlers = {
        name: {
            "()": f"{module}.BackgroundHandler",
            "stream": name,
            "formatter": "line",
            "filters": ["request_id"],
        }
        for name in ("stdout", "stderr")
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"request_id": {"()": "tallied.logs.request_ids.RequestIdFilter"}},
        "formatters": {"line": formatter},
        "handlers": handlers,
        "loggers": {
            "uvicorn.error": {"level": "WARNING"},
            "tallied": {"level": "INFO"},
            "tallied.access": {
                "handlers": ["stdout"],
                "level": "INFO" if settings.logs_requests else "WARNING",
                "propagate": False,
            },
        },
        "root": {"handlers": ["stderr"], "level": "WARNING"},
    }
