"""The schema, put together."""

from __future__ import annotations

from datetime import UTC, datetime

import strawberry
from strawberry.schema.config import StrawberryConfig

from .mutation import Mutation
from .query import Query
from .selection import Info
from .types import Comment, Thread


def _write(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


DateTime = strawberry.scalar(
    name="DateTime",
    description="A moment in UTC, as ISO 8601 and RFC 3339 write it: 2026-01-31T12:34:56.789012Z.",
    specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
    serialize=_write,
)

schema = strawberry.Schema(
    query=Query,
    mutation=Mutation,
    types=[Thread, Comment],
    config=StrawberryConfig(info_class=Info, scalar_map={datetime: DateTime}),
)
