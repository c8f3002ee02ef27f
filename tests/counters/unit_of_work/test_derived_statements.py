"""A statement computes the derived columns of the values that it sets, or is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Update, bindparam, func, insert, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, aliased
from support.comments import stored_thread
from support.essays import Essay, Page, Shelf, essays
from support.essays import shelves as shelves
from support.pairs import assert_verified
from support.recount import assert_exact, shown
from support.sessions import perform

from tallied.errors import UncountedStatementError
from tallied.models import Comment, Thread
from tallied.models.counters import counters

Statement = Callable[[Session, Any], Any]


@pytest.fixture
def thread(session: Session) -> Thread:
    """A stored thread with comments of 2 and 3 words, in memory, and the key of the first."""
    return stored_thread(session, "one two", "three four five")


def first(thread: Thread) -> Any:
    return thread.comments[0].id


def the_first(thread: Thread) -> Update:
    return update(Comment).where(Comment.id == first(thread))


NEW: dict[str, Any] = {"author_name": "B", "message": "of four words now"}

COMPUTED: dict[str, tuple[int, Statement]] = {
    "insert": (9, lambda s, t: insert(Comment).values(thread_id=t.id, **NEW)),
    "insert with its value": (
        9,
        lambda s, t: insert(Comment).values(thread_id=t.id, word_count=4, **NEW),
    ),
    "insert a list of values": (
        13,
        lambda s, t: insert(Comment).values([{"thread_id": t.id, **NEW}] * 2),
    ),
    "insert with parameters": (
        13,
        lambda s, t: (insert(Comment), [{"thread_id": t.id, **NEW}] * 2),
    ),
    "insert with named parameters": (
        11,
        lambda s, t: (
            insert(Comment).values(author_name="B", thread_id=t.id, message=bindparam("text")),
            [{"text": "one"}, {"text": "of five words it is"}],
        ),
    ),
    "insert by the table": (
        9,
        lambda s, t: (Comment.__table__.insert(), {"thread_id": t.id, **NEW}),
    ),
    "insert a list by the table": (
        13,
        lambda s, t: Comment.__table__.insert().values([{"thread_id": t.id, **NEW}] * 2),
    ),
    "update": (7, lambda s, t: the_first(t).values(message="a b c d")),
    "update by a column": (7, lambda s, t: the_first(t).values({Comment.message: "a b c d"})),
    "update all": (8, lambda s, t: update(Comment).values(message="a b c d")),
    "update with its value": (7, lambda s, t: the_first(t).values(message="a b c d", word_count=4)),
    "update with ordered values": (
        7,
        lambda s, t: the_first(t).ordered_values(
            (Comment.message, "a b c d"), (Comment.author_name, "C")
        ),
    ),
    "update by a literal": (7, lambda s, t: the_first(t).values(message=literal("a b c d"))),
    "update with a named parameter": (
        7,
        lambda s, t: (the_first(t).values(message=bindparam("text")), {"text": "a b c d"}),
    ),
    "update with parameters": (7, lambda s, t: (the_first(t), {"message": "a b c d"})),
    "update by keys": (
        6,
        lambda s, t: (
            update(Comment),
            [{"id": first(t), "message": "a b c d"}, {"id": t.comments[1].id, "message": "e f"}],
        ),
    ),
    "update by keys with their values": (
        7,
        lambda s, t: (update(Comment), [{"id": first(t), "message": "a b c d", "word_count": 4}]),
    ),
    "update some by keys": (
        7,
        lambda s, t: (
            update(Comment),
            [{"id": t.comments[1].id, "author_name": "C"}, {"id": first(t), "message": "a b c d"}],
        ),
    ),
    "update by the table": (
        7,
        lambda s, t: (
            Comment.__table__.update().where(Comment.id == first(t)).values(message="a b c d")
        ),
    ),
    "update returning": (
        7,
        lambda s, t: s.execute(
            the_first(t).values(message="a b c d").returning(Comment.word_count)
        ).one(),
    ),
    "query update": (
        7,
        lambda s, t: s.query(Comment).filter_by(id=first(t)).update({"message": "a b c d"}),
    ),
    "update of another column": (5, lambda s, t: the_first(t).values(author_name="C")),
}


@pytest.mark.sampled
@pytest.mark.parametrize("name", COMPUTED)
def test_statement_derives_columns(session: Session, thread: Thread, name: str) -> None:
    words, act = COMPUTED[name]
    perform(session, act, thread)
    session.refresh(thread)
    assert shown(thread).word_count == words
    assert_exact(session, thread)
    assert list(counters.verify(session.connection())) == []


@pytest.mark.parametrize("how", ["evaluate", "fetch", "auto"])
def test_statement_synchronizes_loaded_objects(session: Session, thread: Thread, how: Any) -> None:
    loaded = thread.comments[0]
    statement = the_first(thread).values(message="a b c d")
    session.execute(statement.execution_options(synchronize_session=how))
    assert (loaded.message, loaded.word_count, shown(thread).word_count) == ("a b c d", 4, 7)


OTHER = "sets it to another value, or without that: leave it out, and set Comment.message."
UNKNOWN = "gives Comment.message no value that Python knows: give the value"

REFUSED: dict[str, tuple[str, Statement]] = {
    "update of the words": (OTHER, lambda s, t: the_first(t).values(word_count=77)),
    "update of the words to themselves": (
        OTHER,
        lambda s, t: the_first(t).values(word_count=Comment.word_count),
    ),
    "update with other words": (
        OTHER,
        lambda s, t: the_first(t).values(message="a b c d", word_count=5),
    ),
    "update by an expression": (
        UNKNOWN,
        lambda s, t: the_first(t).values(message=Comment.message + " more"),
    ),
    "update by a function": (
        UNKNOWN,
        lambda s, t: the_first(t).values(message=func.upper("a b c d")),
    ),
    "update by an expression with words": (
        UNKNOWN,
        lambda s, t: the_first(t).values(
            message=Comment.message + " x", word_count=Comment.word_count + 1
        ),
    ),
    "update with a parameter": (
        OTHER,
        lambda s, t: (the_first(t).values(word_count=bindparam("n")), {"n": 77}),
    ),
    "update with parameters": (OTHER, lambda s, t: (the_first(t), {"word_count": 77})),
    "update by keys": (OTHER, lambda s, t: (update(Comment), [{"id": first(t), "word_count": 77}])),
    "update by keys with other words": (
        OTHER,
        lambda s, t: (update(Comment), [{"id": first(t), "message": "a b c d", "word_count": 77}]),
    ),
    "update by the table": (OTHER, lambda s, t: Comment.__table__.update().values(word_count=77)),
    "update of an alias": (
        "names its table by an alias: name the class itself.",
        lambda s, t: update(aliased(Comment)).values(message="a b c d"),
    ),
    "query update": (OTHER, lambda s, t: s.query(Comment).update({Comment.word_count: 77})),
    "insert with other words": (
        OTHER,
        lambda s, t: insert(Comment).values(thread_id=t.id, word_count=77, **NEW),
    ),
    "insert a list with other words": (
        OTHER,
        lambda s, t: (
            insert(Comment),
            [{"thread_id": t.id, **NEW}, {"thread_id": t.id, **NEW, "word_count": 7}],
        ),
    ),
    "insert a list of values with other words": (
        OTHER,
        lambda s, t: insert(Comment).values([{"thread_id": t.id, **NEW, "word_count": 7}] * 2),
    ),
    "insert an expression": (
        UNKNOWN,
        lambda s, t: insert(Comment).values(
            thread_id=t.id, author_name="B", message=func.upper("a b")
        ),
    ),
    "insert from a select": (
        "from a SELECT has no values to compute it from: read the rows",
        lambda s, t: insert(Comment).from_select(
            ["thread_id", "message", "word_count"],
            select(Comment.thread_id, Comment.message, Comment.word_count),
        ),
    ),
}


@pytest.mark.sampled
@pytest.mark.parametrize("name", REFUSED)
def test_statement_without_a_known_value_is_refused(
    session: Session, thread: Thread, name: str
) -> None:
    why, act = REFUSED[name]
    with pytest.raises(UncountedStatementError) as refused:
        perform(session, act, thread)
    verb = "INSERT" if name.startswith("insert") else "UPDATE"
    start = f"Comment.word_count is computed from Comment.message, and this {verb} of Comment "
    assert str(refused.value).startswith(start + why)
    assert_exact(session, thread)
    assert shown(thread).word_count == 5


def test_statement_folds_titles(session: Session, thread: Thread) -> None:
    session.execute(update(Thread).values(title="RENAMED"))
    assert session.scalar(select(Thread.title_folded)) == "renamed"
    session.execute(insert(Thread).values([{"title": "SECOND"}, {"title": "Third"}]))
    folded = session.scalars(select(Thread.title_folded).order_by(Thread.title_folded)).all()
    assert folded == ["renamed", "second", "third"]
    with pytest.raises(UncountedStatementError, match=r"Thread\.title_folded is computed from"):
        session.execute(update(Thread).values(title_folded="else"))
    with pytest.raises(UncountedStatementError, match="no value that Python knows"):
        session.execute(update(Thread).values(title=func.lower(Thread.title)))
    assert list(counters.verify(session.connection())) == []


# Custom models


def two(session: Session) -> Any:
    return session.scalar(select(Essay.id).where(Essay.words == 2))


HOSTS: dict[str, tuple[int, Callable[[Session], Any]]] = {
    "by the attribute": (9, lambda s: update(Essay).where(Essay.words == 2).values(body="a b c d")),
    "by a synonym": (9, lambda s: update(Essay).where(Essay.words == 2).values(text="a b c d")),
    "by keys": (9, lambda s: (update(Essay), [{"id": two(s), "body": "a b c d"}])),
    "by the table": (
        9,
        lambda s: Essay.__table__.update().where(Essay.words == 2).values(content="a b c d"),
    ),
    "to NULL": (5, lambda s: update(Essay).where(Essay.words == 2).values(body=None)),
    "insert of NULL": (7, lambda s: insert(Essay).values(shelf_id=s.scalar(select(Shelf.id)))),
    "insert with named parameters": (
        11,
        lambda s: (
            insert(Essay).values(shelf_id=select(Shelf.id).scalar_subquery(), body=bindparam("b")),
            [{"b": "one"}, {"b": "two or three"}],
        ),
    ),
}


@pytest.mark.sampled
@pytest.mark.parametrize("name", HOSTS)
def test_statement_on_custom_models_derives_columns(shelves: Session, name: str) -> None:
    words, act = HOSTS[name]
    shelf = shelves.scalars(select(Shelf)).one()
    perform(shelves, act)
    shelves.expire_all()
    assert shelf.words == words
    assert_verified(shelves, essays)


def test_synonym_in_a_list_of_parameters_is_refused(shelves: Session) -> None:
    with pytest.raises(UncountedStatementError, match="sets text, which is not a column"):
        shelves.execute(update(Essay), [{"id": two(shelves), "text": "a b c d"}])
    assert_verified(shelves, essays)


def test_statement_on_uncounted_class_derives_columns(shelves: Session) -> None:
    table: Any = Page.__table__
    shelves.execute(update(Page).values(title="Renamed"))
    shelves.execute(
        table.update().where(table.c.name == bindparam("key")).values(title=bindparam("text")),
        [{"key": "salt", "text": "Of Two"}, {"key": "none", "text": "Of Nobody"}],
    )
    row = select(Page.slug, Page.size, Page.keys)
    assert shelves.execute(row).one() == ("of-two", 6, 2)
    for statement in (
        update(Page).values(slug="x"),
        update(Page).values(title=func.lower(Page.title)),
        insert(Page).values(title="T"),  # its summary is made by the database
        insert(Page).values(title="T", summary="s", slug="x"),
        insert(Page).from_select(["title"], select(Page.title)),
    ):
        with pytest.raises(UncountedStatementError, match=r"Page\.\w+ is computed from"):
            shelves.execute(statement)
    mapping = {"title": "T", "summary": "s"}
    for call in (
        lambda: shelves.bulk_insert_mappings(Page, [mapping]),  # type: ignore[arg-type]
        lambda: shelves.bulk_update_mappings(Page, [mapping]),  # type: ignore[arg-type]
        lambda: shelves.bulk_save_objects([Page(**mapping)]),
    ):
        with pytest.raises(UncountedStatementError, match=r"use Session\.add_all\(\)"):
            call()
    shelves.expire_all()
    assert shelves.execute(row).one() == ("of-two", 6, 2)
    assert_verified(shelves, essays)


def upsert(session: Session, title: str, **values: Any) -> Any:
    dialect: Any = {"sqlite": sqlite, "postgresql": postgresql}[session.get_bind().dialect.name]
    return dialect.insert(Page).values(name="salt", title=title, summary="four", data={}, **values)


def test_upsert_derives_columns(shelves: Session) -> None:
    row = select(Page.title, Page.slug, Page.size)
    statement = upsert(shelves, "Once More")
    values = {"title": statement.excluded.title}
    shelves.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))
    assert shelves.execute(row).one() == ("Once More", "once-more", 9)
    both = {"title": statement.excluded.title, "slug": statement.excluded.slug}
    shelves.execute(statement.on_conflict_do_update(index_elements=["name"], set_=both))
    known = {"title": "Of Another Name"}
    shelves.execute(statement.on_conflict_do_update(index_elements=["name"], set_=known))
    assert shelves.execute(row).one() == ("Of Another Name", "of-another-name", 15)
    for refused in (
        {"title": statement.excluded.title + "x"},
        {"title": "T", "slug": "x"},
        {"title": statement.excluded.title, "slug": "x"},
        {"slug": statement.excluded.slug},
        {"slug": "of-another-name"},
    ):
        with pytest.raises(UncountedStatementError, match=r"Page\.slug is computed from"):
            shelves.execute(statement.on_conflict_do_update(index_elements=["name"], set_=refused))
    assert_verified(shelves, essays)


@pytest.mark.postgresql  # SQLite has no common table expressions that change rows
def test_statement_within_another_is_refused(shelves: Session) -> None:
    inner = update(Page).values(title="T").returning(Page.id).cte("changed")
    with pytest.raises(UncountedStatementError, match="execute it by itself"):
        shelves.execute(select(inner.c.id))
    assert_verified(shelves, essays)
