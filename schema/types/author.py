"""The type Author."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar
from uuid import UUID

import strawberry

from ... import models
from ...host.access import Access
from ..fields import column, computed
from ..nodes import Node
from ..rows import Row
from ..scalars import SafeInt


@strawberry.type(description="A signed-in person who has written a thread or a comment.")
class Author(Row, Node):
    model: ClassVar = models.Author

    name: str | None = column("The display name. Null if the host supplies none.")
    comment_count: SafeInt = column("The number of comments by the author.")
    word_count: SafeInt = column("The number of words in all comments by the author.")
    created_at: datetime = column("When the author first wrote something.")

    @computed("Whether the viewer may delete the author.", "id")
    def viewer_can_delete(access: Access, id: UUID) -> bool:
        return access.may_delete_author(id)
