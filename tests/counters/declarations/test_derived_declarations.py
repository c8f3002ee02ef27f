"""A derived column that cannot be kept is refused when it is declared; the others are verified."""

from __future__ import annotations

import pytest
from sqlalchemy import (
    Computed,
    Engine,
    ForeignKey,
    Identity,
    String,
    func,
    select,
    text,
    update,
)
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    column_property,
    mapped_column,
    relationship,
    synonym,
)
from support.pairs import assert_verified

from tallied.counters import Count, Counters, Derived, Drift, Sum
from tallied.counters.maintenance.derived_columns import pages, repair
from tallied.errors import CounterAssignmentError


class Models:
    """A reader, and the books that are counted for it; new ones for each test."""

    def __init__(self) -> None:
        class Base(DeclarativeBase):
            pass

        class Reader(Base):
            __tablename__ = "reader"

            id: Mapped[int] = mapped_column(Identity(), primary_key=True)
            books: Mapped[int] = mapped_column(server_default=text("0"))
            words: Mapped[int] = mapped_column(server_default=text("0"))
            label: Mapped[str | None]

        class Book(Base):
            __tablename__ = "book"

            id: Mapped[int] = mapped_column(Identity(), primary_key=True)
            reader_id: Mapped[int | None] = mapped_column(ForeignKey(Reader.id), index=True)
            title: Mapped[str] = mapped_column(String)
            size: Mapped[int]
            half: Mapped[int | None]
            double: Mapped[int] = mapped_column(Computed("size * 2"))
            at: Mapped[str | None] = mapped_column(String, onupdate="now")
            loud: Mapped[str] = column_property(func.upper(title))
            name: Mapped[str] = synonym("title")
            reader: Mapped[Reader | None] = relationship(Reader)

        class Novel(Base):
            __tablename__ = "novel"

            id: Mapped[int] = mapped_column(Identity(), primary_key=True)
            size: Mapped[int]

        self.base, self.Reader, self.Book, self.Novel = Base, Reader, Book, Novel


def test_extension_may_add_derived_columns_alone(engine: Engine) -> None:
    models = Models()
    Reader, Book = models.Reader, models.Book
    models.base.metadata.create_all(engine)

    class Own(Session):
        pass

    counters = Counters(Count(Reader.books, via=Book.reader))
    extension = counters.extend(
        Derived(Book.size, of=Book.title, compute=len),
        Sum(Reader.words, of=Book.size, via=Book.reader),
    )
    counters.install(Own)
    extension.install(Own)
    assert counters.installed_on(Own) is extension
    more = extension.extend(Derived(Book.half, of=Book.title, compute=lambda t: len(t) // 2))
    more.install(Own)
    assert counters.installed_on(Own) is more
    with Own(engine) as session:
        reader = Reader()
        session.add_all([Book(title="seven..", reader=reader), Book(title="four", reader=reader)])
        assert_verified(session, more)
        session.execute(update(Book).where(Book.size == 4).values(title="of nine.."))
        assert_verified(session, more)
        session.refresh(reader)
        assert (reader.books, reader.words) == (2, 16)
        assert session.scalars(select(Book.half).order_by(Book.half)).all() == [3, 4]


def test_derived_columns_need_no_counters(engine: Engine) -> None:
    models = Models()
    Book = models.Book
    models.base.metadata.create_all(engine)

    class Own(Session):
        pass

    counters = Counters(Derived(Book.size, of=Book.title, compute=len))
    counters.install(Own)
    counters.install(Own)
    assert counters.installed_on(Own) is counters
    with Own(engine) as session:
        session.add(book := Book(title="four"))
        session.execute(update(Book).values(title="seven.."))
        with pytest.raises(CounterAssignmentError):
            book.size = 5
        session.commit()
        session.connection().execute(update(Book.__table__).values(size=99))
        assert list(counters.verify(session.connection(), derived=False)) == []
        (drift,) = counters.verify(session.connection(), only=["Book.size"])
        assert (drift.counter, drift.key, drift.stored, drift.true) == (
            "Book.size",
            (book.id,),
            99,
            7,
        )
        session.commit()
        (declared,) = counters.derived
        assert repair(session, declared, [drift.key]) == 1
        assert session.scalar(select(Book.size)) == 7


def test_verify_of_derived_columns_takes_a_condition(engine: Engine) -> None:
    models = Models()
    Reader, Book = models.Reader, models.Book
    models.base.metadata.create_all(engine)
    counters = Counters(
        Derived(Book.size, of=Book.title, compute=len),
        Count(Reader.books, via=Book.reader),
        Sum(Reader.words, of=Book.size, via=Book.reader),
    )

    class Own(Session):
        pass

    counters.install(Own)
    with Own(engine) as session:
        readers = [Reader() for _ in range(3)]
        books = [Book(title="four", reader=reader) for reader in readers]
        session.add_all(books)
        session.flush()
        session.connection().execute(update(Book.__table__).values(size=5))
        second = Reader.id == readers[1].id
        found: list[Drift] = list(
            counters.verify(session.connection(), only=[Reader, Book], where=second)
        )
        assert [(drift.counter, drift.key) for drift in found] == [
            ("Reader.words", (readers[1].id,)),
            ("Book.size", (books[1].id,)),
        ]
        sampled = counters.verify(session.connection(), sample=2)
        assert sum(drift.counter == "Book.size" for drift in sampled) == 2
        session.commit()
        (size,) = counters.derived
    with engine.connect() as connection:
        wrong = [key for each in pages(connection, size, size=2) for key in each.wrong]
    assert len(wrong) == 3
