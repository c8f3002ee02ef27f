"""The context of one operation: database, viewer, and loaders that fields share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast
from uuid import UUID

from graphql import FieldNode
from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import HTTPConnection

from ..auth.viewer import Viewer
from ..concurrency.deadlines import Deadline
from ..database import Database
from ..database.group_commit import SharedWork
from ..database.row_reader import RowReader
from ..database.statement import CompiledStatement, Rows
from ..database.unit_of_work import UnitOfWork
from ..errors import Busy, OutcomeUnknown, Unavailable
from ..host.access import Access, HostRules
from ..host.read_conditions import with_viewer_values
from ..models import Author, Comment, Thread
from ..resolvers.flag_queries import read_flagged
from ..resolvers.pagination.arguments import Record, RequestedFields, RowPage, Window
from ..resolvers.queries import count_comments, read_author_id, read_comment_pages, read_many
from ..resolvers.rendering import run_in_thread
from ..settings import Settings
from .dataloader import DataLoader
from .field_declarations import LoadedField, LoadedRowField
from .response_size import ResponseSize

T = TypeVar("T")


class SharedChange(NamedTuple):
    """A change that may share a transaction with others of its kind."""

    work: SharedWork[Any, Any]
    draft: Callable[..., Any]
    """Checks the arguments, and returns what the work needs, with whether it ``may_share``."""


class Outcome(NamedTuple):
    """The result of a change, or its error."""

    result: Any = None
    error: Exception | None = None


Fields: TypeAlias = dict[str, list[FieldNode]]
"""Field nodes by the name of the field, whatever their aliases."""

MAX_BATCH_SIZE = 1000
"""The most keys of one statement, since databases limit the number of its parameters."""

MAX_MESSAGES = 2500
"""The most messages that one statement reads: each may have 10,000 characters, and all of them are
in memory before the first is counted."""


@dataclass
class Context:
    """The context of one operation. A new one is created for each."""

    database: Database
    settings: Settings
    rules: HostRules = field(default_factory=HostRules)
    viewer: Viewer | None = None
    request: HTTPConnection | None = None
    """The request, for the resolvers of a host."""
    selections: dict[Hashable, Fields] = field(default_factory=dict)
    cache: dict[Hashable, Any] = field(default_factory=dict)
    """Results that are computed once for the operation, see :meth:`cached`."""
    size: ResponseSize = field(init=False)
    deadline: Deadline | None = field(default=None, init=False)
    """The end of the operation's time."""
    failure: Exception | None = field(default=None, init=False)
    """The error by which every further read fails, since one has failed already."""
    changes: int = 0
    """The number of committed units of work."""
    is_outcome_unknown: bool = field(default=False, init=False)
    """Whether nobody knows if a unit of work was committed."""
    outcome: Outcome | None = field(default=None, init=False)
    """The outcome of the operation's change, if a plan has tried it: it is not tried again."""
    _thread_lock: asyncio.Lock | None = None
    _access: asyncio.Task[Access] | None = None
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    _loaders: dict[Hashable, DataLoader[UUID, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.size = ResponseSize(self.settings.answer_size)

    async def read(self, query: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run a query on its own connection, and return its result."""
        if self.failure is not None:
            raise self.failure
        with self._track_task():
            return await self.database.run_query(query)

    async def read_rows(self, query: Callable[[RowReader], Awaitable[T]]) -> T:
        """Run a query on a reader of its own, and return its result."""
        if self.failure is not None:
            raise self.failure
        with self._track_task():
            return await self.database.query_rows(query)

    async def fetch(self, statement: CompiledStatement, parameters: Mapping[str, Any]) -> Rows:
        """Return the rows of a compiled statement, within the task of the operation itself.

        If they cannot be read, every further read of the operation fails with the same error.
        """
        try:
            return await self.database.fetch(statement, parameters)
        except (Busy, Unavailable) as error:
            self.failure = error
            raise

    async def write(
        self,
        command: Callable[[UnitOfWork, Access], Awaitable[T]],
        shared: SharedChange | None = None,
    ) -> T:
        """Run a command as one unit of work, and forget the rows that were read before.

        If a plan has run it, its outcome is the same as then.

        :param shared: the command as one that may share a transaction with others.
        """
        if self.outcome is not None:
            outcome, self.outcome = self.outcome, None
            if outcome.error is not None:
                raise outcome.error
            return cast("T", outcome.result)
        self._loaders.clear()
        self._access = None
        access = Access(self.rules, self.viewer, request=self.request)

        def prepare(unit: UnitOfWork) -> None:
            unit.on_commit = self._count_change
            if self.deadline is not None:  # So that no response is lost after a commit.
                unit.untimed = self.deadline.pause

        async def work(unit: UnitOfWork) -> T:
            prepare(unit)
            return await command(unit, access)

        task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._tasks.add(task)
        try:
            if shared is not None and self.settings.group_commit:
                item = shared.draft(access)
                if item.may_share:
                    return await self.database.group_commits.run(shared.work, item, prepare)
            return await self.database.write(work)
        except OutcomeUnknown:
            self.is_outcome_unknown = True
            raise
        finally:
            self._tasks.discard(task)

    async def write_alone(self, work: Callable[[UnitOfWork], Awaitable[T]]) -> T:
        """Run a function as one unit of work."""
        return await self.write(lambda unit, _: work(unit))

    async def read_condition(self) -> ColumnElement[bool] | None:
        """Return the condition for the threads that the viewer may read; None for all threads."""
        condition, viewer = await self.ask_read_condition()
        key = "bound", getattr(viewer, "author_id", None)
        return self.cached(key, lambda: with_viewer_values(condition, viewer))

    async def ask_read_condition(self) -> tuple[ColumnElement[bool] | None, Viewer | None]:
        """Return the same as the policy has it, and the viewer whose values it is for."""
        if self.rules.shows_all:
            return None, None
        access = Access(self.rules, self.viewer)
        condition, needs_author = self.cached("condition", access.find_read_condition)
        if not needs_author:
            return condition, self.viewer
        access = await self.load_access()
        key = "condition", getattr(access.viewer, "author_id", None)
        return self.cached(key, access.ask_read_condition), access.viewer

    def cached(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return the result of `compute`, which is called once for the whole operation."""
        if key not in self.cache:
            self.cache[key] = compute()
        return cast("T", self.cache[key])

    async def load_access(self) -> Access:
        """Return the viewer's access; their author is looked up at most once an operation."""
        if self.viewer is None:
            return Access(self.rules)
        if self._access is None:
            self._access = asyncio.ensure_future(self._find_access(self.viewer))
        return await asyncio.shield(self._access)  # Others wait for it, too.

    async def _find_access(self, viewer: Viewer) -> Access:
        id = await self.read_rows(lambda it: read_author_id(it, viewer.subject))
        return Access(self.rules, viewer).with_author(id)

    def _count_change(self) -> None:
        self.changes += 1

    @property
    def is_busy(self) -> bool:
        """Whether there is something to stop."""
        return bool(self._tasks or self._loaders)

    async def stop(self) -> None:
        """Cancel all reads and writes, including those of loaders, and await their end.

        The loaders go with what they have read: each has a function that has this context, and
        such a cycle would keep the rows of the operation until the next full collection.
        """
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=True)
        self._loaders.clear()

    async def run_in_thread(self, work: Callable[[str], str], text: str) -> str:
        """Run work that takes long in a thread; that of one operation runs one by one."""
        if self._thread_lock is None:
            self._thread_lock = asyncio.Lock()
        async with self._thread_lock:
            return await run_in_thread(work, text)

    @contextmanager
    def _track_task(self) -> Iterator[None]:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            yield
        finally:
            self._tasks.discard(task)

    @property
    def sees_hidden(self) -> bool:
        """Whether the viewer sees hidden comments whose ids they know, as a moderator."""
        access = Access(self.rules, self.viewer)
        return self.cached("sees_hidden", lambda: access.moderates_all)

    def require_moderation(self, window: Window) -> None:
        """Check that the viewer may moderate, for a list with hidden comments.

        :raises SignInRequired, NotAllowed: if the viewer may not.
        """
        if window.with_hidden:
            Access(self.rules, self.viewer).require(self.sees_hidden, "list hidden comments")

    async def load_row(
        self,
        entity: type[Thread | Comment | Author],
        id: UUID,
        columns: frozenset[str],
        *,
        with_hidden: bool = False,
    ) -> Record | None:
        """Return the columns of a row, read by one statement with those of its siblings.

        :param with_hidden: whether it may be one that does not exist for readers.
        """
        columns |= {"id"}  # which the statement reads in any case

        async def load(ids: list[UUID]) -> list[Record | None]:
            read_condition = await self.read_condition()
            result = await self.read_rows(
                lambda reader: read_many(
                    reader, entity, set(ids), columns, read_condition, with_hidden=with_hidden
                )
            )
            return [result.get(id) for id in ids]

        # Only comments may be hidden; other rows are loaded once, whatever asks for them.
        key = (entity, columns, with_hidden and entity is Comment)
        return await self.loader(key, load).load(id)

    async def load_flagged(self, comment_id: UUID) -> bool:
        """Return whether the viewer has flagged a comment, loaded with its siblings."""
        access = await self.load_access()
        author_id = None if access.viewer is None else access.viewer.author_id
        if author_id is None:
            return False

        async def load(ids: list[UUID]) -> list[bool]:
            flagged = await self.read_rows(lambda it: read_flagged(it, author_id, set(ids)))
            return [id in flagged for id in ids]

        return await self.loader("flagged", load).load(comment_id)

    async def load_thread(self, id: UUID, columns: frozenset[str]) -> Record | None:
        """Return the columns of a thread, as :meth:`load_row` does."""
        return await self.load_row(Thread, id, columns)

    async def load_author(self, id: UUID, columns: frozenset[str]) -> Record | None:
        """Return the columns of an author, as :meth:`load_row` does."""
        return await self.load_row(Author, id, columns)

    async def load_comment_count(self, thread_id: UUID, window: Window) -> int:
        """Return how many comments of a thread pass a filter, loaded with its siblings'."""

        async def load(ids: list[UUID]) -> list[int]:
            result = await self.read_rows(lambda reader: count_comments(reader, set(ids), window))
            return [result.get(id, 0) for id in ids]

        return await self.loader(("count", window.filter, window.top_level_only), load).load(
            thread_id
        )

    async def load_comments(
        self, thread_id: UUID, window: Window, requested: RequestedFields
    ) -> RowPage:
        """Return a page of a thread's comments, read by one statement with its siblings'."""
        pages = await self.load_tree(thread_id, window, requested)
        return pages.get(thread_id) or RowPage()

    async def load_tree(
        self, parent_id: UUID, window: Window, requested: RequestedFields, levels: int = 1
    ) -> Mapping[UUID, RowPage]:
        """Return pages of comments by their parents, read by one statement with its siblings'.

        :param parent_id: a thread, or a comment for a window of replies.
        :param levels: how many levels of replies are read.
        """

        async def load(ids: list[UUID]) -> list[Mapping[UUID, RowPage]]:
            self.size.require_room()
            result = await self.read_rows(
                lambda reader: read_comment_pages(reader, set(ids), window, requested, levels)
            )
            if has_messages:
                messages = (row["message"] for page in result.values() for row in page.rows)
                self.size.read(sum(map(len, messages)))
            return [result] * len(ids)

        has_messages = "message" in requested.columns
        keys = (
            max(1, min(MAX_BATCH_SIZE, MAX_MESSAGES // window.rows_of_tree(levels)))
            if has_messages
            else MAX_BATCH_SIZE
        )
        key = ("comments", window, requested, levels)
        return await self.loader(key, load, keys).load(parent_id)

    async def load_list(
        self, declaration: LoadedField, id: UUID, arguments: Hashable, names: frozenset[str]
    ) -> Sequence[Any]:
        """Return the list of a declared field for one row, loaded with its siblings'."""

        async def load(ids: list[UUID]) -> list[Sequence[Any]]:
            lists = await declaration.load(self, ids, arguments, names)
            return [lists.get(id, ()) for id in ids]

        return await self.loader((declaration, arguments, names), load).load(id)

    async def load_key(self, declaration: LoadedRowField, id: UUID) -> UUID | None:
        """Return the key of a declared field's row for one row, loaded with its siblings'."""

        async def load(ids: list[UUID]) -> list[UUID | None]:
            keys = await declaration.load(self, ids)
            return [keys.get(id) for id in ids]

        return await self.loader(declaration, load).load(id)

    def loader(
        self,
        key: Hashable,
        load: Callable[[list[UUID]], Awaitable[list[T]]],
        keys: int = MAX_BATCH_SIZE,
    ) -> DataLoader[UUID, T]:
        """Return the loader with that key, which loads what siblings ask for at once.

        :param load: returns a result for each of some ids; of the first call with the key.
        :param keys: of how many ids at most.
        """
        if key not in self._loaders:
            self._loaders[key] = DataLoader(load, max_batch_size=keys)
        return self._loaders[key]
