"""The size of a response, which is limited during its execution, and its encoding as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from ..concurrency.scheduler import yield_if_due

MAX_INLINE_CHARACTERS = 262_144
"""The most characters of a response that is encoded at once, which takes orjson 2 ms."""


PLAIN_TIMES = orjson.OPT_UTC_Z
"""The options of orjson for a response whose times have zones."""

TIMES_IN_UTC = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC
"""Those for a response of which the times without a zone are in UTC."""


class ResponseTooLarge(Exception):
    """The response has become too large, so its execution stops."""


class ResponseSize:
    """The least size of a response so far, in bytes.

    Only texts are counted, each with its least number of bytes. So execution stops long before a
    response fills the memory, and never for a response that is small enough.
    """

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self.written = 0
        self.is_exceeded = False
        self.when_exceeded: Callable[[], None] | None = None
        self._read = self._expected = 0

    def write(self, text: str) -> None:
        """Count a text of the response."""
        self.written += len(text)
        if self.written > self.maximum:
            self.exceed()

    def read(self, characters: int) -> None:
        """Count texts that were read for the response, and most likely will be in it."""
        self._read += characters
        if self._read > self.maximum:
            self.exceed()

    def expect(self, characters: int) -> None:
        """Count what the response may have at most, by which it is encoded in slices."""
        self._expected += characters

    def restart(self) -> None:
        """Forget the texts of an execution that was given up for another."""
        self.written = self._read = self._expected = 0

    def exceed(self) -> None:
        """Stop the execution, once."""
        if not self.is_exceeded:
            self.is_exceeded = True
            if self.when_exceeded:
                self.when_exceeded()

    def require_room(self) -> None:
        """Stop the work for a response that has become too large.

        :raises ResponseTooLarge: in that case.
        """
        if self.is_exceeded:
            raise ResponseTooLarge

    async def dump(self, body: dict[str, Any], option: int = PLAIN_TIMES) -> bytes:
        """Return the JSON of a response.

        :param option: :data:`PLAIN_TIMES` or :data:`TIMES_IN_UTC`.
        :raises ResponseTooLarge: for a response that must not be sent.
        """
        if max(self.written, self._expected) > MAX_INLINE_CHARACTERS:
            body, _ = await self._encode_fairly(body, option)
        content = orjson.dumps(body, option=option)
        if len(content) > self.maximum:
            self.exceed()
        self.require_room()
        return content

    async def _encode_fairly(self, value: Any, option: int, encoded: int = 0) -> tuple[Any, int]:
        """Return a value with the items of its lists as JSON, and let others run in between.

        :param encoded: the bytes of the response that are encoded already.
        :returns: the value, and the bytes including those of the value.
        :raises ResponseTooLarge: as soon as they are too many.
        """
        if isinstance(value, dict):
            fields = {}
            for name, field in value.items():
                if isinstance(field, dict | list):
                    field, encoded = await self._encode_fairly(field, option, encoded)
                fields[name] = field
            return fields, encoded
        items = []
        for item in value:
            before = encoded
            if isinstance(item, dict | list):
                item, encoded = await self._encode_fairly(item, option, encoded)
            content = orjson.dumps(item, option=option)
            encoded = before + len(content)
            if encoded > self.maximum:
                self.exceed()
                self.require_room()
            items.append(orjson.Fragment(content))
            await yield_if_due()
        return items, encoded
