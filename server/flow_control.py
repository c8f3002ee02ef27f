"""Flow control of connections: clients that do not read, and limits of connections."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Iterable
from functools import cache
from weakref import WeakKeyDictionary

import orjson
import uvicorn
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from ..error_codes import make_extensions
from ..logs.request_ids import choose_request_id
from ..settings import SETTINGS, Settings
from ..transport.addresses import AddressLimit

logger = logging.getLogger("tallied.api")


class Reader:
    """Drops the connection of a client that reads nothing of its response for a time."""

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None
        self.has_read = False
        """Whether it has read nearly everything, so that the buffer may have filled up again."""

    def watch(self, transport: asyncio.Transport) -> None:
        """Start the timer, unless it runs already or there is nothing to read."""
        unsent = transport.get_write_buffer_size()
        if unsent and self._timer is None:
            self.has_read = False
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._seconds, self._look, transport, unsent)

    def _look(self, transport: asyncio.Transport, before: int) -> None:
        self._timer = None
        if transport.get_write_buffer_size() >= before and not self.has_read:
            transport.abort()
        else:
            self.watch(transport)

    def stop(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Timer:
    """The time that a client has for what it is sending.

    Within its block, nothing starts; at the end of the block, what was to start and has not been
    stopped since.

    :param call: what is called at the end of the time.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
        self._loop = loop
        self._call = call
        self._handle: asyncio.TimerHandle | None = None
        self._seconds: float | None = None
        self._is_held = False

    def start_unless_running(self, seconds: float) -> None:
        """Start it, unless it has started, and has neither been stopped nor come to its end."""
        if self._handle is None:
            self.start(seconds)

    def start(self, seconds: float, call: Callable[[], object] | None = None) -> None:
        """Start it anew.

        :param call: what is called in this case, at once where it is given in a block.
        """
        self._seconds = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if self._is_held and call is None:
            self._seconds = seconds
        else:
            self._handle = self._loop.call_later(seconds, self._end, call or self._call)

    def stop(self) -> None:
        """Stop it."""
        self._seconds = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _end(self, call: Callable[[], object]) -> None:
        self._handle = None
        call()

    def __enter__(self) -> None:
        self._is_held = True

    def __exit__(self, *_: object) -> None:
        self._is_held = False
        if self._seconds is not None:
            self.start(self._seconds)


class Flow(FlowControl):
    """uvicorn's flow control, which also reports when reading resumes.

    :param on_resume: called when the application asks for more data of the client.
    """

    def __init__(self, transport: asyncio.Transport, on_resume: Callable[[], None]) -> None:
        super().__init__(transport)
        self._on_resume = on_resume

    def resume_reading(self) -> None:
        if self.read_paused:  # Otherwise nothing has been held back.
            super().resume_reading()
            self._on_resume()


def send_at_once(transport: asyncio.BaseTransport) -> None:
    """Turn off Nagle's algorithm, which withholds the end of a response for up to 40 ms.

    uvloop does so by itself, asyncio only for sockets whose protocol number is set: that of
    :func:`socket.create_server` has none.
    """
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def settings_of(config: uvicorn.Config) -> Settings:
    """Return the settings of a server; under plain uvicorn, those of the environment."""
    settings: Settings | None = getattr(config, "settings", None)
    return settings or _settings_of_environment()


class Connections:
    """The connections of one server process, limited for each client address.

    A proxy connects from one address for all of its clients, so the proxies that uvicorn trusts
    (``FORWARDED_ALLOW_IPS``) are not limited.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        setting = "connections_per_address"
        self._limit = AddressLimit(getattr(settings_of(config), setting), str(SETTINGS[setting]))
        self._proxies = ProxyHeadersMiddleware(config.loaded_app, config.forwarded_allow_ips)

    @classmethod
    def of(cls, server: ServerState, config: uvicorn.Config) -> Connections:
        """Return the connections of a server."""
        if server not in _connections:
            _connections[server] = cls(config)
        return _connections[server]

    def acquire(self, client: tuple[str, int] | None) -> bool:
        """Count a connection, and return whether its client may open it."""
        return self._limit.acquire(self._host(client))

    def release(self, client: tuple[str, int] | None) -> None:
        """Stop counting a connection."""
        self._limit.release(self._host(client))

    def _host(self, client: tuple[str, int] | None) -> str | None:
        return client[0] if client and client[0] not in self._proxies.trusted_hosts else None


_connections: WeakKeyDictionary[ServerState, Connections] = WeakKeyDictionary()


@cache
def _settings_of_environment() -> Settings:
    return Settings.from_environ(os.environ)


def error_response(
    status: int, code: str, message: str, headers: Iterable[tuple[bytes, bytes]] = ()
) -> bytes:
    """Return an error response in GraphQL's format that closes the connection, and log it.

    The application is not involved, so nothing else writes a line.

    :param headers: the headers of the request that have been received.
    """
    request_id = choose_request_id(headers)
    logger.info("%s: %r", code, message, extra={"request_id": request_id, "status": status})
    body = orjson.dumps({"errors": [{"message": message, "extensions": make_extensions(code)}]})
    head = (
        b"content-type: application/json\r\n"
        b"cache-control: no-store\r\n"
        b"x-request-id: %s\r\n"
        b"connection: close\r\n"
        b"content-length: %d\r\n\r\n" % (request_id.encode(), len(body))
    )
    return STATUS_LINE[status] + head + body
