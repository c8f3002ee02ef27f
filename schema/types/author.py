"""The type Author."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar
from uuid import UUID

import strawberry

from ... import models
from ...execution.requested_fields import Info
from ...host.access import Access
from ..fields import column, computed, field, load_value
from ..nodes import Node
from ..rows import Row
from ..scalars import SafeInt
from .author_counts import COMMENT_COUNT, WORD_COUNT


@strawberry.type(description="A signed-in person who has written a thread or a comment.")
class Author(Row, Node):
    model: ClassVar = models.Author

    name: str | None = column("The display name. Null if the host supplies none.")

    @field(
        "The number of comments by the author, in threads that the viewer may read. If the viewer "
        "may not read every thread, it is counted to 10,000.",
        declaration=COMMENT_COUNT,
    )
    async def comment_count(self, info: Info) -> SafeInt:
        count: SafeInt = await load_value(self, info, COMMENT_COUNT)
        return count

    @field("The number of words in the comments of commentCount.", declaration=WORD_COUNT)
    async def word_count(self, info: Info) -> SafeInt:
        count: SafeInt = await load_value(self, info, WORD_COUNT)
        return count

    created_at: datetime = column("When the author first wrote something.")

    @computed("Whether the viewer may delete the author.", "id")
    def viewer_can_delete(access: Access, id: UUID) -> bool:
        return access.may_delete_author(id)
