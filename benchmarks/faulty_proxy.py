"""A TCP proxy that makes faults: it delays, stalls, cuts and refuses connections."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections import Counter
from contextlib import suppress
from pathlib import Path

CHUNK = 65_536


class FaultyProxy:
    """Forwards bytes between its clients and one server, with faults on demand.

    :param target: the server's address: a port of this machine, or the path of a Unix socket.
    """

    def __init__(self, target: int | Path) -> None:
        self._target = target
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self.delay = 0.0
        """Seconds that each piece of data is held back."""
        self.refuses = False
        """Whether new connections are reset at once."""
        self.port = 0
        self.accepted = 0
        """How many connections have been accepted so far."""

    @property
    def connections(self) -> int:
        """Return the open connections."""
        return len(self._pairs)

    @property
    def is_stalled(self) -> bool:
        """Return whether no data passes at present."""
        return not self._flowing.is_set()

    def stall(self) -> None:
        """Let nothing through any more, like a network that has gone silent."""
        self._flowing.clear()

    def resume(self) -> None:
        """Let everything through again, beginning with what was held back."""
        self._flowing.set()

    def cut(self) -> None:
        """Reset all open connections, on both sides."""
        for pair in list(self._pairs):
            for writer in pair:
                reset(writer)

    def shut(self) -> None:
        """Cut, and refuse new connections until :meth:`reopen`."""
        self.refuses = True
        self.cut()

    def reopen(self) -> None:
        """Accept connections again."""
        self.refuses = False

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, Path):
            return await asyncio.open_unix_connection(self._target)
        return await asyncio.open_connection("127.0.0.1", self._target)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.refuses:
            reset(writer)
            return
        await self._flowing.wait()
        try:
            behind, to_server = await self._connect()
        except OSError:
            reset(writer)
            return
        pair = (writer, to_server)
        self._pairs.add(pair)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, to_server))
                group.create_task(self._pump(behind, writer))
        finally:
            self._pairs.discard(pair)
            for end in pair:
                end.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                if self.delay:
                    await asyncio.sleep(self.delay)
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        with suppress(OSError):
            await self._flowing.wait()
            writer.write_eof()

    async def __aenter__(self) -> FaultyProxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.resume()
        self.cut()


def reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection by an RST, as a machine does that knows nothing of it."""
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class RandomFaults:
    """What makes the faults, one after the other."""

    def __init__(self, proxies: dict[str, FaultyProxy]) -> None:
        self._proxies = proxies
        self.made: Counter[str] = Counter()

    async def run(self, over: asyncio.Event) -> None:
        """Make faults until `over`; then everything works again."""
        while not over.is_set():
            name, proxy = random.choice(list(self._proxies.items()))
            fault = random.choice(("delay", "stall", "cut", "shut"))
            self.made[f"{fault} {name}"] += 1
            if fault == "delay":
                proxy.delay = random.uniform(0.005, 0.1)
                await pause(over, random.uniform(1, 3))
                proxy.delay = 0.0
            elif fault == "stall":
                proxy.stall()
                await pause(over, random.choice((0.5, 2, 8)))
                if random.random() < 0.5:  # what was held back is lost
                    proxy.cut()
                proxy.resume()
            elif fault == "cut":
                proxy.cut()
            else:
                proxy.shut()
                await pause(over, random.uniform(0.5, 3))
                proxy.reopen()
            await pause(over, random.uniform(0.5, 3))


async def pause(over: asyncio.Event, seconds: float) -> None:
    """Sleep for so long, or until it is over."""
    try:
        await asyncio.wait_for(over.wait(), seconds)
    except TimeoutError:
        return
