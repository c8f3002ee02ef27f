"""The schema, put together."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import strawberry
from graphql import GraphQLError
from strawberry.schema.config import StrawberryConfig

from .mutation import Mutation
from .query import Query
from .selection import Info
from .types import Comment, Thread


def _write(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


def _read(value: object) -> datetime:
    """A moment as RFC 3339 writes it, which names its offset; to the microsecond."""
    if isinstance(value, str) and _RFC_3339.fullmatch(value):
        try:
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    shown = repr(value) if isinstance(value, str) and len(value) < 50 else "this"
    raise GraphQLError(
        f"DateTime cannot represent {shown}; write it like 2026-01-31T12:34:56Z, with its offset."
    )


DateTime = strawberry.scalar(
    name="DateTime",
    description="A moment in UTC, as ISO 8601 and RFC 3339 write it: 2026-01-31T12:34:56.789012Z.",
    specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
    serialize=_write,
    parse_value=_read,
)

schema = strawberry.Schema(
    query=Query,
    mutation=Mutation,
    types=[Thread, Comment],
    config=StrawberryConfig(info_class=Info, scalar_map={datetime: DateTime}),
)
