"""A client that sends requests as fast as responses come, on many connections of one process.

    python -m tallied.benchmarks.serving.client PORT CONNECTIONS SECONDS < requests.json

It reads a list of ``[method, path, body, authorization]``, and prints a :class:`~.load.Load` as
JSON.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import sys
import time
from collections.abc import Iterator
from statistics import quantiles
from typing import cast

import uvloop

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


PATIENCE = 60.0
"""Seconds for the last responses."""


def to_bytes(method: str, path: str, body: str, authorization: str) -> bytes:
    """Return a request as it is sent."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    if authorization:
        head += f"Authorization: {authorization}\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n{body}".encode()


class Connection(asyncio.Protocol):
    """One connection, on which a request follows each response until the deadline."""

    def __init__(self, requests: Iterator[bytes], deadline: float) -> None:
        self._requests = requests
        self._deadline = deadline
        self._data = b""
        self._begin = 0.0
        self.times: list[float] = []
        self.failures = 0
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is of no common class
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.over.done():
            self.failures += 1
            self.over.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, blank, body = self._data.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if not blank or length is None or len(body) < int(length[1]):
            return
        self.times.append(time.perf_counter() - self._begin)
        self.failures += not head.startswith(b"HTTP/1.1 200")
        self._data = b""
        self._send()

    def _send(self) -> None:
        self._begin = time.perf_counter()
        if self._begin < self._deadline:
            self._transport.write(next(self._requests))
        else:
            self.over.set_result(None)
            self._transport.close()


async def run(port: int, connections: int, seconds: float, items: list[list[str]]) -> list[float]:
    """Send requests for so long, and return the fields of a load."""
    requests = itertools.cycle([to_bytes(*item) for item in items])
    begin = time.perf_counter()
    loop = asyncio.get_running_loop()
    pairs = [
        await loop.create_connection(
            lambda: Connection(requests, begin + seconds), "127.0.0.1", port
        )
        for _ in range(connections)
    ]
    clients = [client for _, client in pairs]
    async with asyncio.timeout(seconds + PATIENCE):
        await asyncio.gather(*(client.over for client in clients))
    duration = time.perf_counter() - begin
    times = [time for client in clients for time in client.times]
    parts = quantiles(times, n=100) if len(times) > 1 else 100 * (times or [0.0])
    failures = sum(client.failures for client in clients)
    return [len(times), failures, duration, parts[49], parts[98]]


if __name__ == "__main__":
    port, connections, seconds = sys.argv[1:]
    work = run(int(port), int(connections), float(seconds), json.load(sys.stdin))
    print(json.dumps(uvloop.run(work)))
