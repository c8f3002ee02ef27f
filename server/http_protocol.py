"""HTTP/1.1 by uvicorn, with limits on the size and the slowness of requests.

uvicorn 0.54 with httptools limits neither the size of a request's headers nor the time
that a client takes to send it, so that a few idle or slow sockets can block the server
(a "slowloris"). It treats trailers as headers, drops the body of a request that offers an
upgrade, and creates objects for all pipelined requests. Here a client that exceeds a limit
loses its connection, and the parser receives only data for which it may create objects.
The application limits the size of the body, since it knows the purpose.

A host's application can be served with it by
``uvicorn --http tallied.server.http_protocol:BoundedProtocol``.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, cast

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from ..settings import Settings
from .batching_transport import BatchingTransport
from .flow_control import (
    Connections,
    Flow,
    Reader,
    Timer,
    error_response,
    send_at_once,
    settings_of,
)
from .websocket_protocol import BoundedWebSocket

MAX_WAITING = 32
"""How many requests of a connection may wait for an earlier response."""

MAX_HEADERS = 100
"""How many headers a request may have; each becomes an object, however small."""

MIN_REQUEST = len(b"GET / HTTP/1.0\r\n\r\n")
"""The bytes of the shortest request, which limits how many can begin in a piece of data."""

LINGER_TIME = 2
"""Seconds for which data of a refused client is still read, so that it can read the error."""

REFUSED_TIME = 0.2
"""The same for a client with too many connections."""

DRAIN_TIME = 0.5
"""Seconds for which an idle connection is still read when the server stops, since its client may
have just sent a request."""

BODY_CREDIT = 9
"""How many bytes of chunk sizes, extensions and trailers each byte of a body may have."""

_HOST = re.compile(
    rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?",
)
"""``uri-host [ ":" port ]`` (RFC 9110, section 7.2); it may be empty."""

_HOP_BY_HOP = (b"upgrade", b"http2-settings")


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


class BoundedProtocol(HttpToolsProtocol):
    """One connection, which waits for headers, a body or the application."""

    def __init__(self, config: uvicorn.Config, *arguments: Any, **options: Any) -> None:
        super().__init__(config, *arguments, **options)
        self._settings = settings_of(config)
        self._timer = Timer(self.loop, self._too_slow)
        self._reader = Reader(self._settings.body_time)
        self._current: RequestResponseCycle | None = None
        self.unread = bytearray()
        """Received data that the parser gets once the application reads on."""
        self._in_headers = True
        self._advanced = False
        self._received = 0
        self._parsed = 0
        self._framing = 0
        self._connections = Connections.of(self.server_state, config)
        self._is_counted = False
        self._last_answer: bytes | None = None
        self._is_stopping = False
        self.url = b""
        self._valid_host: bytes | None = None

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        send_at_once(transport)
        super().connection_made(cast(asyncio.Transport, BatchingTransport(transport)))
        self.flow = Flow(self.transport, self._read_on)
        self._timer.start(self._settings.header_time)
        self._is_counted = self._connections.acquire(self.client)
        if not self._is_counted:
            problem = "Your address has as many connections open as one may; close one first."
            self._refuse(429, "TOO_MANY_CONNECTIONS", problem)
            self._timer.start(REFUSED_TIME)

    def _uncount(self) -> None:
        if self._is_counted:
            self._is_counted = False
            self._connections.release(self.client)

    def connection_lost(self, exc: Exception | None) -> None:
        self._uncount()
        self._timer.stop()
        self._reader.stop()
        self.unread.clear()
        if self._current is not None:
            # uvicorn notifies only the latest request, and pipelined ones precede it.
            _disconnect(self._current)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reader.watch(self.transport)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._reader.has_read = True

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._reader.watch(self.transport)

    def shutdown(self) -> None:
        """Close the connection after the pending responses, as the server stops.

        uvicorn closes an idle connection at once. One that was just opened would lose its request,
        which its client had to retry (RFC 9112, section 9.8).
        """
        self._is_stopping = True
        if self._current is None or self._current.response_complete:
            self._unset_keepalive_if_required()
            self._timer.start(DRAIN_TIME)
        else:
            super().shutdown()

    # Reading

    def data_received(self, data: bytes) -> None:
        if self._is_over:
            return
        self._unset_keepalive_if_required()
        self.unread += data
        with self._timer:  # Most requests end with the data that begins them.
            if self._in_headers:
                # Before the parser finds a message to begin, since blank lines may come first.
                self._timer.start_unless_running(self._settings.header_time)
            self._feed()

    @property
    def _is_over(self) -> bool:
        return self._last_answer is not None or self.transport.is_closing()

    def _read_on(self) -> None:
        if self.unread:
            # Later, since this is asked for in the midst of an answer.
            self.loop.call_soon(self._feed)

    def _feed(self) -> None:
        """Parse what has been received, piece by piece, until the application is to go on first.

        A piece is so small that no more requests begin in it than may wait.
        """
        while self.unread and not self._is_over and not self.flow.read_paused:
            size = (MAX_WAITING - len(self.pipeline)) * MIN_REQUEST
            if not size:
                self.flow.pause_reading()
                return
            piece = bytes(self.unread[:size])
            del self.unread[:size]
            self._parse(piece)

    def _parse(self, piece: bytes) -> None:
        self._advanced = False
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(piece[upgrade.args[0] :])
            return
        except httptools.HttpParserError:
            self._refuse(400, "BAD_REQUEST", "The request is not valid HTTP/1.1.")
            return
        if not self._in_headers:
            self._framing += len(piece)
            self._check_framing()
        elif not self._advanced:
            # The parser tells of a header only once it is there as a whole.
            self._received += len(piece)
            self._check_size(self._received)

    def _upgrade(self, rest: bytes) -> None:
        """Open a WebSocket; or read the request as if it had offered no upgrade.

        A server may ignore an offer (RFC 9110, section 7.8). The parser does not read the body of
        a request that has one, so another parser reads it again without.

        :param rest: what has been received after its head.
        """
        if self._should_upgrade():
            self.handle_websocket_upgrade()
            self.unread.clear()
        elif self.parser.get_method() == b"CONNECT":
            self._refuse(400, "BAD_REQUEST", "This server is not a proxy: there is no CONNECT.")
        else:
            self.unread[:0] = self._head_without_upgrade() + rest
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)

    def _head_without_upgrade(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, version)]
        for name, value in self.headers:
            if name == b"connection":
                tokens = [token.strip() for token in value.split(b",")]
                value = b", ".join(token for token in tokens if token.lower() not in _HOP_BY_HOP)
            if name not in _HOP_BY_HOP:
                lines.append(b"%s: %s" % (name, value))
        return b"\r\n".join([*lines, b"", b""])

    def handle_websocket_upgrade(self) -> None:
        self._timer.stop()
        if self.cycle is not None and not self.cycle.response_complete:
            # What was asked before would be answered in the midst of the WebSocket.
            self._refuse(400, "BAD_REQUEST", "Open a WebSocket on a connection of its own.")
        elif self._is_stopping:
            self._refuse(503, "UNAVAILABLE", "The server stops; connect again.")
        if not self._is_over:
            self._reader.stop()
            self._uncount()  # WebSockets have a bound of their own.
            super().handle_websocket_upgrade()

    # What the parser tells

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_headers = True
        self._parsed = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._parsed += len(url)
        if self._parsed > self._settings.header_size:
            self._check_size(self._parsed)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_headers:
            return  # A trailer, which is never merged into the headers (RFC 9110, section 6.5.1).
        super().on_header(name, value)
        self._parsed += len(name) + len(value) + 4  # a colon, a space and a line break
        if self._parsed > self._settings.header_size:
            self._check_size(self._parsed)
        if len(self.headers) > MAX_HEADERS:
            problem = f"The request must have at most {MAX_HEADERS} headers."
            self._refuse(431, "HEADERS_TOO_LARGE", problem)

    def on_headers_complete(self) -> None:
        self._check_host()
        self._advanced = True
        self._received = 0
        if self._last_answer is not None or self._is_ignored_upgrade():
            return
        self._in_headers = False
        self._framing = 0
        self._timer.start(self._settings.body_time + 1)  # The application's own limit comes first.
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._framing -= BODY_CREDIT * len(body)
        if self._last_answer is None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._last_answer is not None or self._is_ignored_upgrade():
            return
        self._in_headers = True
        self._advanced = True
        self._timer.stop()
        super().on_message_complete()

    def _is_ignored_upgrade(self) -> bool:
        return bool(self.parser.should_upgrade()) and not self._should_upgrade()

    # Answering

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._current = cycle
        if self._is_stopping and not self.pipeline:
            cycle.keep_alive = False
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._last_answer is not None:
            self._answer_last()

    # Limits

    def _check_host(self) -> None:
        """Refuse what names no host, or two (RFC 9112, section 3.2)."""
        hosts = [value for name, value in self.headers if name == b"host"]
        if not hosts and self.parser.get_http_version() == "1.0":
            return
        if len(hosts) == 1 and hosts[0] == self._valid_host:
            return  # as in the request before
        if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
            problem = "The request must have one Host header: a host, and a port if need be."
            self._refuse(400, "BAD_REQUEST", problem)
        else:
            self._valid_host = hosts[0]

    def _check_size(self, size: int) -> None:
        limit = self._settings.header_size
        if size > limit:
            problem = f"The request's line and headers must have at most {limit} bytes."
            if len(self.url) > limit // 2:
                self._refuse(414, "URI_TOO_LONG", f"{problem} Send a long query by POST.")
            else:
                self._refuse(431, "HEADERS_TOO_LARGE", problem)

    def _check_framing(self) -> None:
        if self._framing > self._settings.header_size:
            problem = "The chunk extensions and trailers of the request's body are too long."
            self._refuse(400, "BAD_REQUEST", problem)

    def _too_slow(self) -> None:
        if self.pipeline or self.unread:
            # The server does not read on until it has answered what came before.
            self._timer.start(self._settings.body_time)
        elif self._in_headers and self._received:
            seconds = self._settings.header_time
            problem = f"The request's headers must be sent within {seconds} seconds."
            self._refuse(408, "REQUEST_TIMEOUT", problem)
        else:
            self.transport.close()

    def _refuse(self, status: int, code: str, message: str) -> None:
        """Send an error for a request that the application does not receive in full; then close.

        What came before on the connection is answered first.
        """
        if self._is_over:
            return
        self._last_answer = error_response(status, code, message, self.headers or ())
        self.unread.clear()
        if not self._in_headers:  # It is the body of the latest request that is refused.
            self._withdraw(self.cycle)
        self._answer_last()

    def _withdraw(self, cycle: RequestResponseCycle) -> None:
        """Withdraw a request whose body turns out to be malformed."""
        if cycle.response_started:
            self._last_answer = b""  # There is one answer to a request.
        elif cycle is not self._current:
            self.pipeline.popleft()
        else:
            _disconnect(cycle)
            self._current = None

    def _answer_last(self) -> None:
        """Send the refusal and close, once all that came before it is answered."""
        assert self._last_answer is not None
        current = self._current
        is_answered = current is None or current.response_complete
        if not is_answered or self.pipeline:
            return
        self.transport.write(self._last_answer)
        if self.transport.is_closing() or not self.transport.can_write_eof():
            self.transport.close()
            return
        # Closed at once, it would be reset by what its client still sends, and the answer lost
        # (RFC 9112, section 9.6).
        self.transport.write_eof()
        self._timer.start(LINGER_TIME, self.transport.close)


def _disconnect(cycle: RequestResponseCycle) -> None:
    """Tell the application that its client is gone; what it sends from now on is dropped."""
    cycle.disconnected = True
    cycle.message_event.set()
