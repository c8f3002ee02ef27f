"""Headers that have passed all checks: a client sends the same ones with each request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from starlette.types import Scope

T = TypeVar("T")

MAX_ENTRIES = 500
"""How many sets of headers are remembered; the latest ones."""

MAX_BYTES = 4096
"""The most bytes of headers that are remembered."""

KEY = "tallied.checked_headers"
"""The key in the scope of a request for what its checks depend on."""

UNCHECKED = frozenset(
    {
        b"authorization",
        b"baggage",
        b"content-length",
        b"if-none-match",
        b"sentry-trace",
        b"traceparent",
        b"tracestate",
        b"x-request-id",
    }
)
"""The headers on which no check depends, and which differ from request to request."""


class CheckedHeaders(Generic[T]):
    """Remembers the results of checks that depend on headers, method, scheme and server alone.

    :param check: returns the result for the scope of a request; an error is not remembered.
    """

    def __init__(self, check: Callable[[Scope], T]) -> None:
        self._check = check
        self._results: dict[Any, T] = {}

    def result(self, scope: Scope) -> T:
        """Return the result of the check.

        :raises RequestError: where the check does.
        """
        key = scope.get(KEY)
        if key is None:
            key = scope[KEY] = _key(scope)
        result = self._results.get(key)
        if result is None:
            result = self._check(scope)
            if sum(len(name) + len(value) for name, value in key[3:]) <= MAX_BYTES:
                self._results[key] = result
                if len(self._results) > MAX_ENTRIES:
                    del self._results[next(iter(self._results))]
        return result


def _key(scope: Scope) -> tuple[Any, ...]:
    headers = [tuple(header) for header in scope["headers"] if header[0] not in UNCHECKED]
    server = scope.get("server")  # a list, with some servers
    return scope["method"], scope.get("scheme"), server and tuple(server), *headers
