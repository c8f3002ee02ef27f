"""A thread on which bad input is tried, which must change nothing."""

from __future__ import annotations

from typing import Any

from .api import Api

UNKNOWN = "019e0000-0000-7000-8000-000000000000"


class Bad:
    """A thread with comments, and the check that a refusal has left everything as it was."""

    def __init__(self, api: Api) -> None:
        self.api = api

    async def begin(self) -> Bad:
        self.thread = await self.api.thread("Engines", "one two", "three four five")
        self.comment = await self.api.comment(self.thread, "six")
        self.before = await self.api.contents()
        return self

    async def refused(self, code: str, field: str | None, query: str, **variables: Any) -> str:
        """Return the sentence with which a request is refused."""
        error = await self.api.error(query, **variables)
        assert (error["code"], error.get("field")) == (code, field), error
        assert await self.api.contents() == self.before
        message: str = error["message"]
        assert_clear(message)
        return message

    async def rejected(self, code: str, field: str, query: str, **variables: Any) -> str:
        """Return the sentence of the one user error of a mutation."""
        (error,) = await self.api.rejected(query, **variables)
        assert (error["code"], error["field"]) == (code, field), error
        assert await self.api.contents() == self.before
        message: str = error["message"]
        assert_clear(message)
        return message


def assert_clear(message: str) -> None:
    """Assert that a message is a sentence for a person, and names nothing internal."""
    assert 10 < len(message) < 300
    for inside in ("None", "Traceback", "Error", "sqlalchemy", "asyncpg", "uuid", "base64", "{'"):
        assert inside not in message
