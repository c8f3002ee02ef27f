"""Headers that have passed all checks: a client sends the same ones with each request."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from starlette.types import Scope

T = TypeVar("T")

MAX_ENTRIES = 500
"""How many sets of headers are remembered; the last used ones."""

MAX_BYTES = 4096
"""The most bytes of headers that are remembered."""

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
        self._results: OrderedDict[Any, T] = OrderedDict()

    def result(self, scope: Scope) -> T:
        """Return the result of the check.

        :raises RequestError: where the check does.
        """
        headers = [header for header in scope["headers"] if header[0] not in UNCHECKED]
        server = scope.get("server")  # a list, with some servers
        address = server and tuple(server)
        key = (scope["method"], scope.get("scheme"), address, *map(tuple, headers))
        result = self._results.get(key)
        if result is None:
            result = self._check(scope)
            if sum(len(name) + len(value) for name, value in headers) <= MAX_BYTES:
                self._results[key] = result
                if len(self._results) > MAX_ENTRIES:
                    self._results.popitem(last=False)
        else:
            self._results.move_to_end(key)
        return result
