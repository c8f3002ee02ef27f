"""Custom models with derived columns, of which a counter sums one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from sqlalchemy import JSON, Engine, ForeignKey, Identity, String, Text, text
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, synonym
from sqlalchemy.types import TypeDecorator

from tallied.counters import Counters, Derived, Sum


class Reversed(TypeDecorator[str]):
    """A text that is stored backwards, so that the database holds another value than Python."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        return None if value is None else value[::-1]

    def process_result_value(self, value: str | None, dialect: Any) -> str | None:
        return None if value is None else value[::-1]


class Essays(DeclarativeBase):
    """A separate base."""


class Shelf(Essays):
    __tablename__ = "shelf"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    words: Mapped[int] = mapped_column(server_default=text("0"))

    essays: Mapped[list[Essay]] = relationship(back_populates="shelf")


class Essay(Essays):
    """A row whose words are summed, and computed from a nullable column of another name."""

    __tablename__ = "essay"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    shelf_id: Mapped[int | None] = mapped_column(ForeignKey("shelf.id"), index=True)
    body: Mapped[str | None] = mapped_column("content", Reversed)
    words: Mapped[int] = mapped_column("size")

    shelf: Mapped[Shelf | None] = relationship(back_populates="essays")
    text: Mapped[str | None] = synonym("body")


class Page(Essays):
    """A row of which no counter sums anything."""

    __tablename__ = "page"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    kind: Mapped[str] = mapped_column(server_default="page")
    name: Mapped[str | None] = mapped_column(String(30), unique=True)
    title: Mapped[str] = mapped_column(default="Not Yet Named")
    slug: Mapped[str]
    size: Mapped[int | None]
    summary: Mapped[str] = mapped_column(server_default="made by the database")
    summary_size: Mapped[int]
    data: Mapped[dict[str, Any]] = mapped_column(MutableDict.as_mutable(JSON), default=dict)
    keys: Mapped[int]

    __mapper_args__: ClassVar[dict[str, str]] = {
        "polymorphic_on": "kind",
        "polymorphic_identity": "page",
    }


class Cover(Page):
    """A page of another kind."""

    __mapper_args__: ClassVar[dict[str, str]] = {"polymorphic_identity": "cover"}


def count_words(text: str | None) -> int:
    return len((text or "").split())


def slug_of(title: str) -> str:
    return title.lower().replace(" ", "-")


essays = Counters(
    Derived(Essay.words, of=Essay.body, compute=count_words),
    Sum(Shelf.words, of=Essay.words, via=Essay.shelf),
    Derived(Page.slug, of=Page.title, compute=slug_of),
    Derived(Page.size, of=Page.title, compute=len),
    Derived(Page.summary_size, of=Page.summary, compute=len),
    Derived(Page.keys, of=Page.data, compute=len),
)


class EssaySession(Session):
    """The session class of these counters."""


essays.install(EssaySession)


@pytest.fixture
def shelves(engine: Engine) -> Iterator[Session]:
    """A session with a shelf of essays of 2 and 5 words, and the page "Why Salt"; committed.

    The modules that are about essays import it.
    """
    Essays.metadata.create_all(engine)
    with EssaySession(engine) as session:
        session.add(Shelf(essays=[Essay(body="one two"), Essay(body="of five words it is")]))
        session.add(page("Why Salt", name="salt"))
        session.commit()
        yield session


def page(title: str, **values: Any) -> Page:
    return Page(**{"title": title, "summary": "four", "data": {"a": 1, "b": 2}, **values})
