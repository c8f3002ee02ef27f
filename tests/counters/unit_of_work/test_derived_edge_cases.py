"""Derived columns of sibling classes in one table, and of NaN."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

import pytest
from sqlalchemy import Engine, ForeignKey, Numeric, insert, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from tallied.counters import Counters, Derived, Sum
from tallied.counters.maintenance.derived_columns import repair


class Base(DeclarativeBase):
    """The base of this module."""


class Note(Base):
    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    __mapper_args__: ClassVar[dict[str, Any]] = {"polymorphic_on": "kind"}


class Letter(Note):
    """A class whose words are derived; those of its sibling have the same name and are not."""

    body: Mapped[str | None] = mapped_column("letter_body")
    words: Mapped[int | None] = mapped_column("letter_words")
    __mapper_args__: ClassVar[dict[str, Any]] = {"polymorphic_identity": "letter"}


class Poem(Note):
    body: Mapped[str | None] = mapped_column("poem_body")
    words: Mapped[int | None] = mapped_column("poem_words")
    __mapper_args__: ClassVar[dict[str, Any]] = {"polymorphic_identity": "poem"}


class Account(Base):
    __tablename__ = "account"
    id: Mapped[int] = mapped_column(primary_key=True)
    total: Mapped[Decimal] = mapped_column(Numeric, server_default="0")


class Entry(Base):
    __tablename__ = "entry"
    id: Mapped[int] = mapped_column(primary_key=True)
    written: Mapped[str]
    amount: Mapped[Decimal] = mapped_column(Numeric)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    account: Mapped[Account] = relationship()


amount = Derived(Entry.amount, of=Entry.written, compute=Decimal)
counters = Counters(
    Derived(Letter.words, of=Letter.body, compute=lambda body: len((body or "").split())),
    amount,
    Sum(Account.total, of=Entry.amount, via=Entry.account),
)


class SiblingSession(Session):
    """The session class of these counters."""


counters.install(SiblingSession)


def test_sibling_class_keeps_columns_of_the_same_name(engine: Engine) -> None:
    Base.metadata.create_all(engine)
    with SiblingSession(engine) as session:
        session.execute(insert(Poem), [{"id": 4, "body": "a b", "words": 70}])
        session.execute(insert(Letter), [{"id": 5, "body": "a b c"}])
        session.commit()
        session.execute(update(Poem), [{"id": 4, "body": "d e f g"}])
        session.execute(update(Letter), [{"id": 5, "body": "d e f g h"}])
        session.commit()
        poem, letter = session.get_one(Poem, 4), session.get_one(Letter, 5)
        assert (poem.body, poem.words) == ("d e f g", 70)
        assert (letter.body, letter.words) == ("d e f g h", 5)
        assert list(counters.verify(session.connection())) == []


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_nan_is_the_same_as_nan(engine: Engine) -> None:
    Base.metadata.create_all(engine)
    with SiblingSession(engine) as session:
        account = Account(id=3)
        entries = [Entry(id=n, written=w, account=account) for n, w in ((6, "NaN"), (7, "2.5"))]
        session.add_all(entries)
        session.commit()
        assert account.total.is_nan()
        assert entries[0].written == "NaN"
        entries[0].amount = Decimal("NaN")
        account.total = Decimal("NaN")
        session.commit()
        assert repair(session, amount, [(6,), (7,)]) == 0
        assert list(counters.verify(session.connection())) == []
        session.execute(update(Entry), [{"id": 6, "written": "4", "amount": Decimal(4)}])
        session.commit()
        assert session.scalars(select(Account.total)).one() == Decimal("6.5")
        assert list(counters.verify(session.connection())) == []
