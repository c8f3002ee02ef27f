"""One id per request, in its log lines and its response.

The id is the one that a client or a proxy sends as ``X-Request-Id``, if it can be written into a
log as it is; else a new one. A WebSocket has one for its whole life, that of its handshake.

A host has :class:`RequestIds` around its application, and :class:`RequestIdFilter` on its handlers;
without the former, log lines of Tallied's own endpoint have an id, and answers have none.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Awaitable, Iterable
from contextvars import ContextVar
from random import Random

from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "X-Request-Id"

NAME = HEADER.lower().encode()
"""The header's name as ASGI has it."""

KEY = "tallied.request_id"
"""The key of the id in the scope of a request."""

_SAFE = re.compile(rb"[A-Za-z0-9._:/@+=-]{1,128}")
"""Ids without spaces, control characters, and characters that a log or a shell interprets."""

_random = Random()
"""The source of new ids, which are not secrets: the system's own would let other threads run, for
which a request then waits."""

if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_random.seed)

_current: ContextVar[str | None] = ContextVar("tallied_request_id", default=None)


def current_request_id() -> str | None:
    """Return the id of the current request; None outside of a request."""
    return _current.get()


def choose_request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the id in the headers of a request, or a new one.

    :param headers: as ASGI has them, with names in lower case.
    """
    values = [value for name, value in headers if name == NAME]
    if len(values) == 1 and _SAFE.fullmatch(values[0]):
        return values[0].decode("ascii")
    return f"{_random.getrandbits(128):032x}"


class RequestIds:
    """Give each request an id, and its response the header.

    :param in_answers: whether the header is added, which the outermost application does.
    """

    def __init__(self, app: ASGIApp, in_answers: bool = True) -> None:
        self._app = app
        self._in_answers = in_answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request under its id, or under that of the surrounding application."""
        if scope["type"] not in ("http", "websocket") or KEY in scope:
            await self._app(scope, receive, send)
            return
        id = choose_request_id(scope["headers"])
        scope[KEY] = id
        # Never reset: the task ends with the request, and what it leaves behind belongs to it.
        _current.set(id)

        def send_with_id(message: Message) -> Awaitable[None]:
            if message["type"] in _START_MESSAGES:
                headers = message.get("headers", ())
                others = [header for header in headers if header[0] != NAME]
                message["headers"] = [*others, (NAME, id.encode())]
            return send(message)

        await self._app(scope, receive, send_with_id if self._in_answers else send)


_START_MESSAGES = ("http.response.start", "websocket.http.response.start", "websocket.accept")


class RequestIdFilter(logging.Filter):
    """Give each record the attribute ``request_id``: ``-`` outside of a request.

    It goes onto a handler, since the filters of a logger do not see the records of others.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every record."""
        if not hasattr(record, "request_id"):
            record.request_id = current_request_id() or "-"
        return True
