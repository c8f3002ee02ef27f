"""The size of an answer, bounded while it is put together, and its JSON, made in turns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from ..concurrency.scheduler import yield_if_due

MAX_INLINE_CHARACTERS = 262_144
"""Characters of an answer from which on its JSON is made in turns; orjson makes less in 2 ms."""


class ResponseTooLarge(Exception):
    """What an answer that has come to too much is no longer worked at for."""


class ResponseSize:
    """What one answer has come to, for certain, in bytes.

    Counted are the texts alone, in as few bytes as they may have: so execution stops long
    before its answer has filled the memory, and never for an answer that is small enough.
    """

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self.written = 0
        self.is_exceeded = False
        self.when_exceeded: Callable[[], None] | None = None
        self._read = 0

    def write(self, text: str) -> None:
        """Count a text of the answer."""
        self.written += len(text)
        if self.written > self.maximum:
            self.exceed()

    def read(self, characters: int) -> None:
        """Count texts that were read for the answer, which most likely are in it, too."""
        self._read += characters
        if self._read > self.maximum:
            self.exceed()

    def exceed(self) -> None:
        """Have the execution stopped, once."""
        if not self.is_exceeded:
            self.is_exceeded = True
            if self.when_exceeded:
                self.when_exceeded()

    def check(self) -> None:
        """Do no more for an answer that has come to too much.

        :raises AnswerTooLarge: then.
        """
        if self.is_exceeded:
            raise ResponseTooLarge

    async def dump(self, body: dict[str, Any]) -> bytes:
        """The JSON of an answer.

        :raises AnswerTooLarge: for an answer that must not be sent.
        """
        content = orjson.dumps(
            await _encode_fairly(body) if self.written > MAX_INLINE_CHARACTERS else body
        )
        if len(content) > self.maximum:
            self.exceed()
        self.check()
        return content


async def _encode_fairly(value: Any) -> Any:
    """The same value, with the items of its lists made into JSON, one by one."""
    if isinstance(value, dict):
        return {
            name: await _encode_fairly(each) if isinstance(each, dict | list) else each
            for name, each in value.items()
        }
    if isinstance(value, list):
        made = []
        for item in value:
            made.append(orjson.Fragment(orjson.dumps(await _encode_fairly(item))))
            await yield_if_due()
        return made
    return value
