"""The mutations of authors."""

from __future__ import annotations

import strawberry

from ...resolvers import authors
from ..ids import encode_id
from .declaration import ChangePayload, change, changed_value
from .inputs import AUTHOR_ID


@strawberry.type
class DeletedAuthorPayload(ChangePayload):
    deleted_author_id: strawberry.ID | None = changed_value(
        "The id of the deleted author, for the client's cache. Null if the mutation was rejected.",
        lambda author: encode_id("Author", author["id"]),
    )


@strawberry.type
class AuthorMutations:
    delete_author = change(
        "delete_author",
        "Delete an author. The author's threads and comments stay, without the author's name.",
        authors.delete_author,
        DeletedAuthorPayload,
        author_id=AUTHOR_ID,
    )
