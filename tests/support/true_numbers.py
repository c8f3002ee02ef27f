"""The true numbers of discussions, counted in Python from the rows, without the engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import select

from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.database.row_reader import EngineReader
from tallied.models import (
    Author,
    Comment,
    Flag,
    Mark,
    Reaction,
    ReactionTotal,
    Revision,
    Thread,
)
from tallied.models.comment import DELETED, PENDING
from tallied.resolvers.unread import read_unread


class Rows(NamedTuple):
    """All rows of a database."""

    threads: Sequence[Thread]
    comments: Sequence[Comment]
    authors: Sequence[Author]
    flags: Sequence[Flag]
    reactions: Sequence[Reaction]
    totals: Sequence[ReactionTotal]
    revisions: Sequence[Revision]
    marks: Sequence[Mark]


async def read_all(database: Database) -> Rows:
    """Return all rows."""
    models = (Thread, Comment, Author, Flag, Reaction, ReactionTotal, Revision, Mark)
    async with database.sessions() as session:
        return Rows(*[(await session.scalars(select(model))).all() for model in models])


async def assert_true(database: Database) -> None:
    """Assert that all stored numbers are true, and that what belongs together fits together."""
    rows = await read_all(database)
    for row, numbers in true_numbers(rows):
        assert {name: getattr(row, name) for name in numbers} == numbers, row
    assert_trees(rows)
    assert_numbered(rows)
    assert_histories(rows)
    await assert_unread(database, rows)


def true_numbers(rows: Rows) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield each row that has counters with their true values."""
    for thread in rows.threads:
        own = [row for row in rows.comments if row.thread_id == thread.id]
        yield (
            thread,
            {
                **texts([row for row in own if row.shown]),
                "top_level_count": sum(is_listed(row) for row in own if row.parent_id is None),
                "last_comment_at": max((row.created_at for row in own if row.shown), default=None),
                "pending_count": sum(row.status == PENDING for row in own),
                "flagged_count": sum(row.flagged for row in own),
            },
        )
    for author in rows.authors:
        yield (
            author,
            texts([row for row in rows.comments if row.author_id == author.id and row.shown]),
        )
    for comment in rows.comments:
        children = [row for row in rows.comments if row.parent_id == comment.id]
        flags = [row for row in rows.flags if row.comment_id == comment.id]
        yield (
            comment,
            {
                "shown": comment.status == "published",
                "word_count": len(comment.message.split()),
                "child_count": len(children),
                "reply_count": sum(row.shown for row in children),
                "listed_reply_count": sum(map(is_listed, children)),
                "thread_reply_count": sum(
                    row.shown for row in rows.comments if row.root_id == comment.id
                ),
                "flag_count": sum(row.closed_at is None for row in flags),
                "reaction_count": sum(row.comment_id == comment.id for row in rows.reactions),
            },
        )
    kinds = Counter((row.comment_id, row.kind) for row in rows.reactions)
    assert {*kinds} <= {(row.comment_id, row.kind) for row in rows.totals}
    for total in rows.totals:
        yield total, {"count": kinds[total.comment_id, total.kind]}


def texts(comments: Sequence[Comment]) -> dict[str, int]:
    words = sum(len(row.message.split()) for row in comments)
    return {"comment_count": len(comments), "word_count": words}


def is_listed(comment: Comment) -> bool:
    return comment.shown or comment.placeholder


def assert_trees(rows: Rows) -> None:
    """Assert that replies are in the thread of their parent, one level below it."""
    comments = {row.id: row for row in rows.comments}
    for row in rows.comments:
        if row.parent_id is None:
            assert (row.root_id, row.depth) == (None, 0)
            continue
        parent = comments[row.parent_id]
        root_id = parent.root_id or parent.id
        assert (row.thread_id, row.root_id) == (parent.thread_id, root_id)
        assert row.depth == parent.depth + 1


def assert_numbered(rows: Rows) -> None:
    """Assert that no number is given twice in a thread, and none after its last one."""
    for thread in rows.threads:
        own = [row.seq for row in rows.comments if row.thread_id == thread.id and row.seq]
        assert len({*own}) == len(own)
        assert all(row.seq for row in rows.comments if row.shown)
        assert max(own, default=0) <= thread.last_seq


def assert_histories(rows: Rows) -> None:
    """Assert that a comment has its last revision, and a deleted one neither that nor reactions."""
    for row in rows.comments:
        own = [revision for revision in rows.revisions if revision.comment_id == row.id]
        if row.status == DELETED:
            assert not own
            assert not row.reaction_count
        elif own:
            latest = max(own, key=lambda revision: revision.number)
            assert latest.number == row.revision
            assert row.placeholder or not row.message or latest.message == row.message


async def assert_unread(database: Database, rows: Rows) -> None:
    """Assert that what is unread is what is shown after the mark, but for the viewer's own."""
    ids = [row.id for row in rows.threads]
    marks = {(row.author_id, row.thread_id): row.last_read_seq for row in rows.marks}
    for author in rows.authors:
        viewer = Viewer(author.subject, None)
        async with database.read() as connection:
            unread = await read_unread(EngineReader(connection), viewer, ids)
        for id in ids:
            new = [
                (row.seq, row.id)
                for row in rows.comments
                if row.thread_id == id and row.shown and row.author_id != author.id
                if (row.seq or 0) > marks.get((author.id, id), 0)
            ]
            first = min(new)[1] if new else None
            assert (unread[id].count, unread[id].first_id) == (len(new), first)
