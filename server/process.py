"""The server process: uvicorn on a port that is bound first of all."""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import Callable
from ipaddress import ip_address

import uvicorn

from ..database.urls import shell_argument
from ..documentation import ROOT
from ..errors import ConfigurationError
from ..execution.executor import Executor
from ..schema.build import schema
from ..settings import SETTINGS, Settings
from .http_protocol import Config
from .log_output import make_log_config
from .workers import WorkerConfig, Workers, freeze_loaded_objects, stop_on_hangup

APP = "tallied.asgi:create_app"
"""The application's factory, by name: each worker process imports it anew."""

SHUTDOWN_TIMEOUT = 10
"""Seconds that requests have to finish when the server stops."""


def listen(host: str, port: int) -> socket.socket:
    """Bind the port, so that no other process can.

    :raises ConfigurationError: if the port is in use or not available.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigurationError(_explain(error, host, port)) from error
    listener.set_inheritable(True)
    return listener


def run(settings: Settings, listener: socket.socket, announce: Callable[[], None]) -> bool:
    """Serve until SIGINT or SIGTERM, and return whether the server could start.

    SIGHUP ends a single process as SIGTERM does; several are replaced one by one.

    :param announce: called once, when every worker process accepts requests.
    :raises ConfigurationError: for a list of documents that cannot be used.
    """
    Executor(schema, settings)  # Otherwise each worker process would report faulty documents.
    os.environ.update(settings.to_environ())
    config = (WorkerConfig if settings.workers > 1 else Config)(
        settings,
        APP,
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        log_config=make_log_config(settings),
        access_log=False,  # Tallied's own has no query strings, and has ids.
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT,
    )
    if isinstance(config, WorkerConfig):
        return Workers(config, listener, announce).serve()
    server = _Server(config, announce)
    stop_on_hangup()
    # uvicorn raises the signals again once it has shut down: by then the work is done.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    server.run([listener])
    return server.started


def address(settings: Settings) -> str:
    """Return the address to open in a browser on this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def database_option(settings: Settings) -> str:
    """Return the option by which another command uses the server's database, if it needs one.

    In production the landing page shows strangers what this returns, and so it names no file.
    """
    own = f"sqlite+aiosqlite:///{ROOT}/tallied.db"  # of scripts/tallied in a checkout
    if settings.database in (own, SETTINGS["database"].default):
        return ""
    is_development = settings.environment == "development"
    shown = shell_argument(settings.database) if is_development else None
    return f" --database {shown or 'URL'}"


def is_local(host: str) -> bool:
    """Return whether only this machine reaches a server that listens on `host`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Server(uvicorn.Server):
    """One server process that reports when it is ready."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        freeze_loaded_objects()
        self._announce()


def _explain(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is in use on {host}; stop what listens there, or pass another --port."
    if error.errno == errno.EACCES:
        return f"Port {port} needs more rights; pass a --port of 1024 or above."
    if error.errno in (errno.EADDRNOTAVAIL, socket.EAI_NONAME, socket.EAI_AGAIN):
        return f"{host!r} is not an address of this machine; pass another --host."
    return f"Port {port} on {host} cannot be used ({error.strerror}); pass another --port."
