"""The type Viewer."""

from __future__ import annotations

import strawberry

from ...execution.requested_fields import Info
from ..fields import field
from .author import Author, load_author


@strawberry.type(name="Viewer", description="The signed-in person who makes the request.")
class CurrentViewer:
    name: str | None = strawberry.field(
        description="The display name. Null if the host supplies none."
    )
    is_moderator: bool = strawberry.field(description="Whether the viewer is a moderator.")

    @field(
        "The author of the viewer's threads and comments. Null if the viewer has written "
        "nothing yet."
    )
    async def author(self, info: Info) -> Author | None:
        viewer = (await info.context.load_access()).viewer
        return None if viewer is None else await load_author(info, viewer.author_id)

    @field("Whether the viewer may create a thread without a target.")
    async def can_start_thread(self, info: Info) -> bool:
        return (await info.context.load_access()).may_start()
