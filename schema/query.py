"""What can be read."""

from __future__ import annotations

from uuid import UUID

import strawberry
from strawberry import UNSET

from .. import models
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
    ThreadID,
    ThreadOrderBy,
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

    @field("All threads, a page at a time.")
    async def threads(
        self,
        info: Info,
        first: First = UNSET,
        last: Last = UNSET,
        after: After = UNSET,
        before: Before = UNSET,
        order_by: ThreadOrderBy = DEFAULT_THREAD_ORDER,
    ) -> Connection[Thread]:
        which = window(
            order_of(THREADS, order_by or DEFAULT_THREAD_ORDER),
            limit=info.context.settings.page_size,
            first=given(first),
            last=given(last),
            after=given(after),
            before=given(before),
        )
        asked = info.page("Thread")
        page, total = Page(), None
        if asked:
            page = await info.context.read(lambda reader: read_page(reader, which, asked))
        if "totalCount" in info.fields("ThreadConnection"):
            total = await info.context.read(count_threads)
        return Connection.of(page, total, Thread.of)


async def _thread(info: Info, key: UUID) -> Thread | None:
    columns = info.thread_columns()
    row = await info.context.read(lambda reader: read_one(reader, models.Thread, key, columns))
    return None if row is None else Thread.of(row)


async def _comment(info: Info, key: UUID) -> Comment | None:
    columns = info.comment_columns()
    row = await info.context.read(lambda reader: read_one(reader, models.Comment, key, columns))
    return None if row is None else Comment.of(row)
