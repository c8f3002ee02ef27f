"""The type Author."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import strawberry

from ...execution.requested_fields import Info
from ..fields import column, field
from ..nodes import Node
from ..scalars import SafeInt
from .row import Row


@strawberry.type(description="A signed-in person who has written a thread or a comment.")
class Author(Row, Node):
    name: str | None = column("The display name. Null if the host supplies none.")
    comment_count: SafeInt = column("The number of comments by the author.")
    word_count: SafeInt = column("The number of words in all comments by the author.")
    created_at: datetime = column("When the author first wrote something.")

    @field("Whether the viewer may delete the author.", columns=("id",))
    async def viewer_can_delete(self, info: Info) -> bool:
        return (await info.context.load_access()).may_delete_author(self.record["id"])


async def load_author(info: Info, id: UUID | None) -> Author | None:
    """Load the author with that key, in one statement with those of the field's siblings."""
    if id is None:
        return None
    record = await info.context.load_author(id, info.columns("Author"))
    return None if record is None else Author.from_record(record)
