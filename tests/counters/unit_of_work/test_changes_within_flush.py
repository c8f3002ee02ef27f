"""Changes that come into a flush after it has begun are locked and counted like all others."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, Integer, event
from sqlalchemy.orm import Session, mapped_column, relationship
from support.pairs import assert_verified, counter, install, pair, reference, trio
from support.statements import recorded

from tallied.counters import Count, Counters, Max, Min, Sum


class Rows:
    """A parent of three sources of 2, 3 and 4 words by one author, and an empty parent."""

    def __init__(self, engine: Engine, cascade: str) -> None:
        Parent, Source, Author = trio(
            {
                "words": counter("words"),
                "sources": relationship(
                    "Source", cascade=cascade, order_by="Source.id", overlaps="parent"
                ),
            },
            {
                "words": mapped_column(Integer, default=1),
                "parent_id": reference("parent.id"),
                "parent": relationship("Parent", overlaps="sources"),
            },
        )
        self.counters: Counters
        self.counters, self.Session = install(
            engine,
            Count(Parent.n, via=Source.parent),
            Sum(Parent.words, of=Source.words, via=Source.parent),
            Count(Author.n, via=Source.other),
        )
        self.session: Session = self.Session(engine, expire_on_commit=False)
        self.author, self.parent, self.other = Author(), Parent(), Parent()
        self.new: Any = Parent
        self.sources = [Source(words=words, other=self.author) for words in (2, 3, 4)]
        self.parent.sources = list(self.sources)
        self.session.add_all([self.parent, self.other])
        self.session.commit()

    def before_flush(self, act: Any) -> None:
        """Run `act` in a listener that is registered after those of the counters."""
        event.listen(self.Session, "before_flush", lambda *_: act())
        self.session.add(self.new())


def orphan(rows: Rows) -> None:
    rows.parent.sources.remove(rows.sources[0])


def take_out(rows: Rows) -> None:
    rows.parent.sources = rows.sources[1:]


def take_over(rows: Rows) -> None:
    rows.other.sources.append(rows.sources[0])


def delete_the_parent(rows: Rows) -> None:
    rows.session.delete(rows.parent)


def a_listener_edits(rows: Rows) -> None:
    rows.before_flush(lambda: setattr(rows.sources[1], "words", 9))


def a_listener_moves(rows: Rows) -> None:
    rows.before_flush(lambda: setattr(rows.sources[0], "parent_id", rows.other.id))


def a_listener_deletes(rows: Rows) -> None:
    rows.before_flush(lambda: rows.session.delete(rows.sources[0]))


ALL = "all, delete-orphan"
NONE = "save-update, merge"


@pytest.mark.parametrize(
    ("act", "cascade", "of_parent", "of_other", "by_author"),
    [
        (orphan, ALL, (2, 7), (0, 0), 2),
        (take_out, NONE, (2, 7), (0, 0), 3),
        (take_over, NONE, (2, 7), (1, 2), 3),
        (delete_the_parent, ALL, None, (0, 0), 0),
        (delete_the_parent, NONE, None, (0, 0), 3),
        (a_listener_edits, NONE, (3, 15), (0, 0), 3),
        (a_listener_moves, NONE, (2, 7), (1, 2), 3),
        (a_listener_deletes, NONE, (2, 7), (0, 0), 2),
    ],
)
def test_change_that_comes_during_the_flush_is_counted(
    engine: Engine, act: Any, cascade: str, of_parent: Any, of_other: Any, by_author: int
) -> None:
    rows = Rows(engine, cascade)
    act(rows)
    with recorded(engine) as executed:
        rows.session.flush()
    locking = [
        statement
        for statement in executed
        if statement.startswith("SELECT") and "source.words" in statement
    ]
    assert len(locking) == 1
    if of_parent is not None:
        assert (rows.parent.n, rows.parent.words) == of_parent
    assert (rows.other.n, rows.other.words) == of_other
    assert rows.author.n == by_author
    assert_verified(rows.session, rows.counters)
    rows.session.commit()
    rows.session.close()


@pytest.mark.parametrize("sizes", [(6, 9, None, -5, 7), (None, None), (4, 4)])
def test_like_rows_added_together_are_exact(engine: Engine, sizes: tuple[int | None, ...]) -> None:
    extremes = {name: mapped_column(Integer) for name in ("most", "least")}
    Parent, Source = pair({"total": counter("total"), **extremes}, {"size": mapped_column(Integer)})
    counters, Own = install(
        engine,
        Count(Parent.n, via=Source.parent),
        Sum(Parent.total, of=Source.size, via=Source.parent),
        Max(Parent.most, of=Source.size, via=Source.parent),
        Min(Parent.least, of=Source.size, via=Source.parent),
    )
    with Own(engine) as session:
        parent = Parent()
        session.add(parent)
        session.commit()
        session.add_all([Source(parent_id=parent.id, size=size) for size in sizes])
        assert_verified(session, counters)
        assert parent.n == len(sizes)
