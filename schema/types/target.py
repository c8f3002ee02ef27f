"""The types of objects of the host: a Target, and its TargetCounts."""

from __future__ import annotations

from datetime import datetime

import strawberry

from ...resolvers import view_types
from ..scalars import SafeInt


@strawberry.type(
    name="Target",
    description="An object of the host application, such as an article, that a thread is about.",
)
class ThreadTarget:
    type: str = strawberry.field(description="The kind of the object, as registered by the host.")
    key: str = strawberry.field(
        description="The object's id within its kind, in the host's spelling. Objects of two "
        "kinds can have the same key, so do not use it as an id in a client's cache."
    )


@strawberry.type(
    description="The counts of the thread about an object of the host. They are 0 if there is no "
    "thread, or if the viewer may not read it."
)
class TargetCounts:
    target: ThreadTarget = strawberry.field(description="The object, as it was asked for.")
    comment_count: SafeInt = strawberry.field(description="The number of comments in the thread.")
    word_count: SafeInt = strawberry.field(
        description="The number of words in all comments of the thread."
    )
    last_comment_at: datetime | None = strawberry.field(
        description="When the latest comment was created. Null if there is none."
    )

    @classmethod
    def from_counts(cls, counts: view_types.TargetCounts) -> TargetCounts:
        """Return counts as the API shows them."""
        return cls(
            target=ThreadTarget(type=counts.target_type, key=counts.target_id),
            comment_count=SafeInt(counts.comment_count),
            word_count=SafeInt(counts.word_count),
            last_comment_at=counts.last_comment_at,
        )
