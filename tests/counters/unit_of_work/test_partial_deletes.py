"""Rows that a DELETE or UPDATE matches and spares are still counted, and still count."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import (
    Boolean,
    Connection,
    Engine,
    Integer,
    delete,
    event,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, mapped_column, relationship, with_loader_criteria
from support.comments import thread_of
from support.pairs import assert_verified, counter, install, pair, reference, trio
from support.statements import recorded

from tallied.counters import Count, Counters, Sum
from tallied.database import Database
from tallied.models.counters import counters as tallied_counters


def locked_column() -> Any:
    return mapped_column(Boolean, default=False)


@pytest.fixture
def tree(engine: Engine) -> Iterator[SimpleNamespace]:
    """A locked page with children of sizes 4 to 7, of which the last two have one child each."""
    Page, _ = pair(
        {
            "parent_id": reference("parent.id"),
            "parent": relationship("Parent", remote_side="Parent.id"),
            "size": mapped_column(Integer, default=3),
            "locked": locked_column(),
            "total": counter("total"),
        }
    )
    counters, Own = install(
        engine,
        Count(Page.n, via=Page.parent),
        Sum(Page.total, of=Page.size, via=Page.parent),
    )
    with Own(engine) as session:
        root = Page(locked=True)
        children = [Page(parent=root, size=size) for size in (4, 5, 6, 7)]
        leaves = [Page(parent=child, size=8, locked=True) for child in children[2:]]
        session.add_all([root, *children, *leaves])
        session.commit()
        yield SimpleNamespace(
            session=session,
            Page=Page,
            Own=Own,
            root=root,
            children=children,
            counters=counters,
            ids=[root.id, *(child.id for child in children[:2])],
        )


def keep_locked(session: Session, verb: str, table: str = "parent") -> None:
    """Create a trigger that skips the locked rows of a statement without an error."""
    connection = session.connection()
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(
            f"CREATE TRIGGER keep BEFORE {verb} ON {table} WHEN old.locked "
            f"BEGIN SELECT raise(ignore); END"
        )
        return
    row = "old" if verb == "DELETE" else "new"
    connection.exec_driver_sql(
        f"CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF old.locked THEN RETURN NULL; END IF; RETURN {row}; END $$"
    )
    connection.exec_driver_sql(
        f"CREATE TRIGGER keep BEFORE {verb} ON {table} FOR EACH ROW EXECUTE FUNCTION keep()"
    )


def by_criteria(tree: SimpleNamespace) -> Any:
    return delete(tree.Page).options(with_loader_criteria(tree.Page, tree.Page.locked.is_(False)))


def on_execute(tree: SimpleNamespace, listener: Callable[[Any], Any]) -> Any:
    event.listen(tree.Own, "do_orm_execute", listener)
    return delete(tree.Page)


def by_listener(tree: SimpleNamespace) -> Any:
    def add_criteria(state: Any) -> None:
        criteria = with_loader_criteria(tree.Page, lambda class_: class_.locked.is_(False))
        state.statement = state.statement.options(criteria)

    return on_execute(tree, add_criteria)


def by_trigger(tree: SimpleNamespace) -> Any:
    keep_locked(tree.session, "DELETE")
    return delete(tree.Page)


def by_trigger_returning(tree: SimpleNamespace) -> Any:
    return by_trigger(tree).returning(tree.Page.id)


PARTIAL = [by_criteria, by_listener, by_trigger, by_trigger_returning]


@pytest.mark.parametrize("build", PARTIAL, ids=lambda build: build.__name__)
def test_parent_spared_by_a_delete_is_counted(tree: SimpleNamespace, build: Any) -> None:
    result = tree.session.execute(build(tree).where(tree.Page.id.in_(tree.ids)))
    if build is by_trigger_returning:
        assert {row.id for row in result} == set(tree.ids[1:])
    tree.session.expunge_all()
    assert_verified(tree.session, tree.counters)
    root = select(tree.Page.n, tree.Page.total).where(tree.Page.id == tree.ids[0])
    assert tuple(tree.session.connection().execute(root).one()) == (2, 13)


@pytest.mark.parametrize("with_root", [True, False])
@pytest.mark.parametrize("how", ["invoke_statement", "execute"])
def test_delete_turned_into_an_update_is_counted(
    tree: SimpleNamespace, how: str, with_root: bool
) -> None:
    Page, ids = tree.Page, tree.ids[0 if with_root else 1 :]

    def soft_delete(state: Any) -> Any:
        if not state.is_delete:
            return None
        hidden = update(Page).where(state.statement.whereclause)
        hidden = hidden.values(locked=True, parent_id=None, size=20)
        if how == "invoke_statement":
            return state.invoke_statement(statement=hidden)
        return state.session.execute(hidden)

    tree.session.execute(on_execute(tree, soft_delete).where(Page.id.in_(ids)))
    assert_verified(tree.session, tree.counters)
    assert (tree.root.n, tree.root.total) == (2, 13)


def test_statements_of_a_listener_are_counted_where_it_raises(tree: SimpleNamespace) -> None:
    Page, session = tree.Page, tree.session
    moved = [child.id for child in tree.children]

    def fail(state: Any) -> None:
        if state.is_delete:
            session.execute(update(Page).where(Page.id.in_(moved)).values(size=9))
            raise LookupError("not today")

    with pytest.raises(LookupError):
        session.execute(on_execute(tree, fail).where(Page.id.in_(tree.ids)))
    assert_verified(session, tree.counters)
    assert (tree.root.n, tree.root.total) == (4, 36)


def test_object_spared_by_a_trigger_is_still_counted(tree: SimpleNamespace) -> None:
    keep_locked(tree.session, "DELETE")
    tree.children[0].locked = True
    tree.session.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of SQLAlchemy: it expected to delete more rows
        for page in (tree.root, *tree.children[:2]):
            tree.session.delete(page)
        tree.session.flush()
    Page, identity = tree.Page, tree.ids[0]
    root = tree.session.get_one(Page, identity)
    assert_verified(tree.session, tree.counters)
    assert (root.n, root.total) == (3, 17)


def test_object_whose_delete_becomes_an_update_is_still_counted(
    tree: SimpleNamespace, engine: Engine
) -> None:
    def soften(connection: Any, statement: Any, *arguments: Any) -> Any:
        if getattr(statement, "is_delete", False):
            statement = text("UPDATE parent SET size = 20 WHERE id = :id")
        return statement, *arguments[:2]

    event.listen(engine, "before_execute", soften, retval=True)
    for page in tree.children[:2]:
        tree.session.delete(page)
    assert_verified(tree.session, tree.counters)
    assert (tree.root.n, tree.root.total) == (4, 53)


def test_row_that_a_trigger_does_not_update_is_counted_as_it_is(tree: SimpleNamespace) -> None:
    Page, session = tree.Page, tree.session
    session.execute(update(Page).where(Page.id == tree.ids[1]).values(locked=True))
    keep_locked(session, "UPDATE OF size" if session.bind.dialect.name == "sqlite" else "UPDATE")
    narrowed = update(Page).options(with_loader_criteria(Page, Page.size < 7))
    session.execute(narrowed.where(Page.parent_id == tree.ids[0]).values(size=Page.size + 10))
    if session.bind.dialect.name == "postgresql":
        session.connection().exec_driver_sql("DROP TRIGGER keep ON parent")
    session.expire_all()
    assert [child.size for child in tree.children] == [4, 15, 16, 7]


def test_insert_that_conflicts_or_is_swallowed_is_not_counted(tree: SimpleNamespace) -> None:
    Page, session = tree.Page, tree.session
    dialect: Any = {"sqlite": sqlite, "postgresql": postgresql}[session.bind.dialect.name]
    rows = [{"id": tree.ids[1], "size": 30}, {"id": 555, "size": 31}]
    values = [{**row, "parent_id": tree.ids[0], "locked": False} for row in rows]
    session.execute(dialect.insert(Page).values(values).on_conflict_do_nothing())
    assert_verified(session, tree.counters)
    assert (tree.root.n, tree.root.total) == (5, 53)
    connection = session.connection()
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(
            "CREATE TRIGGER swallow BEFORE INSERT ON parent WHEN new.size > 40 "
            "BEGIN SELECT raise(ignore); END"
        )
    else:
        connection.exec_driver_sql(
            "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "IF new.size > 40 THEN RETURN NULL; END IF; RETURN new; END $$"
        )
        connection.exec_driver_sql(
            "CREATE TRIGGER swallow BEFORE INSERT ON parent FOR EACH ROW EXECUTE FUNCTION swallow()"
        )
    rows = [{"id": 600 + size, "size": size} for size in (35, 45, 50)]
    values = [{**row, "parent_id": tree.ids[0], "locked": False} for row in rows]
    session.execute(insert(Page).values(values))
    assert_verified(session, tree.counters)
    assert (tree.root.n, tree.root.total) == (6, 88)


@pytest.mark.parametrize("by_statement", [True, False])
def test_delete_in_a_tree_writes_no_deleted_parent(
    tree: SimpleNamespace, by_statement: bool, engine: Engine
) -> None:
    """A subtree that is deleted as a whole costs one UPDATE, of its parent."""
    leaf = next(page for page in tree.session if page.parent is tree.children[3])
    deleted = [tree.children[3].id, leaf.id]
    with recorded(engine) as statements:
        if by_statement:
            tree.session.execute(delete(tree.Page).where(tree.Page.id.in_(deleted)))
        else:
            tree.session.delete(leaf)
            tree.session.delete(tree.children[3])
            tree.session.flush()
    updates = [
        statement
        for statement in statements
        if "UPDATE parent" in statement and "RETURNING" in statement
    ]
    assert len(updates) == 1
    assert_verified(tree.session, tree.counters)
    assert (tree.root.n, tree.root.total) == (3, 15)


@pytest.mark.parametrize("by_statement", [True, False])
def test_cascade_that_a_trigger_stops_is_not_counted(engine: Engine, by_statement: bool) -> None:
    """The parent stays with its rows, while its sibling is deleted."""
    Parent, Source, Club = trio({"locked": locked_column()})
    counters, Own = install(
        engine, Count(Parent.n, via=Source.parent), Count(Club.n, via=Source.other)
    )
    with Own(engine) as session:
        spared, free, club = Parent(locked=True), Parent(), Club()
        session.add_all([Source(parent=spared, other=club) for _ in range(3)])
        session.add_all([Source(parent=free, other=club) for _ in range(4)])
        session.commit()
        keep_locked(session, "DELETE")
        locked_id = spared.id
        if by_statement:
            session.execute(delete(Parent))
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                session.delete(spared)
                session.delete(free)
                session.flush()
        session.expunge_all()
        numbers = (session.get_one(Parent, locked_id).n, session.scalars(select(Club.n)).one())
        assert numbers == (3, 3)
        assert_verified(session, counters)


def test_two_engines_in_a_session_notice_a_spared_object(engine: Engine) -> None:
    Parent, Source, Club = trio(source={"locked": locked_column()})
    counters, Own = install(engine, Count(Parent.n, via=Source.parent))
    others = Counters(Count(Club.n, via=Source.other))
    others.install(Own)
    with Own(engine) as session:
        parent, club = Parent(), Club()
        sources = [Source(parent=parent, other=club, locked=number == 0) for number in range(3)]
        session.add_all(sources)
        session.commit()
        keep_locked(session, "DELETE", "source")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for source in sources[:2]:
                session.delete(source)
            session.flush()
        assert (parent.n, club.n) == (2, 2)
        assert_verified(session, counters)
        assert_verified(session, others)
        assert "execute" not in vars(session.connection())


def test_execute_of_a_host_is_called_and_restored(engine: Engine) -> None:
    Parent, Source = pair()
    counters, Own = install(engine, Count(Parent.n, via=Source.parent))
    with engine.connect() as connection, Own(connection) as session:
        session.add_all(sources := [Source(parent=Parent()) for _ in range(2)])
        session.flush()
        statements: list[Any] = []

        def execute(statement: Any, *arguments: Any, **options: Any) -> Any:
            statements.append(statement)
            return Connection.execute(connection, statement, *arguments, **options)

        vars(connection)["execute"] = execute
        session.delete(sources[0])
        session.flush()
        assert any(statement.is_delete for statement in statements)
        assert vars(connection)["execute"] is execute
        assert_verified(session, counters)


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_rows_that_asyncpg_does_not_count_are_read_again(database: Database) -> None:
    """asyncpg returns a row count of one DELETE, but not of several at once."""

    class Own(AsyncSession):
        pass

    make = async_sessionmaker(database.engine, class_=Own, expire_on_commit=False)
    tallied_counters.install(make)
    async with make() as session:
        thread = thread_of(2, 3, 4, 5)
        comments = list(thread.comments)
        session.add(thread)
        await session.flush()
        await session.run_sync(
            lambda sync: sync.connection().exec_driver_sql(
                "ALTER TABLE tallied_comment ADD locked boolean NOT NULL DEFAULT false"
            )
        )
        spared = text("UPDATE tallied_comment SET locked = (word_count = 3)")
        await session.execute(spared)
        await session.run_sync(keep_locked, "DELETE", "tallied_comment")
        for number, expected in ((1, (3, 12)), (3, (1, 3))):
            for comment in comments[:number]:
                await session.delete(comment)
            del comments[:number]
            await session.flush()
            assert (thread.comment_count, thread.word_count) == expected
