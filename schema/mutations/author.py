"""The mutations of authors."""

from __future__ import annotations

from enum import Enum
from uuid import UUID

import strawberry
from strawberry import UNSET

from ...host.access import Access
from ...resolvers import authors
from ...resolvers.erasure import Write, erase_author
from ...resolvers.pagination.arguments import Record
from ..ids import encode_id
from .declaration import ChangePayload, InputField, change, changed_value
from .inputs import AUTHOR_ID


@strawberry.type
class DeletedAuthorPayload(ChangePayload):
    deleted_author_id: strawberry.ID | None = changed_value(
        "The id of the deleted author, for the client's cache. Null if the mutation was rejected.",
        lambda author: encode_id("Author", author["id"]),
    )


@strawberry.enum(description="The fate of the comments of a deleted author.")
class AuthorComments(Enum):
    KEEP = strawberry.enum_value("KEEP", description="They stay, without the author's name.")
    TOMBSTONE = strawberry.enum_value(
        "TOMBSTONE",
        description="They are deleted for good. Those with replies stay in lists, without a text.",
    )


async def _delete_author(
    write: Write, access: Access, author_id: UUID, comments: str | None
) -> Record:
    if comments == "tombstone":
        return await erase_author(write, access, author_id)
    return await write(lambda unit: authors.delete_author(unit, access, author_id))


@strawberry.type
class AuthorMutations:
    delete_author = change(
        "delete_author",
        "Delete an author. The author's threads stay, without the author's name.",
        _delete_author,
        DeletedAuthorPayload,
        in_batches=True,
        input_description="The input of deleteAuthor. With comments TOMBSTONE the comments are "
        "deleted in batches. If the request is interrupted, send it again to delete the others.",
        author_id=AUTHOR_ID,
        comments=InputField(
            "What happens to the author's comments. By default, KEEP.", AuthorComments | None, UNSET
        ),
    )
