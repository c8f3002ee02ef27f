"""What can be read."""

from __future__ import annotations

from asyncio import gather
from uuid import UUID

import strawberry
from strawberry import UNSET

from .. import models
from ..errors import BadUserInput
from ..resolvers.orders import THREADS
from ..resolvers.pages import read_page
from ..resolvers.paging import Page, window
from ..resolvers.reading import count_threads, read_one
from .arguments import (
    DEFAULT_THREAD_ORDER,
    After,
    Before,
    CommentID,
    First,
    Last,
    NodeID,
    NodeIDs,
    ThreadFilterBy,
    ThreadID,
    ThreadOrderBy,
    filter_of,
    given,
    order_of,
)
from .connections import Connection
from .fields import field
from .ids import decode_id
from .selection import Info
from .types import Comment, Node, Thread


@strawberry.type(description="What can be read. A record that is not there is null.")
class Query:
    @field("A thread by its id; null where there is none.")
    async def thread(self, info: Info, id: ThreadID) -> Thread | None:
        _, key = decode_id(id, "id", "Thread")
        return await _thread(info, key)

    @field("A comment by its id; null where there is none.")
    async def comment(self, info: Info, id: CommentID) -> Comment | None:
        _, key = decode_id(id, "id", "Comment")
        return await _comment(info, key)

    @field("Any object by its id; null where there is none.")
    async def node(self, info: Info, id: NodeID) -> Node | None:
        type_name, key = decode_id(id, "id", "Thread", "Comment")
        return await (_thread if type_name == "Thread" else _comment)(info, key)

    @field("Objects by their ids, in the order of these; null where there is none.")
    async def nodes(self, info: Info, ids: NodeIDs) -> list[Node | None]:
        limit = info.context.settings.page_size
        if len(ids) > limit:
            raise BadUserInput(
                f"ids has {len(ids)} ids; ask for at most {limit} at once.", field="ids"
            )
        keys = [decode_id(id, "ids", "Thread", "Comment") for id in ids]
        return list(await gather(*(_node(info, *key) for key in keys)))

    @field("All threads, or those that are asked for, a page at a time.")
    async def threads(
        self,
        info: Info,
        first: First = UNSET,
        last: Last = UNSET,
        after: After = UNSET,
        before: Before = UNSET,
        order_by: ThreadOrderBy = DEFAULT_THREAD_ORDER,
        filter_by: ThreadFilterBy = UNSET,
    ) -> Connection[Thread]:
        filter = filter_of(filter_by)
        which = window(
            order_of(THREADS, order_by or DEFAULT_THREAD_ORDER),
            limit=info.context.settings.page_size,
            first=given(first),
            last=given(last),
            after=given(after),
            before=given(before),
            filter=filter,
        )
        asked = info.page("Thread")
        page, total = Page(), None
        if asked:
            page = await info.context.read(lambda reader: read_page(reader, which, asked))
        if "totalCount" in info.fields("ThreadConnection"):
            total = await info.context.read(lambda reader: count_threads(reader, filter))
        return Connection.of(page, total, Thread.of)


async def _node(info: Info, type_name: str, key: UUID) -> Node | None:
    if type_name == "Thread":
        thread = await info.context.record(models.Thread, key, info.thread_columns())
        return None if thread is None else Thread.of(thread)
    comment = await info.context.record(models.Comment, key, info.comment_columns())
    return None if comment is None else Comment.of(comment)


async def _thread(info: Info, key: UUID) -> Thread | None:
    columns = info.thread_columns()
    row = await info.context.read(lambda reader: read_one(reader, models.Thread, key, columns))
    return None if row is None else Thread.of(row)


async def _comment(info: Info, key: UUID) -> Comment | None:
    columns = info.comment_columns()
    row = await info.context.read(lambda reader: read_one(reader, models.Comment, key, columns))
    return None if row is None else Comment.of(row)
