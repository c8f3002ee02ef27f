"""HTTP as uvicorn reads it, with bounds on how much and how slowly a client sends.

uvicorn 0.54 with httptools bounds neither the size of a request's headers nor the time
that a client takes to send it, so that a few idle sockets, or one that trickles, hold on
to the server (a "slowloris"). Here a client that is past a limit loses its connection.
Its body's size is bounded by the application, which knows what it is for.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import uvicorn
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from .settings import Settings


class Config(uvicorn.Config):
    """uvicorn's configuration, with the settings that the protocol needs."""

    def __init__(self, settings: Settings, app: str, **options: Any) -> None:
        super().__init__(app, http=BoundedProtocol, **options)
        self.settings = settings


class BoundedProtocol(HttpToolsProtocol):
    """One connection. At any moment it waits for headers, or a body, or for the application."""

    def __init__(self, config: Config, *arguments: Any, **options: Any) -> None:
        super().__init__(config, *arguments, **options)
        self._settings = config.settings
        self._timer: asyncio.TimerHandle | None = None
        self._reader: asyncio.TimerHandle | None = None
        self._current: RequestResponseCycle | None = None
        self._in_headers = True
        self._advanced = False
        self._received = 0
        self._parsed = 0
        self._refused = False
        self.url = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait(self._settings.header_time)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        if self._reader is not None:
            self._reader.cancel()
        if self._current is not None:
            # uvicorn tells only the latest request, which pipelined ones come before.
            self._current.disconnected = True
            self._current.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused or self.transport.is_closing():
            return
        if self._timer is None and self._in_headers:
            # Before the parser finds a message to begin, since blank lines may come first.
            self._wait(self._settings.header_time)
        self._advanced = False
        super().data_received(data)
        if self._in_headers and not self._advanced:
            # The parser tells of a header only once it is there as a whole.
            self._received += len(data)
            self._check_size(self._received)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_headers = True
        self._parsed = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._parsed += len(url)
        self._check_size(self._parsed)

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._parsed += len(name) + len(value) + len(": \r\n")
        self._check_size(self._parsed)

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self._advanced = True
        self._received = 0
        self._wait(self._settings.body_time + 1)  # The application's own limit comes first.
        if not self._refused:
            super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._current = cycle
        super()._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_headers = True
        self._advanced = True
        self._stop_waiting()
        if not self._refused:
            super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        self._stop_waiting()
        if not self._refused:
            super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "BAD_REQUEST", "The request is not valid HTTP/1.1.")

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._watch_reader()

    def _watch_reader(self, before: int | None = None) -> None:
        """Drop the connection of a client that reads nothing of its answer for a time.

        :param before: how many bytes it had still to be sent then.
        """
        left = self.transport.get_write_buffer_size()
        if before is not None and left >= before:
            self.transport.abort()
        elif left and (before is not None or self._reader is None):
            later = self._settings.body_time
            self._reader = self.loop.call_later(later, self._watch_reader, left)
        else:
            self._reader = None

    def _check_size(self, size: int) -> None:
        limit = self._settings.header_size
        if size > limit:
            says = f"The request's line and headers must have at most {limit} bytes."
            if len(self.url) > limit // 2:
                self._refuse(414, "URI_TOO_LONG", f"{says} Send a long query by POST.")
            else:
                self._refuse(431, "HEADERS_TOO_LARGE", says)

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(seconds, self._too_slow)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if self.pipeline:
            # The server does not read on until it has answered what came before.
            self._wait(self._settings.body_time)
        elif self._in_headers and self._received:
            seconds = self._settings.header_time
            says = f"The request's headers must be sent within {seconds} seconds."
            self._refuse(408, "REQUEST_TIMEOUT", says)
        else:
            self.transport.close()

    def _refuse(self, status: int, code: str, message: str) -> None:
        """Answer what the application never gets to see, and close the connection."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        if self.cycle is None or self.cycle.response_complete:
            body = orjson.dumps({"errors": [{"message": message, "extensions": {"code": code}}]})
            head = (
                b"content-type: application/json\r\n"
                b"cache-control: no-store\r\n"
                b"connection: close\r\n"
                b"content-length: %d\r\n\r\n" % len(body)
            )
            self.transport.write(STATUS_LINE[status] + head + body)
        self.transport.close()
