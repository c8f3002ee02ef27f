"""Topics with notes that reply to each other: counters of a class on its own rows."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from tallied.counters import Count, Counters, Sum

ZERO = text("0")


class Base(DeclarativeBase):
    pass


class Topic(Base):
    __tablename__ = "topic"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    note_count: Mapped[int] = mapped_column(server_default=ZERO)
    words: Mapped[int] = mapped_column(server_default=ZERO)


class Note(Base):
    __tablename__ = "note"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    topic_id: Mapped[UUID] = mapped_column(ForeignKey(Topic.id, ondelete="CASCADE"), index=True)
    parent_id: Mapped[UUID | None] = mapped_column(ForeignKey("note.id"), index=True)
    root_id: Mapped[UUID | None] = mapped_column(ForeignKey("note.id"), index=True)
    shown: Mapped[bool] = mapped_column(server_default=text("true"), default=True)
    size: Mapped[int] = mapped_column(server_default=text("1"), default=1)
    child_count: Mapped[int] = mapped_column(server_default=ZERO)
    reply_count: Mapped[int] = mapped_column(server_default=ZERO)
    topic: Mapped[Topic] = relationship()
    parent: Mapped[Note | None] = relationship(remote_side=[id], foreign_keys=[parent_id])
    root: Mapped[Note | None] = relationship(remote_side=[id], foreign_keys=[root_id])


class TreeSession(Session):
    """A session with the counters of notes."""


counters = Counters(
    Count(Topic.note_count, via=Note.topic, where=Note.shown.is_(True)),
    Sum(Topic.words, of=Note.size, via=Note.topic),
    Count(Note.child_count, via=Note.parent),
    Count(Note.reply_count, via=Note.root, where=Note.shown.is_(True)),
)
counters.install(TreeSession)


def reply(id: UUID, to: Any, **values: Any) -> Note:
    """Return a new note below the note `to`, which is loaded; by keys alone."""
    root = to.root_id or to.id
    return Note(id=id, topic_id=to.topic_id, parent_id=to.id, root_id=root, **values)


def drift(session: Session) -> list[str]:
    """Return the counters that differ from a recount."""
    return [str(wrong) for wrong in counters.verify(session.connection())]
