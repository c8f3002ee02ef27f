"""What one operation works with; a new one is made for every operation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

from graphql import FieldNode
from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import HTTPConnection

from ..auth.viewer import Viewer
from ..database import Database
from ..database.unit_of_work import UnitOfWork
from ..errors import OutcomeUnknown
from ..host.access import Access, HostRules
from ..models import Author, Comment, Thread
from ..resolvers.authors import find_author
from ..resolvers.pagination.arguments import Record, RequestedFields, RowPage, Window
from ..resolvers.pagination.filters import Filter
from ..resolvers.queries import count_comments, read_comment_pages, read_many
from ..resolvers.rendering import run_in_thread
from ..settings import Settings
from .dataloader import DataLoader
from .response_size import ResponseSize

T = TypeVar("T")

Fields: TypeAlias = dict[str, list[FieldNode]]
"""Field nodes by the field's name, whatever its aliases."""

MAX_BATCH_SIZE = 1000
"""The most keys that one statement looks up; databases bound a statement's parameters."""

MAX_MESSAGES = 2500
"""The most messages that one statement reads: each may have 10,000 characters, and all of them
are in memory before the first is counted."""


@dataclass
class Context:
    """The database, the settings, who asks, and what siblings share so as to read once."""

    database: Database
    settings: Settings
    rules: HostRules = field(default_factory=HostRules)
    viewer: Viewer | None = None
    request: HTTPConnection | None = None
    """The request that asks, for the resolvers of a host."""
    selections: dict[Hashable, Fields] = field(default_factory=dict)
    cache: dict[Hashable, Any] = field(default_factory=dict)
    """What the arguments of a field come to, which stands for many parents at once."""
    size: ResponseSize = field(init=False)
    time: asyncio.Timeout | None = field(default=None, init=False)
    """The time that the operation has."""
    changes: int = 0
    """How many units of work have been committed."""
    is_outcome_unknown: bool = field(default=False, init=False)
    """Whether a unit of work may have been committed or not."""
    _beside: asyncio.Lock = field(default_factory=asyncio.Lock)
    _access: asyncio.Task[Access] | None = None
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    _loaders: dict[Hashable, DataLoader[UUID, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.size = ResponseSize(self.settings.answer_size)

    async def read(self, query: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run a query on a connection of its own."""
        with self._track_task():
            return await self.database.run_query(query)

    async def write(self, command: Callable[[UnitOfWork, Access], Awaitable[T]]) -> T:
        """Run a command as one unit of work; what was read before is forgotten."""
        self._loaders.clear()
        self._access = None
        access = Access(self.rules, self.viewer, request=self.request)

        async def work(unit: UnitOfWork) -> T:
            unit.after_commit.append(self._count_change)
            unit.untimed = self._pause_time
            return await command(unit, access)

        with self._track_task():
            try:
                return await self.database.write(work)
            except OutcomeUnknown:
                self.is_outcome_unknown = True
                raise

    async def readable(self) -> ColumnElement[bool] | None:
        """The condition that threads must meet for the viewer; None for no condition."""
        access = Access(self.rules, self.viewer)
        if access.reads_by_author:
            access = await self.load_access()
        return self.cached(("readable", access.viewer), access.readable)

    def cached(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` makes, which is the same for the whole operation."""
        if key not in self.cache:
            self.cache[key] = make()
        made: T = self.cache[key]
        return made

    async def load_access(self) -> Access:
        """What the viewer may do; their author is looked up once an operation, if at all."""
        if self._access is None:
            self._access = asyncio.ensure_future(self._find_access())
        return await asyncio.shield(self._access)  # others wait for it, too

    async def _find_access(self) -> Access:
        access, viewer = Access(self.rules, self.viewer), self.viewer
        if viewer is None:
            return access
        return access.with_author(await self.read(lambda it: find_author(it, viewer.subject)))

    @contextmanager
    def _pause_time(self) -> Iterator[None]:
        """A wait that is not taken off the operation's time, so that its answer is not lost."""
        time, loop = self.time, asyncio.get_running_loop()
        if time is None or time.expired():
            yield
            return
        end, began = time.when(), loop.time()
        time.reschedule(None)
        try:
            yield
        finally:
            # What has stopped the operation meanwhile, has set another end.
            if self.time is time and end is not None and time.when() is None:
                time.reschedule(end + loop.time() - began)

    async def _count_change(self) -> None:
        self.changes += 1

    async def stop(self) -> None:
        """End what still reads or writes, loaders included, and return when it has ended."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=True)

    async def run_in_thread(self, work: Callable[[str], str], text: str) -> str:
        """Work that takes long, beside the event loop; an operation's, one by one."""
        async with self._beside:
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

    async def load_row(
        self, entity: type[Thread | Comment | Author], id: UUID, columns: frozenset[str]
    ) -> Record | None:
        """A row's columns, in one statement with those of its siblings."""

        async def load(ids: list[UUID]) -> list[Record | None]:
            readable = await self.readable()
            found = await self.read(
                lambda reader: read_many(reader, entity, set(ids), columns, readable)
            )
            return [found.get(id) for id in ids]

        return await self._loader((entity, columns), load).load(id)

    async def load_thread(self, id: UUID, columns: frozenset[str]) -> Record | None:
        """A thread's columns, in one statement with those of its siblings."""
        return await self.load_row(Thread, id, columns)

    async def load_author(self, id: UUID, columns: frozenset[str]) -> Record | None:
        """An author's columns, in one statement with those of its siblings."""
        return await self.load_row(Author, id, columns)

    async def load_comment_count(self, thread_id: UUID, filter: Filter) -> int:
        """How many comments of a thread a filter lets through, counted with its siblings'."""

        async def load(ids: list[UUID]) -> list[int]:
            found = await self.read(lambda reader: count_comments(reader, set(ids), filter))
            return [found.get(id, 0) for id in ids]

        return await self._loader(("count", filter), load).load(thread_id)

    async def load_comments(
        self, thread_id: UUID, window: Window, requested: RequestedFields
    ) -> RowPage:
        """A page of a thread's comments, in one statement with those of its siblings."""

        async def load(ids: list[UUID]) -> list[RowPage]:
            self.size.check()
            found = await self.read(
                lambda reader: read_comment_pages(reader, set(ids), window, requested)
            )
            if has_texts:
                texts = (row["message"] for page in found.values() for row in page.rows)
                self.size.read(sum(map(len, texts)))
            return [found.get(id) or RowPage() for id in ids]

        has_texts = "message" in requested.columns
        keys = (
            max(1, min(MAX_BATCH_SIZE, MAX_MESSAGES // (window.size + 1)))
            if has_texts
            else MAX_BATCH_SIZE
        )
        return await self._loader(("comments", window, requested), load, keys).load(thread_id)

    def _loader(
        self,
        key: Hashable,
        load: Callable[[list[UUID]], Awaitable[list[T]]],
        keys: int = MAX_BATCH_SIZE,
    ) -> DataLoader[UUID, T]:
        if key not in self._loaders:
            self._loaders[key] = DataLoader(load, max_batch_size=keys)
        return self._loaders[key]
