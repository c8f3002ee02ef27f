"""The type Target."""

from __future__ import annotations

import strawberry


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
