"""Topics whose entries are numbered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, UniqueConstraint, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from tallied.counters import Count, Counters, Number

ZERO = text("0")

BEFORE = {1: 1, 2: 2, 3: 3}
"""The numbers of the stored entries by their keys."""


class Base(DeclarativeBase):
    pass


class Topic(Base):
    __tablename__ = "numbered_topic"
    id: Mapped[int] = mapped_column(primary_key=True)
    last: Mapped[int] = mapped_column(server_default=ZERO)
    entry_count: Mapped[int] = mapped_column(server_default=ZERO)
    entries: Mapped[list[Entry]] = relationship(
        back_populates="topic", cascade="all, delete-orphan", order_by="Entry.id"
    )


class Entry(Base):
    __tablename__ = "numbered_entry"
    id: Mapped[int] = mapped_column(primary_key=True)
    topic_id: Mapped[int | None] = mapped_column(
        ForeignKey(Topic.id, ondelete="CASCADE"), index=True
    )
    seq: Mapped[int | None]
    name: Mapped[str] = mapped_column(default="")
    topic: Mapped[Topic | None] = relationship(back_populates="entries")
    __table_args__ = (UniqueConstraint("topic_id", "seq"),)


class NumberedSession(Session):
    """A session that numbers entries."""


counters = Counters(
    Number(Entry.seq, via=Entry.topic, last=Topic.last),
    Count(Topic.entry_count, via=Entry.topic),
)
counters.install(NumberedSession)


def make_topics(engine: Engine) -> None:
    """Store two topics, the first with three entries, the second with one."""
    Base.metadata.create_all(engine)
    with NumberedSession(engine) as session:
        add_topics(session)
        session.commit()


def add_topics(session: Session) -> None:
    for id, sizes in ((1, (1, 2, 3)), (2, (4,))):
        session.add(Topic(id=id))
        session.flush()
        session.add_all(Entry(id=n, topic_id=id) for n in sizes)
        session.flush()


def numbers(session: Session, topic: int = 1) -> dict[int, int | None]:
    """Return the stored numbers of a topic's entries, by their keys."""
    query = select(Entry.id, Entry.seq).where(Entry.topic_id == topic).order_by(Entry.id)
    return {row.id: row.seq for row in session.connection().execute(query)}


def last(session: Session, topic: int = 1) -> Any:
    return session.connection().scalar(select(Topic.last).where(Topic.id == topic))


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    make_topics(engine)
    with NumberedSession(engine) as session:
        yield session
        session.rollback()
