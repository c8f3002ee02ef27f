"""Checks of the stored rows: threads without their objects, and wrong numbers.

They read rows page by page, so the start of a server skips them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from ..counters import Counters
from ..database import Database
from ..host.access import HostRules
from ..host.targets import Target
from ..models import Comment, Thread, WithdrawnText
from ..models.base import now
from ..models.comment import DELETED
from .finding import Finding

BATCH = 500
"""How many threads are checked by one call of the host."""

MAX_EXAMPLES = 3
"""How many examples a finding names."""

NEWEST = 100
"""How many comments are recounted."""

PURGE_DAYS = 7
"""How many days late a purge may be."""


@dataclass
class _Examples:
    """A number of rows, and a few examples."""

    number: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, example: object) -> None:
        self.number += 1
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(str(example))

    def __str__(self) -> str:
        return ", ".join(self.examples) + (", …" if self.number > MAX_EXAMPLES else "")


async def check_targets(database: Database, rules: HostRules) -> AsyncIterator[Finding]:
    """Find threads about objects that the host has deleted, or of types that are not registered."""
    for name in sorted(rules.targets):
        try:
            orphans = await _find_orphans(database, rules.targets[name])
        except Exception as error:  # the host's own code
            yield Finding(
                "tallied.E021",
                f"The titles of the target {name!r} cannot be read"
                f" ({type(error).__name__}: {error}).",
                "Correct its titles function; clients cannot create such threads either.",
            )
            continue
        if orphans.number:
            yield Finding(
                "tallied.W020",
                f"{_threads(orphans.number)} about an object of the type {name!r} that is gone:"
                f" {orphans}.",
                "Delete them; and let the host delete such a thread together with its object.",
            )
    unknown = (
        select(Thread.target_type, func.count())
        .where(Thread.target_type.is_not(None), Thread.target_type.not_in(list(rules.targets)))
        .group_by(Thread.target_type)
        .order_by(Thread.target_type)
    )
    async with database.read() as connection:
        rows = (await connection.execute(unknown.limit(BATCH))).all()
    for kind, number in rows:
        yield Finding(
            "tallied.W021",
            f"{_threads(number)} about an object of the type {kind!r}, which is not registered.",
            "Register a Target of that name again, or delete them.",
        )


def check_words(connection: Connection) -> Iterator[Finding]:
    """Check that the words of the newest comments were counted by the present function."""
    newest = select(Comment.id, Comment.message, Comment.word_count)
    wrong = _Examples()
    for id, message, stored in connection.execute(newest.order_by(Comment.id.desc()).limit(NEWEST)):
        try:
            counted = Comment.count_words(message)
        except Exception as error:  # the host's own code
            yield Finding(
                "tallied.E023",
                f"Comment.count_words fails on the message of {id}"
                f" ({type(error).__name__}: {error}).",
                "Correct that function: it must return a whole number for any text.",
            )
            return
        if counted != stored:
            wrong.add(id)
    if wrong.number:
        yield Finding(
            "tallied.W022",
            f"Of the newest {NEWEST} comments, {wrong.number} have a word_count that"
            f" Comment.count_words does not count: {wrong}.",
            "Set the same Comment.count_words wherever comments are written, and run"
            " `tallied rebuild --amounts`.",
        )


def check_purge(connection: Connection, restore_days: int) -> Iterator[Finding]:
    """Check that the texts of deleted comments are purged once they cannot be restored."""
    before = now() - timedelta(days=restore_days + PURGE_DAYS)
    overdue = select(WithdrawnText.comment_id).join(Comment, Comment.id == WithdrawnText.comment_id)
    overdue = overdue.where(WithdrawnText.withdrawn_at < before, Comment.status == DELETED)
    if connection.execute(overdue.limit(1)).first() is not None:
        yield Finding(
            "tallied.W023",
            f"There are texts of comments that were deleted more than {restore_days} days ago, and"
            " cannot be restored.",
            "Run `tallied purge`, and let a timer run it every day.",
        )


def check_depth(connection: Connection, reply_depth: int) -> Iterator[Finding]:
    """Check that no reply is deeper than the setting allows."""
    # All replies have a root, by whose index they are found; of comments without one, none is deep.
    deeper = select(func.count(), func.max(Comment.depth))
    deeper = deeper.where(Comment.root_id.is_not(None), Comment.depth > reply_depth)
    number, depth = connection.execute(deeper).one()
    if number:
        replies = "1 reply is" if number == 1 else f"{number:,} replies are"
        yield Finding(
            "tallied.W024",
            f"{replies} deeper than TALLIED_REPLY_DEPTH allows: {depth} comments are above the"
            f" deepest, and {reply_depth} may be.",
            "They stay as they are, but clients that nest fewer levels do not show them: set"
            f" TALLIED_REPLY_DEPTH to {depth}, or let the clients nest as many.",
        )


def check_drift(connection: Connection, engine: Counters) -> Iterator[Finding]:
    """Recount every counter and every derived column."""
    wrong: dict[str, _Examples] = defaultdict(_Examples)
    for drift in engine.verify(connection):
        key = ",".join(map(str, drift.key))
        wrong[drift.counter].add(f"{key} (stored {drift.stored}, true {drift.true})")
    of_amounts = {str(derived) for derived in engine.derived}
    for name, examples in sorted(wrong.items()):
        rows = "1 row" if examples.number == 1 else f"{examples.number:,} rows"
        option = " --amounts" if name in of_amounts else ""
        yield Finding(
            "tallied.E022",
            f"{name} is wrong in {rows}: {examples}.",
            f"Run `tallied rebuild{option}`; `tallied verify` lists them all.",
        )


async def _find_orphans(database: Database, target: Target) -> _Examples:
    """Return the threads of the target whose object was deleted, read in batches by the index."""
    orphans, last = _Examples(), ("", UUID(int=0))
    place = tuple_(Thread.target_id, Thread.id)
    page = select(Thread.target_id, Thread.id).where(Thread.target_type == target.name)
    page = page.order_by(Thread.target_id, Thread.id).limit(BATCH)
    while True:
        async with database.read() as connection, AsyncSession(connection) as session:
            rows: Any = (await connection.execute(page.where(place > last))).all()
            ids = [row.target_id for row in rows]
            titles = await target.titles(session, ids) if ids else {}
        for row in rows:
            if row.target_id not in titles:
                orphans.add(row.id)
        if len(rows) < BATCH:
            return orphans
        last = tuple(rows[-1])


def _threads(number: int) -> str:
    return "1 thread is" if number == 1 else f"{number:,} threads are"
