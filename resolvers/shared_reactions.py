"""Reactions that are added and removed together, in one transaction and by one flush.

A reaction whose comment or author another transaction has locked is deferred, so that the others do
not wait. One that is refused has written nothing. Each is answered with the number of reactions as
it is after its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from itertools import chain
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import BindParameter, Select, and_, inspect, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from ..counters.session.binds import write_bind
from ..counters.sql.driver import DriverStatement
from ..counters.sql.values import value_names, values_table
from ..database.group_commit import Deferral, SharedWork
from ..database.unit_of_work import UnitOfWork
from ..host.access import Access
from ..host.hooks import HookedOperation
from ..host.policy import ThreadContext
from ..models import Comment, Reaction, ReactionTotal, Thread
from ..models.comment import is_listed
from ..models.counters import counters
from .authors import lock_free_authors
from .events import run_after
from .list_statements import ListStatement, fill_up
from .pagination.arguments import Record
from .reaction_drafts import ReactionDraft, require_kind
from .reactions import COLUMNS, ReactionChange, build_reaction, require_reactable, write_draft
from .rows import fetch_rows, loaded_values

T = TypeVar("T")

Result = ReactionChange | Exception | Deferral
Key = tuple[UUID, UUID, str]
"""The comment, the author and the kind of a reaction."""

_KEY = (Reaction.comment_id, Reaction.author_id, Reaction.kind)


class SharedReactions(SharedWork[ReactionDraft, ReactionChange]):
    """The additions and removals of reactions that may share a transaction."""

    def key_of(self, item: ReactionDraft) -> UUID:
        """Return the comment, whose lock the reaction needs."""
        return item.comment_id

    async def run(self, unit: UnitOfWork, item: ReactionDraft) -> ReactionChange:
        """Write one reaction."""
        return await write_draft(unit, item)

    async def run_together(
        self, units: Sequence[UnitOfWork], items: Sequence[ReactionDraft], *, waits: bool
    ) -> Sequence[Result]:
        """Write several reactions."""
        batch = ReactionBatch(units[0].session, waits=waits)
        await batch.lock(items)
        writes = [batch.enter(item) for item in items]
        await asyncio.sleep(0)  # for others, since the flush takes about as long
        await batch.flush()
        changes = iter(batch.count([write for write in writes if isinstance(write, ReactionWrite)]))
        results: list[Result] = []
        for unit, write in zip(units, writes, strict=True):
            if isinstance(write, ReactionWrite):
                results.append(await _finish(unit, write, next(changes)))
            else:
                results.append(write)
        return results


class ReactionWrite(NamedTuple):
    """A reaction of a batch, and what becomes of it."""

    comment_id: UUID
    access: Access
    """That of the viewer, with their author."""
    operation: HookedOperation
    reaction: Record | None = None
    """The row that is added or removed; None where all is as the viewer wants it."""

    @property
    def difference(self) -> int:
        """What the number of reactions grows by."""
        if self.reaction is None:
            return 0
        return 1 if self.operation == "add_reaction" else -1


class ReactionBatch:
    """The rows of one shared transaction.

    :param waits: whether to wait for the lock of the one comment.
    """

    def __init__(self, session: AsyncSession, *, waits: bool) -> None:
        self.session = session
        self._waits = waits
        self._authors: Mapping[str, tuple[UUID, str | None]] = {}
        self._comments: dict[UUID, tuple[bool, Record, ThreadContext]] = {}
        """Of each comment whether it is shown, its columns, and its thread."""
        self._totals: set[tuple[UUID, str]] = set()
        self._reactions: dict[Key, Reaction | None] = {}
        """Those that there are; None for one of a batch that removes none."""
        self._keys: set[Key] = set()
        self._new: list[ReactionTotal | Reaction] = []
        self._removed: list[Reaction] = []

    async def lock(self, items: Sequence[ReactionDraft]) -> None:
        """Lock the authors and the comments, and read which reactions there are."""
        self._authors = await lock_free_authors(self.session, (item.access for item in items))
        keys = [key for item in items if (key := self._key_of(item)) is not None]
        if not keys:
            return
        ids = list({id for id, _, _ in keys})
        comments = await _LOCK_COMMENTS[not self._waits].fetch(self.session, Comment, ids)
        for id, is_shown, *values in comments:
            comment = dict(zip(COLUMNS, values, strict=False))
            self._comments[id] = is_shown, comment, ThreadContext(*values[len(COLUMNS) :])
        removes = any(item.removing for item in items)
        await (self._load_reactions if removes else self._find_reactions)(keys)

    async def _find_reactions(self, keys: Sequence[Key]) -> None:
        """Read which totals and reactions there are.

        By a statement of its own, which sees what others have written before the locks.
        """
        statement, parameters = _totals_of(keys, _find_totals)
        for id, kind, author_id in await fetch_rows(self.session, Comment, statement, parameters):
            self._totals.add((id, kind))
            if author_id is not None:
                self._reactions[id, author_id, kind] = None

    async def _load_reactions(self, keys: Sequence[Key]) -> None:
        """Read the same with the objects, which a removal deletes."""
        statement, parameters = _totals_of(keys, _load_totals)
        bind = {"bind": write_bind(self.session.sync_session, inspect(Comment))}
        totals = await self.session.execute(statement, parameters, bind_arguments=bind)
        for id, kind, reaction in totals:
            self._totals.add((id, kind))
            if reaction is not None:
                self._reactions[id, reaction.author_id, kind] = reaction

    def _key_of(self, item: ReactionDraft) -> Key | None:
        """Return the key of a reaction; None if the viewer's author is to be written first."""
        assert item.access.viewer is not None
        author = self._authors.get(item.access.viewer.subject)
        return None if author is None else (item.comment_id, author[0], item.kind)

    def enter(self, item: ReactionDraft) -> ReactionWrite | Exception | Deferral:
        """Enter a change into the batch; return its error if it is refused, or how to run it."""
        key = self._key_of(item)
        if key is None or key in self._keys:
            return Deferral.ALONE
        comment = self._comments.get(item.comment_id)
        if comment is None:
            return Deferral.ALONE if self._waits else Deferral.BY_KEY
        access, total = item.access.with_author(key[1]), (item.comment_id, item.kind)
        has_total = total in self._totals
        try:
            is_shown, values, thread = comment
            require_reactable(access, values, thread, is_shown=is_shown)
            if item.removing and not has_total:
                require_kind(access, item.kind)
        except Exception as error:
            return error
        self._keys.add(key)
        if (key in self._reactions) != item.removing:
            return ReactionWrite(item.comment_id, access, item.operation)
        reaction = self._reactions[key] if item.removing else None
        if reaction is not None:
            self._removed.append(reaction)
        else:
            reaction = build_reaction(item, key[1])
            if not has_total:
                self._totals.add(total)
                self._new.append(ReactionTotal(comment_id=item.comment_id, kind=item.kind))
            self._new.append(reaction)
        return ReactionWrite(item.comment_id, access, item.operation, loaded_values(reaction))

    async def flush(self) -> None:
        """Write what has been entered."""
        if self._removed:
            await self.session.run_sync(_delete, self._removed)
        self.session.add_all(self._new)
        await self.session.flush()

    def count(self, writes: Sequence[ReactionWrite]) -> list[ReactionChange]:
        """Return the comment of each reaction, with the number of reactions after it."""
        counted: dict[UUID, Record] = {}
        flushed = counters.all_flushed_values(self.session, Comment)
        changes: list[ReactionChange] = []
        for write in reversed(writes):
            after = counted.get(write.comment_id)
            if after is None:
                _, comment, _ = self._comments[write.comment_id]
                after = {**comment, **flushed.get((write.comment_id,), {})}
            changes.append(ReactionChange(after, {"id": after["thread_id"]}))
            number = after["reaction_count"] - write.difference
            counted[write.comment_id] = {**after, "reaction_count": number}
        return changes[::-1]


def _select_comments(ids: list[BindParameter[Any]], *, skip_locked: bool) -> Select[Any]:
    """Return the statement that locks comments and reads them with their threads."""
    columns = [Comment.id, Comment.shown, *(getattr(Comment, name) for name in COLUMNS)]
    columns += [getattr(Thread, name) for name in ThreadContext._fields]
    return (
        select(*columns)
        .join_from(Comment, Thread, Thread.id == Comment.thread_id)
        .where(Comment.id.in_(ids), is_listed())
        .with_for_update(key_share=True, of=Comment, skip_locked=skip_locked)
    )


_LOCK_COMMENTS = {
    skip_locked: ListStatement(partial(_select_comments, skip_locked=skip_locked), Comment.id.type)
    for skip_locked in (False, True)
}


def _totals_of(keys: Sequence[Key], build: Callable[[int], T]) -> tuple[T, dict[str, Any]]:
    """Return a statement for the totals of some keys, and its parameters."""
    filled = fill_up(keys)
    names = chain(*value_names(len(_KEY), len(filled)))
    return build(len(filled)), dict(zip(names, chain(*filled), strict=True))


@cache
def _find_totals(size: int) -> DriverStatement:
    return DriverStatement(_select_totals(size, Reaction.author_id))


@cache
def _load_totals(size: int) -> Select[Any]:
    return _select_totals(size, Reaction)


def _select_totals(size: int, reaction: Any) -> Select[Any]:
    """Return the query for the totals of some keys, each with the reaction of its author."""
    key_table = values_table([column.type for column in _KEY], size, "tallied_key")
    key = key_table.c
    is_own = and_(*(column == value for column, value in zip(_KEY, key, strict=True)))
    is_total = and_(ReactionTotal.comment_id == key.column1, ReactionTotal.kind == key.column3)
    columns: list[Any] = [ReactionTotal.comment_id, ReactionTotal.kind, reaction]
    return (
        select(*columns)
        .select_from(ReactionTotal)
        .join(key_table, is_total)
        .outerjoin(Reaction, is_own)
    )


def _delete(session: Session, reactions: Sequence[Reaction]) -> None:
    for reaction in reactions:
        counters.mark_locked(session, reaction)
        session.delete(reaction)


async def _finish(unit: UnitOfWork, write: ReactionWrite, change: ReactionChange) -> ReactionChange:
    """Schedule the hooks that follow a change, and return it."""
    if write.reaction is not None:
        rows = {"thread": change.thread, "comment": change.comment, "reaction": write.reaction}
        await run_after(unit, write.access, write.operation, **rows)
    return change


SHARED_REACTIONS = SharedReactions()
