"""The type Viewer."""

from __future__ import annotations

from typing import Self

import strawberry

from ...auth.viewer import Viewer
from ...execution.field_declarations import ObjectField
from ...host.access import Access
from ..fields import computed, keyed_row
from .author import Author


@strawberry.type(name="Viewer", description="The signed-in person who makes the request.")
class CurrentViewer:
    name: str | None = strawberry.field(
        description="The display name. Null if the host supplies none."
    )
    is_moderator: bool = strawberry.field(description="Whether the viewer is a moderator.")

    author = keyed_row(
        "The author of the viewer's threads and comments. Null if the viewer has written "
        "nothing yet.",
        Author,
        lambda access: access.viewer.author_id if access.viewer else None,
    )

    @computed("Whether the viewer may create a thread without a target.")
    def can_start_thread(access: Access) -> bool:
        return access.may_start()

    @classmethod
    def from_viewer(cls, viewer: Viewer | None) -> Self | None:
        """Return a viewer as the API shows them; None for a guest."""
        if viewer is None:
            return None
        return cls(name=viewer.name, is_moderator=viewer.is_moderator)


CURRENT_VIEWER = ObjectField(lambda context: CurrentViewer.from_viewer(context.viewer))
"""A field with the viewer of the operation."""
