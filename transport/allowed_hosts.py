"""The host names by which a server may be addressed: a defence against DNS rebinding.

If the name of a page of ``http://rebound.example:8000`` suddenly resolves to 127.0.0.1, then its
visitor's browser takes the server on port 8000 there for the same origin: the page may read
responses, send JSON and open WebSockets, without a preflight. Only the ``Host`` header differs,
and no page can set it.

The patterns of the setting ``allowed_hosts`` are those of Starlette's ``TrustedHostMiddleware``,
which responds in plain text, allows no addresses by default and has no exception for probes.
"""

from __future__ import annotations

import re
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from ..settings import ANY_HOST, SETTINGS, Settings, split_list
from .request_errors import RequestError, send_error

HOST_NOT_ALLOWED = "HOST_NOT_ALLOWED"

HEALTH = "/health"
"""The path that any ``Host`` may be used for, with all paths below it: a load balancer sends the
address of the machine, a name of its own or none, and a response has no content of the database."""

MALFORMED = "?"
"""The name that stands for a malformed one: it is not an address, and only ``*`` matches it."""

_HOST = re.compile(r"(?P<name>[A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{0,5}))?")


class AllowedHosts:
    """The host names that the settings allow.

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

    def require_allowed(self, scope: Scope) -> None:
        """Reject a request by a name that is not listed, unless the list is empty.

        :raises RequestError: in that case.
        """
        if self.patterns and not self.allows(_split_host(scope)[0]):
            raise _host_error()


class HostGuard:
    """Middleware of a server on its own that rejects requests by other names.

    Without a list, it rejects the names that may have been rebound:

    - in development, every name except addresses, ``localhost`` and the names below it;
    - in production, such a name if its port is that of the loopback address to which the client
      has connected: it has not come through a proxy, which is addressed by another port, and no
      name but ``localhost`` belongs to this machine alone.

    A browser resolves ``localhost`` by itself (RFC 6761, section 6.3), and an address not at all.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._hosts = AllowedHosts(settings)
        self._is_development = settings.environment == "development"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request by an allowed name."""
        if scope["type"] in ("http", "websocket") and not _is_probe(scope):
            try:
                self._check(scope)
            except RequestError as error:
                await send_error(error, scope, receive, send)
                return
        await self._app(scope, receive, send)

    def allows(self, scope: Scope) -> bool:
        """Return whether a request is served."""
        try:
            self._check(scope)
        except RequestError:
            return False
        return True

    def _check(self, scope: Scope) -> None:
        self._hosts.require_allowed(scope)
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

    The name is :data:`MALFORMED` if there are several headers, or one with a character that no host
    name has (browsers and resolvers accept some of those).
    """
    headers = Headers(scope=scope).getlist("host")
    match = _HOST.fullmatch(headers[0] if headers else "")
    if len(headers) > 1 or match is None:
        return MALFORMED, 0
    default = 443 if scope.get("scheme", "http") in ("https", "wss") else 80
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
