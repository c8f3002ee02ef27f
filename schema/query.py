"""The root type Query."""

from __future__ import annotations

from asyncio import gather
from itertools import starmap
from typing import Any, TypeVar, cast

import strawberry
from strawberry import UNSET

from ..errors import BadUserInput
from ..execution.field_declarations import (
    ConnectionField,
    NodeField,
    NodesField,
    ObjectField,
    TargetCountsField,
    TargetThreadField,
)
from ..execution.requested_fields import Info
from ..resolvers.pagination.arguments import RowPage, Window
from ..resolvers.pagination.keyset import read_page
from ..resolvers.pagination.orders import COMMENTS, THREADS
from ..resolvers.queries import count_rows, is_in_thread, read_one, read_target_thread
from ..resolvers.target_counts import check_targets, read_target_counts
from ..resolvers.validation import find_unstorable
from .arguments import (
    DEFAULT_COMMENT_ORDER,
    DEFAULT_THREAD_ORDER,
    WHOLE_QUEUE,
    After,
    AuthorID,
    Before,
    CommentID,
    CommentOrderBy,
    CountedTargets,
    First,
    Last,
    ModerationFilterBy,
    NodeID,
    NodeIDs,
    TargetBy,
    ThreadFilterBy,
    ThreadID,
    ThreadOrderBy,
    read_window,
)
from .connections import Connection
from .fields import field
from .ids import decode_id
from .nodes import Node, load_host_nodes
from .rows import Row
from .types import ROWS, Author, Comment, Thread
from .types.limits import Limits
from .types.reaction import ReactionKind
from .types.target import TargetCounts
from .types.viewer import CURRENT_VIEWER, CurrentViewer

R = TypeVar("R", bound=Row)

MODERATION_QUEUE = ConnectionField("Comment", COMMENTS, DEFAULT_COMMENT_ORDER)
THREADS_OF_ALL = ConnectionField("Thread", THREADS, DEFAULT_THREAD_ORDER)


@strawberry.type(
    description="The queries. An object that does not exist, or that the viewer may not read, is "
    "null. A malformed id is the error BAD_USER_INPUT."
)
class Query:
    @field("Return a thread by its id. Null if there is none.", declaration=NodeField(("Thread",)))
    async def thread(self, info: Info, id: ThreadID) -> Thread | None:
        return cast("Thread | None", await _read(info, id, "Thread"))

    @field(
        "Return a comment by its id. Null if there is none.", declaration=NodeField(("Comment",))
    )
    async def comment(self, info: Info, id: CommentID) -> Comment | None:
        return cast("Comment | None", await _read(info, id, "Comment"))

    @field(
        "The signed-in person who makes the request. Null for a guest.",
        declaration=CURRENT_VIEWER,
    )
    async def viewer(self, info: Info) -> CurrentViewer | None:
        return CurrentViewer.from_viewer(info.context.viewer)

    @field(
        "Return an author by their id. Null if there is none.", declaration=NodeField(("Author",))
    )
    async def author(self, info: Info, id: AuthorID) -> Author | None:
        return cast("Author | None", await _read(info, id, "Author"))

    @field(
        "Return the thread about an object of the host. Null if there is none yet: "
        "the mutation threadFor creates it. A kind of object that the host has not "
        "registered is the error UNKNOWN_TARGET_TYPE.",
        declaration=TargetThreadField(),
    )
    async def thread_for(self, info: Info, target: TargetBy) -> Thread | None:
        info.context.rules.target(target.type)
        if find_unstorable(target.key):
            return None
        columns, read_condition = info.columns("Thread"), await info.context.read_condition()
        row = await info.context.read_rows(
            lambda it: read_target_thread(it, target.type, target.key, columns, read_condition)
        )
        return None if row is None else Thread.from_record(row)

    @field(
        "Return the numbers of comments about many objects of the host, in the order of targets, "
        "as for a list of articles. An object without a thread, or with one that the viewer may "
        "not read, has no comments. Null if they could not be read.",
        declaration=TargetCountsField(),
    )
    async def counts(self, info: Info, targets: CountedTargets) -> list[TargetCounts] | None:
        keys = [target.read() for target in targets]
        check_targets(info.context.rules, keys)
        read_condition = await info.context.read_condition()
        counts = await info.context.read_rows(
            lambda it: read_target_counts(it, keys, read_condition)
        )
        return list(map(TargetCounts.from_counts, counts))

    @field(
        "Return any object by its global id. Null if there is none.",
        declaration=NodeField(tuple(ROWS)),
    )
    async def node(self, info: Info, id: NodeID) -> Node | None:
        of_host = await load_host_nodes(info, [id])
        if id in of_host:
            return of_host[id]
        return cast("Node | None", await _read(info, id, *ROWS))

    @field(
        "Return objects by their global ids, in the order of the ids. An object that "
        "does not exist is null. A malformed id is null, too, with an error whose "
        "path has its index.",
        declaration=NodesField(tuple(ROWS)),
    )
    async def nodes(self, info: Info, ids: NodeIDs) -> list[Node | None] | None:
        limit = info.context.settings.page_size
        if len(ids) > limit:
            raise BadUserInput(
                f"ids has {len(ids)} ids; ask for at most {limit} at once.", field="ids"
            )
        of_host = await load_host_nodes(info, ids)

        async def load(index: int, id: str) -> Node | None:
            return of_host[id] if id in of_host else await _load_node(info, id, f"ids[{index}]")

        # An exception in the list is an error at its place (graphql-core, complete_value).
        nodes = await gather(*starmap(load, enumerate(ids)), return_exceptions=True)
        return cast("list[Node | None]", nodes)

    @field(
        "The kinds of reactions to comments, in their order. Empty if there are no reactions.",
        declaration=ObjectField(lambda context: ReactionKind.of_rules(context.rules)),
    )
    async def reaction_kinds(self, info: Info) -> list[ReactionKind]:
        return ReactionKind.of_rules(info.context.rules)

    @field(
        "A page of the comments in all threads about which a moderator is to decide: those that "
        "wait, and flagged ones. For viewers who may moderate every thread; for others it is the "
        "error NOT_ALLOWED or SIGN_IN_REQUIRED. totalCount is the number for a badge.",
        declaration=MODERATION_QUEUE,
    )
    async def moderation_queue(
        self,
        info: Info,
        first: First = UNSET,
        last: Last = UNSET,
        after: After = UNSET,
        before: Before = UNSET,
        order_by: CommentOrderBy = DEFAULT_COMMENT_ORDER,
        filter_by: ModerationFilterBy = WHOLE_QUEUE,
    ) -> Connection[Comment] | None:
        size = info.context.settings.page_size
        window = read_window(
            MODERATION_QUEUE, size, first, last, after, before, order_by, filter_by
        )
        info.context.require_moderation(window)
        condition = await info.context.read_condition()
        if condition is not None:
            window = window._replace(read_condition=is_in_thread(condition))
        return await _read_connection(info, window, Comment)

    @field("The maximum lengths of texts and pages.")
    def limits(self) -> Limits:
        return Limits()

    @field(
        "A page of the threads. Null if they could not be read. Other root fields are unaffected.",
        declaration=THREADS_OF_ALL,
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
        window = read_window(
            THREADS_OF_ALL,
            info.context.settings.page_size,
            first,
            last,
            after,
            before,
            order_by,
            filter_by,
        )
        read_condition = await info.context.read_condition()
        window = window._replace(read_condition=read_condition)
        return await _read_connection(info, window, Thread)


async def _read_connection(info: Info, window: Window, row_type: type[R]) -> Connection[R]:
    """Read the requested parts of a connection to rows of a whole table."""
    requested, page, total = info.page(row_type.__name__), RowPage(), None
    if requested:
        page = await info.context.read_rows(lambda it: read_page(it, window, requested))
    if "totalCount" in info.fields(f"{row_type.__name__}Connection"):
        total = await info.context.read_rows(lambda it: count_rows(it, window))
    return Connection.from_page(page, total, row_type.from_record)


async def _load_node(info: Info, id: str, argument: str) -> Node | None:
    """Load an object in one statement with the others of its type."""
    type_name, key = decode_id(id, argument, *ROWS)
    row_type = ROWS[type_name]
    record = await info.context.load_row(
        row_type.model, key, info.columns(type_name), with_hidden=info.context.sees_hidden
    )
    return None if record is None else row_type.from_record(record)


async def _read(info: Info, id: str, *type_names: str) -> Any:
    """Read an object in a statement of its own.

    :param type_names: the types that its id may name.
    """
    type_name, key = decode_id(id, "id", *type_names)
    row_type = ROWS[type_name]
    columns, read_condition = info.columns(type_name), await info.context.read_condition()
    record = await info.context.read_rows(
        lambda it: read_one(
            it,
            row_type.model,
            key,
            columns,
            read_condition,
            with_hidden=info.context.sees_hidden,
        )
    )
    return None if record is None else row_type.from_record(record)
