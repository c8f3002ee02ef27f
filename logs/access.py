"""The access log of a standalone server: one line per request."""

from __future__ import annotations

import logging
import time
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger("tallied.access")

MAX_PATH_LENGTH = 300
"""The most characters of a path in a line."""

WEBSOCKET = "WEBSOCKET"
"""The method in the line of a WebSocket's handshake."""


class AccessLog:
    """Log each request after its response, and each handshake after its response.

    The query string is left out: GraphQL's variables are in it, and so are tokens that pages put
    there. A client that is gone before it is answered has no status.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, and log it."""
        if scope["type"] not in ("http", "websocket") or not logger.isEnabledFor(logging.INFO):
            await self._app(scope, receive, send)
            return
        start, status = time.monotonic(), None

        async def send_and_look(message: Message) -> None:
            nonlocal status
            if status is None and message["type"] in _STATUSES:
                status = message.get("status", _STATUSES[message["type"]])
                if scope["type"] == "websocket":
                    _write(scope, status, start)
            await send(message)

        try:
            await self._app(scope, receive, send_and_look)
        finally:
            if scope["type"] == "http" or status is None:
                _write(scope, status, start)


_STATUSES = {
    "http.response.start": None,
    "websocket.http.response.start": None,
    "websocket.accept": 101,
    "websocket.close": 403,
}
"""The messages that respond, with the status of those that have none."""


def _write(scope: Scope, status: int | None, start: float) -> None:
    address = scope.get("client")
    fields = {
        "method": scope.get("method", WEBSOCKET),
        "path": quote(scope["path"])[:MAX_PATH_LENGTH],
        "status": status,
        "client": address[0] if address else None,
        "duration": round(time.monotonic() - start, 4),
    }
    logger.info(
        '%s "%s %s" %s in %s s',
        fields["client"] or "-",
        fields["method"],
        fields["path"],
        status or "-",
        fields["duration"],
        extra=fields,
    )
