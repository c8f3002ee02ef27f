"""HTTP and WebSocket as uvicorn reads them, with bounds on how much and how slowly clients send.

uvicorn 0.54 with httptools bounds neither the size of a request's headers nor the time
that a client takes to send it, so that a few idle sockets, or one that trickles, hold on
to the server (a "slowloris"). Here a client that is past a limit loses its connection.
Its body's size is bounded by the application, which knows what it is for.

Over WebSocket, a message is no larger than a body, and nothing is compressed, which would
hold the event loop for a large answer.
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
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame

from .settings import Settings


class Config(uvicorn.Config):
    """uvicorn's configuration, with the settings that the protocol needs."""

    def __init__(self, settings: Settings, app: str, **options: Any) -> None:
        super().__init__(
            app,
            http=BoundedProtocol,
            ws=BoundedWebSocket,
            ws_max_size=settings.body_size,
            ws_per_message_deflate=False,
            **options,
        )
        self.settings = settings


class Reader:
    """Drops the connection of a client that reads nothing of its answer for a time."""

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None
        self.has_read = False
        """Whether it has read nearly all there was, so that there may be as much again by now."""

    def watch(self, transport: asyncio.Transport) -> None:
        """Begin, unless it is watched already or has nothing to read."""
        left = transport.get_write_buffer_size()
        if left and self._timer is None:
            self.has_read = False
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._seconds, self._look, transport, left)

    def _look(self, transport: asyncio.Transport, before: int) -> None:
        self._timer = None
        if transport.get_write_buffer_size() >= before and not self.has_read:
            transport.abort()
        else:
            self.watch(transport)

    def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class BoundedProtocol(HttpToolsProtocol):
    """One connection. At any moment it waits for headers, or a body, or for the application."""

    def __init__(self, config: Config, *arguments: Any, **options: Any) -> None:
        super().__init__(config, *arguments, **options)
        self._settings = config.settings
        self._timer: asyncio.TimerHandle | None = None
        self._reader = Reader(config.settings.body_time)
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
        self._reader.stop()
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
        if self.cycle is not None and not self.cycle.response_complete:
            # What was asked before would be answered in the midst of the WebSocket.
            self._refuse(400, "BAD_REQUEST", "Open a WebSocket on a connection of its own.")
        if not self._refused:
            self._reader.stop()
            super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "BAD_REQUEST", "The request is not valid HTTP/1.1.")

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reader.watch(self.transport)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._reader.has_read = True

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._reader.watch(self.transport)

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
            self.transport.write(_refusal(status, code, message))
        self.transport.close()


def _refusal(status: int, code: str, message: str) -> bytes:
    body = orjson.dumps({"errors": [{"message": message, "extensions": {"code": code}}]})
    head = (
        b"content-type: application/json\r\n"
        b"cache-control: no-store\r\n"
        b"connection: close\r\n"
        b"content-length: %d\r\n\r\n" % len(body)
    )
    return STATUS_LINE[status] + head + body


CLOSE_TIME = 2
"""Seconds that a client has to read on, and to close, when the server stops."""

FRAGMENTS = 4096
"""The most frames of one message: an empty one counts for nothing in its size."""


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """One WebSocket."""

    def __init__(self, config: Config, *arguments: Any, **options: Any) -> None:
        super().__init__(config, *arguments, **options)
        self._reader = Reader(config.settings.body_time)

    def connection_lost(self, exc: Exception | None) -> None:
        self._reader.stop()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reader.watch(self.transport)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._reader.has_read = True

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            # uvicorn 0.54 leaves the connection open then, and fails on it as it shuts down.
            self.handshake_initiated = self.handshake_complete = self.close_sent = True
            says = "Open a WebSocket by a GET with at most 128 headers of at most 8192 bytes each."
            self.transport.write(_refusal(400, "BAD_REQUEST", says))
            self.transport.close()

    async def send(self, message: Any) -> None:
        await super().send(message)
        if self.initial_response and self.close_sent:
            self.handshake_complete = True  # or it is logged as an error (uvicorn #3138)

    def keepalive_timeout(self) -> None:
        if self.transport.get_write_buffer_size() and self.ping_timeout:
            # The ping is behind an answer that is still being read, which is watched.
            self.pong_timer = self.loop.call_later(self.ping_timeout, self.keepalive_timeout)
        else:
            super().keepalive_timeout()

    def shutdown(self) -> None:
        super().shutdown()
        self.loop.call_later(CLOSE_TIME, self.transport.abort)

    def handle_ping(self) -> None:
        if self.writable.is_set():
            super().handle_ping()
        else:
            # Pongs would pile up before who does not read: the last is enough (RFC 6455, 5.5.3).
            self.conn.data_to_send()

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) >= FRAGMENTS and not self.close_sent:
            self._fail(CloseCode.MESSAGE_TOO_BIG, f"A message has at most {FRAGMENTS} frames.")
        else:
            super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        is_text = self.curr_msg_data_type == "text" and not self.close_sent
        if is_text and not _is_utf8(b"".join(self.frames)):
            self._fail(CloseCode.INVALID_DATA, "A message must be text in UTF-8.")
        else:
            super().send_receive_event_to_app()

    def _fail(self, code: CloseCode, reason: str) -> None:
        self.frames = []
        self.conn.fail(code, reason)
        self.handle_parser_exception()


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
