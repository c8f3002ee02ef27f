"""The mutations of authors."""

from __future__ import annotations

import strawberry

from ...execution.requested_fields import Info
from ...resolvers import authors
from ...resolvers.pagination.arguments import Record
from ..ids import encode_id
from .declaration import ChangePayload, change
from .inputs import AUTHOR_ID


@strawberry.type
class DeletedAuthorPayload(ChangePayload):
    deleted_author_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="The id of the deleted author, for the client's cache. Null if the mutation "
        "was rejected.",
    )

    async def fill(self, info: Info, change: Record) -> None:
        self.deleted_author_id = encode_id("Author", change["id"])


@strawberry.type
class AuthorMutations:
    delete_author = change(
        "delete_author",
        "Delete an author. The author's threads and comments stay, without the author's name.",
        authors.delete_author,
        DeletedAuthorPayload,
        author_id=AUTHOR_ID,
    )
