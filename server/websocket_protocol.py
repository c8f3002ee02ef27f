"""WebSocket by uvicorn, with limits on the size and the slowness of clients.

A message is no larger than a body, and nothing is compressed, which would hold the event loop
for a large answer.
"""

from __future__ import annotations

from typing import Any

import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame

from .flow_control import Reader, error_response, settings_of

CLOSE_TIME = 2
"""Seconds that a client has to read and to close when the server stops."""

FRAGMENTS = 4096
"""The most frames of one message, since empty frames do not count in its size."""


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """One WebSocket."""

    def __init__(self, config: uvicorn.Config, *arguments: Any, **options: Any) -> None:
        super().__init__(config, *arguments, **options)
        self._reader = Reader(settings_of(config).body_time)

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
            text = "Open a WebSocket by a GET with at most 128 headers of at most 8192 bytes each."
            self.transport.write(error_response(400, "BAD_REQUEST", text))
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
