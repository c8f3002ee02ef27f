"""What can be read."""

from __future__ import annotations

from asyncio import gather
from collections.abc import Awaitable, Callable, Mapping
from itertools import starmap
from typing import cast
from uuid import UUID

import strawberry
from strawberry import UNSET

from .. import models
from ..errors import BadUserInput
from ..execution.requested_fields import Info
from ..resolvers.pagination.arguments import Record, RowPage, read_window
from ..resolvers.pagination.keyset import read_page
from ..resolvers.pagination.orders import THREADS
from ..resolvers.queries import count_threads, read_one, read_target_thread
from ..resolvers.validation import find_unstorable
from .arguments import (
    DEFAULT_THREAD_ORDER,
    After,
    AuthorID,
    Before,
    CommentID,
    First,
    Last,
    NodeID,
    NodeIDs,
    TargetBy,
    ThreadFilterBy,
    ThreadID,
    ThreadOrderBy,
    read_filter,
    read_order,
    unset_to_none,
)
from .bounds import Limits
from .connections import Connection
from .fields import field
from .ids import decode_id
from .nodes import Node, load_host_nodes
from .types import Author, Comment, Thread, Viewer


@strawberry.type(
    description="The queries. An object that does not exist, or that the viewer may not read, is "
    "null. A malformed id is the error BAD_USER_INPUT."
)
class Query:
    @field("Return a thread by its id. Null if there is none.")
    async def thread(self, info: Info, id: ThreadID) -> Thread | None:
        _, key = decode_id(id, "id", "Thread")
        return await _thread(info, key)

    @field("Return a comment by its id. Null if there is none.")
    async def comment(self, info: Info, id: CommentID) -> Comment | None:
        _, key = decode_id(id, "id", "Comment")
        return await _comment(info, key)

    @field("The signed-in person who makes the request. Null for a guest.")
    async def viewer(self, info: Info) -> Viewer | None:
        viewer = info.context.viewer
        if viewer is None:
            return None
        return Viewer(name=viewer.name, is_moderator=viewer.is_moderator)

    @field("Return an author by their id. Null if there is none.")
    async def author(self, info: Info, id: AuthorID) -> Author | None:
        _, key = decode_id(id, "id", "Author")
        return await _author(info, key)

    @field(
        "Return the thread about an object of the host. Null if there is none yet: "
        "the mutation threadFor creates it. A kind of object that the host has not "
        "registered is the error UNKNOWN_TARGET_TYPE."
    )
    async def thread_for(self, info: Info, target: TargetBy) -> Thread | None:
        info.context.rules.target(target.type)
        if find_unstorable(target.key):
            return None
        columns, readable = info.thread_columns(), await info.context.readable()
        row = await info.context.read(
            lambda it: read_target_thread(it, target.type, target.key, columns, readable)
        )
        return None if row is None else Thread.of(row)

    @field("Return any object by its global id. Null if there is none.")
    async def node(self, info: Info, id: NodeID) -> Node | None:
        of_host = await load_host_nodes(info, [id])
        if id in of_host:
            return of_host[id]
        type_name, key = decode_id(id, "id", *_ONE)
        return await _ONE[type_name](info, key)

    @field(
        "Return objects by their global ids, in the order of the ids. An object that "
        "does not exist is null. A malformed id is null, too, with an error whose "
        "path has its index."
    )
    async def nodes(self, info: Info, ids: NodeIDs) -> list[Node | None] | None:
        limit = info.context.settings.page_size
        if len(ids) > limit:
            raise BadUserInput(
                f"ids has {len(ids)} ids; ask for at most {limit} at once.", field="ids"
            )
        of_host = await load_host_nodes(info, ids)

        async def load(index: int, id: str) -> Node | None:
            return of_host[id] if id in of_host else await _node_of(info, id, f"ids[{index}]")

        # An exception in the list is an error at its place (graphql-core, complete_value).
        nodes = await gather(*starmap(load, enumerate(ids)), return_exceptions=True)
        return cast("list[Node | None]", nodes)

    @field("The maximum lengths of texts and pages.")
    def limits(self) -> Limits:
        return Limits()

    @field(
        "A page of the threads. Null if they could not be read. Other root fields are unaffected."
    )
    async def threads(
        self,
        info: Info,
        first: First = UNSET,
        last: Last = UNSET,
        after: After = UNSET,
        before: Before = UNSET,
        order_by: ThreadOrderBy = DEFAULT_THREAD_ORDER,
        filter_by: ThreadFilterBy = UNSET,
    ) -> Connection[Thread] | None:
        filter, readable = read_filter(filter_by), await info.context.readable()
        which = read_window(
            read_order(THREADS, order_by or DEFAULT_THREAD_ORDER),
            limit=info.context.settings.page_size,
            first=unset_to_none(first),
            last=unset_to_none(last),
            after=unset_to_none(after),
            before=unset_to_none(before),
            filter=filter,
            readable=readable,
        )
        asked = info.page("Thread")
        page, total = RowPage(), None
        if asked:
            page = await info.context.read(lambda reader: read_page(reader, which, asked))
        if "totalCount" in info.fields("ThreadConnection"):
            total = await info.context.read(lambda it: count_threads(it, filter, readable))
        return Connection.of(page, total, Thread.of)


async def _node_of(info: Info, id: str, argument: str) -> Node | None:
    return await _node(info, *decode_id(id, argument, *_ONE))


async def _node(info: Info, type_name: str, key: UUID) -> Node | None:
    if type_name == "Thread":
        thread = await info.context.record(models.Thread, key, info.thread_columns())
        return None if thread is None else Thread.of(thread)
    if type_name == "Author":
        author = await info.context.author(key, info.author_columns())
        return None if author is None else Author.of(author)
    comment = await info.context.record(models.Comment, key, info.comment_columns())
    return None if comment is None else Comment.of(comment)


async def _thread(info: Info, key: UUID) -> Thread | None:
    columns = info.thread_columns()
    row = await _one(info, models.Thread, key, columns)
    return None if row is None else Thread.of(row)


async def _comment(info: Info, key: UUID) -> Comment | None:
    columns = info.comment_columns()
    row = await _one(info, models.Comment, key, columns)
    return None if row is None else Comment.of(row)


async def _author(info: Info, key: UUID) -> Author | None:
    row = await _one(info, models.Author, key, info.author_columns())
    return None if row is None else Author.of(row)


async def _one(
    info: Info, entity: type[models.Base], key: UUID, columns: frozenset[str]
) -> Record | None:
    readable = await info.context.readable()
    return await info.context.read(lambda it: read_one(it, entity, key, columns, readable))


_ONE: Mapping[str, Callable[[Info, UUID], Awaitable[Node | None]]] = {
    "Thread": _thread,
    "Comment": _comment,
    "Author": _author,
}
