"""Unusual statements: each form is counted, or refused and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    Engine,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    TypeDecorator,
    bindparam,
    delete,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import (
    Mapped,
    Session,
    aliased,
    mapped_column,
    relationship,
    with_loader_criteria,
)
from support.forum import FIRST, ROWS, SECOND, Comment, Forum, Thread, forum, rows
from support.forum import session as session
from support.pairs import assert_verified, install, key, pair, reference, trio
from support.sessions import perform, sync_engine

from tallied.counters import Count, Sum
from tallied.errors import UncountedStatementError

NEW = {"thread_id": FIRST, "words": 8}


def keys(session: Session) -> list[int]:
    return list(session.scalars(select(Comment.id).order_by(Comment.id)))


Statement = Callable[[Session], Any]

ALIAS = "(DELETE|UPDATE) of Comment by statement names its table by an alias"
LIST = "(DELETE|UPDATE) of Comment by statement takes a list of parameters that are not keys"
NESTED = "(DELETE|INSERT) of comment within another statement"
REPLACING = "INSERT of (Comment|Thread) by statement replaces rows"

REFUSED: dict[str, tuple[str, Statement]] = {
    "DELETE of an alias": (ALIAS, lambda s: delete(Comment.__table__.alias())),
    "UPDATE of an alias": (ALIAS, lambda s: update(aliased(Comment)).values(words=50)),
    "DELETE with a list of conditions": (
        LIST,
        lambda s: (
            delete(Comment.__table__).where(Comment.__table__.c.thread_id == bindparam("id")),
            [{"id": FIRST}, {"id": SECOND}],
        ),
    ),
    "UPDATE of the table with a list": (
        LIST,
        lambda s: (update(Comment.__table__), [{"id": keys(s)[0], "words": 9}]),
    ),
    "UPDATE with a list without keys": (
        "UPDATE of Comment by statement with a list of parameters names no primary keys",
        lambda s: (update(Comment), [{"words": 9}, {"words": 10}]),
    ),
    "UPDATE with a tuple of parameters": (
        LIST,
        lambda s: (update(Comment), tuple({"id": k, "words": 11} for k in keys(s))),
    ),
    "INSERT in from_statement": (
        NESTED,
        lambda s: select(Comment).from_statement(insert(Comment).values(NEW).returning(Comment)),
    ),
}

REFUSED_ON_SQLITE: dict[str, tuple[str, Statement]] = {
    "INSERT OR REPLACE of a source": (
        REPLACING,
        lambda s: insert(Comment).prefix_with("OR REPLACE").values(id=keys(s)[0], thread_id=SECOND),
    ),
    "INSERT OR REPLACE of a parent": (
        REPLACING,
        lambda s: insert(Thread).prefix_with("OR REPLACE").values(id=FIRST),
    ),
}


def new_archive(session: Session) -> Table:
    """Create a table that is not counted."""
    archive = Table("archive", MetaData(), Column("id", Integer), prefixes=["TEMPORARY"])
    archive.create(session.connection())
    return archive


def archived(session: Session) -> Any:
    """Insert the rows that a DELETE in a common table expression removes into another table."""
    archive = new_archive(session)
    deleted = delete(Comment).returning(Comment.id).cte("gone")
    return insert(archive).from_select(["id"], select(deleted.c.id))


def deleted_keys() -> Any:
    """Return a query of the comments that it deletes."""
    return select(delete(Comment).returning(Comment.id).cte("gone").c.id)


GONE = deleted_keys()

REFUSED_ON_POSTGRESQL: dict[str, Statement] = {
    "DELETE in a common table expression": lambda s: deleted_keys(),
    "INSERT in an added common table expression": lambda s: select(Thread.id).add_cte(
        insert(Comment).values(NEW).returning(Comment.id).cte("new")
    ),
    "DELETE in the criteria of a class": lambda s: select(Thread).options(
        with_loader_criteria(Thread, Thread.id.in_(deleted_keys()))
    ),
    "DELETE in criteria that a function returns": lambda s: select(Thread).options(
        with_loader_criteria(Thread, lambda it: it.id.in_(GONE))
    ),
    "DELETE in the common table expression of an INSERT elsewhere": archived,
}


def assert_refused(session: Session, why: str, act: Statement) -> None:
    with pytest.raises(UncountedStatementError, match=f"^{why}"):
        perform(session, act)
    assert rows(session.connection()) == sorted(ROWS)
    assert_verified(session, forum)


@pytest.mark.sampled
@pytest.mark.parametrize("name", REFUSED)
def test_uncountable_statement_is_refused(session: Session, name: str) -> None:
    assert_refused(session, *REFUSED[name])


@pytest.mark.sqlite
@pytest.mark.parametrize("name", REFUSED_ON_SQLITE)
def test_uncountable_statement_on_sqlite_is_refused(session: Session, name: str) -> None:
    assert_refused(session, *REFUSED_ON_SQLITE[name])


@pytest.mark.postgresql
@pytest.mark.parametrize("name", REFUSED_ON_POSTGRESQL)
def test_uncountable_statement_on_postgresql_is_refused(session: Session, name: str) -> None:
    assert_refused(session, NESTED, REFUSED_ON_POSTGRESQL[name])


@pytest.mark.postgresql
def test_uncounted_rows_may_change_within_statement(session: Session) -> None:
    archive = new_archive(session)
    added = insert(archive).values(id=7).returning(archive.c.id).cte("added")
    assert session.scalars(select(added.c.id)).all() == [7]
    assert_verified(session, forum)


def test_upsert_that_sets_a_counter_is_refused(session: Session, backend: str) -> None:
    dialect: Any = {"sqlite": sqlite, "postgresql": postgresql}[backend]
    added = dialect.insert(Thread).values(id=FIRST, title="Renamed")
    upsert = added.on_conflict_do_update(index_elements=["id"], set_={"words": 0})
    assert_refused(
        session, r"INSERT of Thread would assign Thread\.words", lambda s: s.execute(upsert)
    )


@pytest.mark.sqlite
def test_statement_with_own_bind_is_refused(session: Session, tmp_path: Path) -> None:
    other = sync_engine(f"sqlite:///{tmp_path / 'other.db'}")
    Forum.metadata.create_all(other)
    assert_refused(
        session,
        "INSERT of Comment by statement is sent to a database of its own",
        lambda s: s.execute(insert(Comment).values(NEW), bind_arguments={"bind": other}),
    )
    with other.connect() as connection:
        assert rows(connection) == []
    other.dispose()


@pytest.mark.parametrize("on_statement", [True, False])
def test_statement_with_own_schema_translate_map_is_refused(
    session: Session, on_statement: bool
) -> None:
    options = {"schema_translate_map": {None: "elsewhere"}}

    def execute(session: Session) -> Any:
        if on_statement:
            return session.execute(insert(Comment).values(NEW).execution_options(**options))
        return session.execute(insert(Comment).values(NEW), execution_options=options)

    why = "INSERT of Comment by statement has a schema_translate_map of its own"
    assert_refused(session, why, execute)


def test_insert_returns_its_key_and_rowcount(session: Session) -> None:
    one = session.execute(insert(Comment).values(NEW))
    assert session.get_one(Comment, one.inserted_primary_key[0]).words == 8
    many = session.execute(insert(Comment).values([NEW] * 3))
    assert many.rowcount == 3
    assert_verified(session, forum)


def test_legacy_bulk_methods_accept_keywords(engine: Engine) -> None:
    Parent, Source = pair()
    Base = Parent.__bases__[0]
    Tag: Any = type("Tag", (Base,), {"__tablename__": "tag", "id": key()})
    _, Own = install(engine, Count(Parent.n, via=Source.parent))
    with Own(engine) as session:
        session.bulk_insert_mappings(mapper=Tag, mappings=[{"id": 11}])
        session.bulk_save_objects(objects=(Tag(id=number) for number in (12, 13)))
        assert session.scalars(select(Tag.id).order_by(Tag.id)).all() == [11, 12, 13]
        with pytest.raises(UncountedStatementError, match="bulk_insert_mappings"):
            session.bulk_insert_mappings(mapper=Source, mappings=[{"id": 11}])


def typed(**columns: Any) -> dict[str, Any]:
    """Return the attributes of a class that has subclasses."""
    identity = {"polymorphic_on": "kind", "polymorphic_identity": "base"}
    return {"kind": mapped_column(String), "__mapper_args__": identity, **columns}


@pytest.mark.parametrize("verb", ["INSERT", "UPDATE"])
def test_statement_on_joined_subclass_is_refused(engine: Engine, verb: str) -> None:
    Parent, Source = pair(source=typed(size=mapped_column(Integer)))

    class Track(Source):
        __tablename__ = "track"
        __mapper_args__ = {"polymorphic_identity": "track"}  # noqa: RUF012
        id: Mapped[int] = mapped_column(ForeignKey("source.id"), primary_key=True)
        length: Mapped[int]

    counters, Own = install(engine, Sum(Parent.n, of=Source.size, via=Source.parent))
    with Own(engine) as session:
        parent = Parent()
        track = Track(parent=parent, size=4, length=3)
        session.add_all([track, Source(parent=parent, size=5)])
        session.flush()
        refused = {
            "INSERT": (insert(Track), [{"parent_id": parent.id, "size": 40, "length": 3}]),
            "UPDATE": (update(Track), [{"id": track.id, "size": 40}]),
        }
        why = f"{verb} of Track by statement goes to one table of several"
        with pytest.raises(UncountedStatementError, match=why):
            session.execute(*refused[verb])
        assert_verified(session, counters)
        assert parent.n == 9


def test_statement_that_changes_the_discriminator_is_refused(engine: Engine) -> None:
    Parent, Source = pair(source=typed())
    Image: Any = type("Image", (Source,), {"__mapper_args__": {"polymorphic_identity": "image"}})
    counters, Own = install(engine, Count(Parent.n, via=Image.parent))
    with Own(engine) as session:
        parent = Parent()
        session.add_all([Source(parent=parent), Image(parent=parent), Image(parent=parent)])
        session.flush()
        changed = update(Source).values(kind="image")
        with pytest.raises(UncountedStatementError, match="changes what class its rows are of"):
            session.execute(changed.execution_options(synchronize_session=False))
        assert_verified(session, counters)
        assert parent.n == 2


def test_statement_that_assigns_counter_of_subclass_is_refused(engine: Engine) -> None:
    Parent, Source = pair(
        typed(),
        {
            "special_id": reference("parent.id"),
            "parent": relationship("Parent", foreign_keys="Source.parent_id"),
            "special": relationship("Special", foreign_keys="Source.special_id"),
        },
    )
    special = {
        "__mapper_args__": {"polymorphic_identity": "special"},
        "m": mapped_column(Integer, server_default="0", nullable=False),
    }
    Special: Any = type("Special", (Parent,), special)
    counters, Own = install(
        engine, Count(Parent.n, via=Source.parent), Count(Special.m, via=Source.special)
    )
    with Own(engine) as session:
        parent, one = Parent(), Special()
        pairs = [(one, parent), (one, one), (one, parent), (one, one)]
        session.add_all(Source(special=special, parent=owner) for special, owner in pairs)
        assert_verified(session, counters)
        with pytest.raises(UncountedStatementError, match=r"would assign Special\.m"):
            session.execute(update(Special).values(m=9))
        assert_verified(session, counters)
        assert (parent.n, one.n, one.m) == (2, 2, 4)


@pytest.mark.parametrize("mapped", [True, False])
def test_cascade_from_an_unmapped_table_is_refused(engine: Engine, mapped: bool) -> None:
    Parent, Source, Author = trio(
        {"board_id": mapped_column(ForeignKey("board.id", ondelete="CASCADE"))}
    )
    Base = Parent.__bases__[0]
    board = Table("board", Base.metadata, Column("id", Integer, primary_key=True))
    mapped_classes = [type("Board", (Base,), {"__table__": board})] if mapped else []
    counters, Own = install(
        engine, Count(Parent.n, via=Source.parent), Count(Author.n, via=Source.other)
    )
    with Own(engine) as session:
        session.execute(board.insert(), [{"id": 1}, {"id": 2}])
        author = Author()
        for number, size in ((1, 3), (2, 2)):
            parent = Parent(board_id=number)
            session.add_all(Source(parent=parent, other=author) for _ in range(size))
        assert_verified(session, counters)
        removed = board.delete().where(board.c.id == 1)
        if mapped:
            session.execute(removed)
        else:
            with pytest.raises(UncountedStatementError, match="cascades to counted rows"):
                session.execute(removed)
        assert_verified(session, counters)
        assert author.n == (2 if mapped else 5)
    assert (
        len(mapped_classes) == mapped
    )  # a class without references is collected, and not mapped any more


class Choice(TypeDecorator[str]):
    """A type whose cache key SQLAlchemy cannot hash, so that it has to go without its cache."""

    impl = String
    cache_ok = True

    def __init__(self, choices: list[str]) -> None:
        super().__init__()
        self.choices = choices


def test_select_that_cannot_be_cached_is_executed(session: Session) -> None:
    statement = select(literal("a", Choice(["a", "b"])), Comment.id).order_by(Comment.id)
    options = {"compiled_cache": None}
    assert session.execute(statement, execution_options=options).all()[0] == ("a", keys(session)[0])
