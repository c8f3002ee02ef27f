"""Writes to a connection, which are sent together."""

from __future__ import annotations

import asyncio
from typing import Any

MAX_BATCH = 65_536
"""The bytes from which on a batch does not wait for the end of the turn."""


class BatchingTransport:
    """A transport that sends together what has been written in one turn of the event loop.

    uvicorn writes the head and the body of a response one by one, and uvloop sends each of them at
    once: two packets, which wake the client before the next response of the turn is written.

    :param transport: the transport of the connection, which does everything else.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._batch: list[bytes] = []
        self._size = 0
        self._call_soon = asyncio.get_running_loop().call_soon
        # Asked several times for each request.
        self.is_closing = transport.is_closing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send data at the end of the turn, or at once if much is waiting.

        Also at once if the client has sent all: the event loop closes the connection then, and
        sends only what it gets before that.
        """
        if not self._batch:
            self._call_soon(self._send)
        self._batch.append(data)
        self._size += len(data)
        if self._size > MAX_BATCH or self.is_closing():
            self._send()

    def get_write_buffer_size(self) -> int:
        """Return the number of bytes that have not been sent."""
        return self._size + self._transport.get_write_buffer_size()

    def write_eof(self) -> None:
        """Send what has been written, and then nothing any more."""
        self._send()
        self._transport.write_eof()

    def close(self) -> None:
        """Close the connection once what has been written is sent."""
        self._send()
        self._transport.close()

    def abort(self) -> None:
        """Close the connection without sending what has been written."""
        self._take()
        self._transport.abort()

    def _send(self) -> None:
        try:
            if data := self._take():
                self._transport.write(data)
        except RuntimeError:
            if not self.is_closing():
                raise
            # uvloop refuses what comes after the end.

    def _take(self) -> bytes:
        data = b"".join(self._batch)
        self._batch.clear()
        self._size = 0
        return data
