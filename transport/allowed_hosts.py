"""The names by which a server may be addressed: a defence against DNS rebinding.

A page of ``http://rebound.example:8000`` whose name suddenly leads to 127.0.0.1 has the origin of
whatever listens there on port 8000, in the eyes of its visitor's browser: it may read answers, send
JSON and open WebSockets, and no preflight is made. What gives it away is the ``Host`` header, which
no page can set.

The patterns of the setting ``allowed_hosts`` are those of Starlette's ``TrustedHostMiddleware``,
which answers in plain text, takes no addresses by default and knows no exception for probes.
"""

from __future__ import annotations

import re
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from ..settings import ANY_HOST, SETTINGS, Settings, split_list
from .refusals import RequestError, send_error

HOST_NOT_ALLOWED = "HOST_NOT_ALLOWED"

HEALTH = "/health"
"""The path that answers whatever ``Host`` is sent, and all below it: a load balancer sends the
address of the machine, a name of its own or nothing, and an answer has nothing of the database."""

MALFORMED = "?"
"""What stands for a name that cannot be read: no address, and no pattern but ``*``, matches it."""

_HOST = re.compile(r"(?P<name>[A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{0,5}))?")


class AllowedHosts:
    """The names that the settings list.

    >>> AllowedHosts(Settings(allowed_hosts="*.forum.example")).allows("www.forum.example")
    True
    """

    def __init__(self, settings: Settings) -> None:
        self.patterns = split_list(settings.allowed_hosts.lower())

    def allows(self, name: str) -> bool:
        """Return whether a name in lower case matches a pattern."""
        return any(
            pattern in (ANY_HOST, name) or (pattern[0] == "*" and name.endswith(pattern[1:]))
            for pattern in self.patterns
        )

    def check(self, scope: Scope) -> None:
        """Refuse a request by a name that is not listed, where any is.

        :raises Refused: then.
        """
        if self.patterns and not self.allows(_split_host(scope)[0]):
            raise _host_error()


class HostGuard:
    """Refuse requests by other names, around a server on its own.

    Without a list, these may have been rebound, and are refused:

    - in development, every name but ``localhost``, those below it, and addresses;
    - in production, such a name with the very port of a loopback address that the connection has
      come to: it has not come through a proxy, which is asked by another port, and no name but
      ``localhost`` is for this machine alone.

    A browser resolves ``localhost`` by itself (RFC 6761, section 6.3), and an address not at all.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._hosts = AllowedHosts(settings)
        self._is_development = settings.environment == "development"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request by a name that is allowed."""
        if scope["type"] in ("http", "websocket") and not _is_probe(scope):
            try:
                self._check(scope)
            except RequestError as refused:
                await send_error(refused, scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        self._hosts.check(scope)
        if not self._hosts.patterns and self._may_be_rebound(scope):
            raise _host_error()

    def _may_be_rebound(self, scope: Scope) -> bool:
        name, port = _split_host(scope)
        if not name or _is_local_name(name) or _is_address(name):
            return False
        if self._is_development:
            return True
        address, own_port = scope.get("server") or ("", None)
        is_direct = name == MALFORMED or port == own_port
        return is_direct and _is_address(address) and ip_address(address).is_loopback


def _split_host(scope: Scope) -> tuple[str, int]:
    """Return the name, in lower case and without a trailing dot, and the port of a ``Host``.

    The name is :data:`MALFORMED` where there is more than one header, or one with a character that
    no name of a host has (browsers and resolvers take some of those).
    """
    headers = Headers(scope=scope).getlist("host")
    match = _HOST.fullmatch(headers[0] if headers else "")
    if len(headers) > 1 or match is None:
        return MALFORMED, 0
    default = 443 if scope["scheme"] in ("https", "wss") else 80
    return match["name"].lower().removesuffix("."), int(match["port"] or default)


def _is_local_name(name: str) -> bool:
    return name == "localhost" or name.endswith(".localhost")


def _is_address(name: str) -> bool:
    try:
        ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def _is_probe(scope: Scope) -> bool:
    path: str = scope["path"].removeprefix(scope.get("root_path", ""))
    return path == HEALTH or path.startswith(f"{HEALTH}/")


def _host_error() -> RequestError:
    sentence = (
        "The server is not known by the name in the request's Host header; its setting"
        f" {SETTINGS['allowed_hosts']} may list it."
    )
    return RequestError(400, HOST_NOT_ALLOWED, sentence)
