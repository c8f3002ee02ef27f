"""The network between Tallied and PostgreSQL: detection of a lost peer.

If nothing arrives over a connection any more, its locks stay on the server's side, and tasks wait
for it on this side, until TCP gives up, which takes two hours by default.
"""

from __future__ import annotations

import socket as sockets
from socket import AF_INET, AF_INET6, IPPROTO_TCP, SO_KEEPALIVE, SOL_SOCKET
from typing import Any

from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DisconnectionError

KEEPALIVE_IDLE = 15
"""Seconds of silence on a connection before either side sends a probe."""

KEEPALIVE_INTERVAL = 5
"""Seconds between two probes."""

KEEPALIVE_COUNT = 3
"""How many unanswered probes end the connection."""

MAX_SILENCE = 30.0
"""Seconds that data may stay unacknowledged before the connection is given up."""


def timeouts(patience: float, idle_timeout: float) -> dict[str, str]:
    """Return PostgreSQL's settings of each transaction, by their names.

    :param patience: seconds that a statement waits for another's lock.
    :param idle_timeout: seconds that a transaction may wait for its client.
    """
    return {
        "lock_timeout": f"{milliseconds(patience)}ms",
        "idle_in_transaction_session_timeout": f"{milliseconds(idle_timeout)}ms",
    }


def milliseconds(seconds: float) -> int:
    """Return the seconds in whole milliseconds, and not as 0, which is not a limit."""
    return max(1, int(seconds * 1000))


KEEPALIVES = {
    "tcp_keepalives_idle": f"{KEEPALIVE_IDLE}s",
    "tcp_keepalives_interval": f"{KEEPALIVE_INTERVAL}s",
    "tcp_keepalives_count": f"{KEEPALIVE_COUNT}",
    "tcp_user_timeout": f"{milliseconds(MAX_SILENCE)}ms",
}
"""PostgreSQL's settings by which it notices a client that has vanished, and releases
its locks (PostgreSQL documentation, section 19.3.2). They do nothing on a Unix socket."""


def keep_alive(connection: Any) -> None:
    """Let this machine detect a server that has disappeared.

    It is what :data:`KEEPALIVES` does on the server's side; asyncpg has no parameter for it.

    :param connection: a connection of asyncpg.
    """
    transport = getattr(connection, "_transport", None)
    socket = transport.get_extra_info("socket") if transport is not None else None
    if socket is None or socket.family not in (AF_INET, AF_INET6):
        return
    socket.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL),
        ("TCP_KEEPCNT", KEEPALIVE_COUNT),
        ("TCP_USER_TIMEOUT", milliseconds(MAX_SILENCE)),
    ):
        if (option := getattr(sockets, name, None)) is not None:  # as the platform has it
            socket.setsockopt(IPPROTO_TCP, option, value)


def refuse_closed(connection: DBAPIConnection, record: object, proxy: object) -> None:
    """Make the pool replace a connection that the server has closed.

    asyncpg knows that without asking, as soon as the event loop has read the end of the stream.
    """
    driver: Any = connection.driver_connection  # asyncpg's own, below the dialect's
    if driver.is_closed():
        raise DisconnectionError
