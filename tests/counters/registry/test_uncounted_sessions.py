"""Sessions without the counters: a write of a counted row is refused, or allowed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Engine, Integer, delete, insert, lambda_stmt, select, update
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, mapped_column, relationship, scoped_session, sessionmaker
from support.pairs import counter, key, pair, reference, trio
from support.statements import recorded

from tallied.counters import Count, Counters, Sum
from tallied.errors import UncountedStatementError

REFUSED = r"Source is counted, but the counters are not installed on "


class Models(NamedTuple):
    """A source with two parents, and the counters of both."""

    Parent: Any
    Other: Any
    Source: Any
    counters: Counters
    Counted: type[Session]


def declare(**options: Any) -> Models:
    """Declare the counters, and install them on a new session class."""
    Parent, Source, Other = trio(
        {"note": mapped_column(Integer), "s": counter("s")},
        {"size": mapped_column(Integer, default=3), "note": mapped_column(Integer)},
    )

    class Counted(Session):
        pass

    counters = Counters(
        Count(Parent.n, via=Source.parent),
        Sum(Parent.s, of=Source.size, via=Source.parent),
        Count(Other.n, via=Source.other),
    )
    counters.install(Counted, **options)
    return Models(Parent, Other, Source, counters, Counted)


def fill(engine: Engine, models: Models) -> None:
    """Store two sources, of 4 and 5, with a parent and another parent."""
    models.Parent.metadata.create_all(engine)
    with models.Counted(engine) as session:
        other = models.Other(id=60)
        parent = models.Parent(id=50)
        sizes = {7: 4, 8: 5}
        session.add_all(
            models.Source(id=id, size=size, parent=parent, other=other)
            for id, size in sizes.items()
        )
        session.commit()


@pytest.fixture
def models(engine: Engine) -> Models:
    models = declare()
    fill(engine, models)
    return models


@pytest.fixture
def plain(engine: Engine, models: Models) -> Iterator[Session]:
    """A session without the counters."""
    with Session(engine) as session:
        yield session


def drift(engine: Engine, models: Models) -> list[str]:
    with engine.connect() as connection:
        return [str(item) for item in models.counters.verify(connection)]


def deletion(Source: Any) -> Any:
    return lambda_stmt(lambda: delete(Source))


WRITES: dict[str, Callable[[Session, Models], Any]] = {
    "add": lambda s, m: s.add(m.Source(parent_id=50, other_id=60)),
    "merge": lambda s, m: s.merge(m.Source(id=7, size=9)),
    "edit": lambda s, m: setattr(s.get(m.Source, 7), "size", 9),
    "move": lambda s, m: setattr(s.get(m.Source, 7), "parent", m.Parent(id=51)),
    "delete": lambda s, m: s.delete(s.get(m.Source, 7)),
    "delete the parent": lambda s, m: s.delete(s.get(m.Parent, 50)),
    "insert": lambda s, m: s.execute(insert(m.Source), [{"parent_id": 50, "other_id": 60}]),
    "insert into the table": lambda s, m: s.execute(
        insert(m.Source.__table__).values(parent_id=50, other_id=60)
    ),
    "update": lambda s, m: s.execute(update(m.Source).values(size=9)),
    "update by keys": lambda s, m: s.execute(update(m.Source), [{"id": 7, "size": 9}]),
    "legacy update": lambda s, m: s.query(m.Source).update({"size": 9}),
    "delete by statement": lambda s, m: s.execute(delete(m.Source).where(m.Source.id == 7)),
    "delete parents": lambda s, m: s.execute(delete(m.Parent)),
    "lambda": lambda s, m: s.execute(deletion(m.Source)),
    "bulk objects": lambda s, m: s.bulk_save_objects([m.Source(parent_id=50, other_id=60)]),
    "bulk insert": lambda s, m: s.bulk_insert_mappings(m.Source, [{"parent_id": 50}]),
    "bulk update": lambda s, m: s.bulk_update_mappings(m.Source, [{"id": 7, "size": 9}]),
}


@pytest.mark.sampled
@pytest.mark.parametrize("write", WRITES)
def test_write_of_counted_rows_is_refused(
    engine: Engine, models: Models, plain: Session, write: str
) -> None:
    with pytest.raises(UncountedStatementError, match="is counted, but the") as caught:
        WRITES[write](plain, models)
        plain.flush()
    assert "not installed on Session" in str(caught.value)
    assert "a session of Counted" in str(caught.value)
    assert "allow_uncounted=True" in str(caught.value)
    plain.rollback()
    with engine.connect() as connection:
        stored = connection.execute(select(models.Source.id, models.Source.size)).all()
    assert sorted(map(tuple, stored)) == [(7, 4), (8, 5)]
    assert drift(engine, models) == []


HARMLESS: dict[str, Callable[[Session, Models], Any]] = {
    "read": lambda s, m: s.scalars(select(m.Source)).all(),
    "edit of a note": lambda s, m: setattr(s.get(m.Source, 7), "note", 9),
    "edit and back": lambda s, m: [setattr(s.get(m.Source, 7), "size", n) for n in (9, 4)],
    "update of notes": lambda s, m: s.execute(update(m.Source).values(note=9)),
    "a new parent": lambda s, m: s.add(m.Parent(id=51)),
    "parents by statement": lambda s, m: s.execute(insert(m.Parent), [{"id": 51}, {"id": 52}]),
    "parents in bulk": lambda s, m: s.bulk_insert_mappings(m.Parent, [{"id": 51}]),
    "notes of parents in bulk": lambda s, m: s.bulk_update_mappings(
        m.Parent, [{"id": 50, "note": 9}]
    ),
    "edit of a parent": lambda s, m: setattr(s.get(m.Parent, 50), "note", 9),
}


@pytest.mark.sampled
@pytest.mark.parametrize("write", HARMLESS)
def test_write_that_changes_no_counter_passes(
    engine: Engine, models: Models, plain: Session, write: str
) -> None:
    HARMLESS[write](plain, models)
    plain.commit()
    assert drift(engine, models) == []


def test_statement_that_assigns_a_counter_is_refused(models: Models, plain: Session) -> None:
    for write in (
        lambda: plain.execute(update(models.Parent).values(n=7)),
        lambda: plain.execute(insert(models.Parent).values(id=51, s=7)),
        lambda: plain.bulk_update_mappings(models.Parent, [{"id": 50, "n": 7}]),
    ):
        with pytest.raises(UncountedStatementError, match="Parent is counted, but the counters"):
            write()


@pytest.mark.filterwarnings("ignore:Object of type <Source> not in session")
def test_preview_without_its_source_is_not_inserted(models: Models, plain: Session) -> None:
    parent = models.Parent(id=51)
    source = models.Source(parent=parent)
    plain.add(parent)
    assert source not in plain
    with pytest.raises(UncountedStatementError, match="Parent is counted"):
        plain.flush()


def test_allowed_session_writes_uncounted(engine: Engine) -> None:
    models = declare(allow_uncounted=True)
    models.counters.install(models.Counted)  # forbids nothing
    fill(engine, models)
    for write in ("add", "edit", "bulk update"):
        with Session(engine) as plain:
            WRITES[write](plain, models)
            plain.commit()
    assert len(drift(engine, models)) == 3
    with engine.connect() as connection:
        assert models.counters.rebuild(connection) == 2
    assert drift(engine, models) == []


def test_nothing_is_refused_before_counters_are_installed(engine: Engine) -> None:
    Parent, Source = pair()
    counters = Counters(Count(Parent.n, via=Source.parent))
    Parent.metadata.create_all(engine)
    with engine.connect() as connection:
        assert list(counters.verify(connection)) == []
    with Session(engine) as session:
        session.add(Source(parent=Parent(id=50)))
        session.execute(insert(Source).values(parent_id=50))
        session.commit()


def test_session_class_installed_later_counts_from_then(engine: Engine, models: Models) -> None:
    class Later(Session):
        pass

    class Narrower(Later):
        pass

    with Narrower(engine) as session:
        session.add(models.Source(parent_id=50, other_id=60, size=6))
        with pytest.raises(UncountedStatementError, match=f"{REFUSED}Narrower"):
            session.commit()
    models.counters.install(Later)
    with Narrower(engine) as session:
        session.add(models.Source(parent_id=50, other_id=60, size=6))
        session.commit()
        parent = session.get(models.Parent, 50)
        assert (parent.n, parent.s) == (3, 15)
    assert drift(engine, models) == []


def test_install_on_base_class_replaces_its_subclasses(engine: Engine, models: Models) -> None:
    class Bottom(models.Counted):  # type: ignore[name-defined, misc]
        pass

    class Top(Session):
        pass

    class Middle(Top):
        pass

    class Lower(Middle):
        pass

    models.counters.install(Lower)
    models.counters.install(Middle)
    models.counters.install(Top)
    assert models.counters.classes == (models.Counted, Top)
    sizes = iter((6, 7, 8, 9))
    for session_class in (Lower, Middle, Top, Bottom):
        with session_class(engine) as session:
            session.add(models.Source(parent_id=50, other_id=60, size=next(sizes)))
            with recorded(engine) as executed:
                session.flush()
            assert executed.verbs == ["INSERT source", "UPDATE other", "UPDATE parent"]
            session.get(models.Source, 7).size += 2
            session.commit()
    with Session(engine) as session:
        assert session.scalars(select(models.Parent.s)).one() == 9 + 30 + 8
    assert drift(engine, models) == []


def test_unrelated_counters_do_not_count_for_others(engine: Engine, models: Models) -> None:
    class Own(Session):
        pass

    base = models.Parent.__mro__[1]
    Third = type("Third", (base,), {"__tablename__": "third", "id": key(), "n": counter()})
    Fourth = type(
        "Fourth",
        (base,),
        {
            "__tablename__": "fourth",
            "id": key(),
            "third_id": reference("third.id"),
            "third": relationship("Third"),
        },
    )
    Counters(Count(Third.n, via=Fourth.third)).install(Own)
    with Own(engine) as session:
        session.add(models.Source(parent_id=50, other_id=60))
        with pytest.raises(UncountedStatementError, match=f"{REFUSED}Own"):
            session.flush()


def test_extension_counts_for_the_counters_it_extends(engine: Engine) -> None:
    models = declare()

    class Host(Session):
        pass

    base = models.Parent.__mro__[1]
    Site = type("Site", (base,), {"__tablename__": "site", "id": key(), "s": counter("s")})
    models.Parent.site_id = reference("site.id", ondelete="SET NULL")
    models.Parent.site = relationship(Site)
    total = Sum(Site.s, of=models.Parent.s, via=models.Parent.site)
    extension = models.counters.extend(total)
    extension.install(Host)
    base.metadata.create_all(engine)
    with Host(engine) as session:
        site, other = Site(id=40), models.Other(id=60)
        parent = models.Parent(id=50, site=site)
        session.add(models.Source(size=4, parent=parent, other=other))
        session.commit()
        session.add(models.Source(size=5, parent=parent, other=other))
        session.commit()
        assert (parent.n, parent.s, site.s) == (2, 9, 9)
    with Session(engine) as plain:
        plain.add(models.Source(parent_id=50, other_id=60))
        with pytest.raises(UncountedStatementError, match=REFUSED):
            plain.flush()
    with engine.connect() as connection:
        assert list(extension.verify(connection)) == []


# Targets of install()


@pytest.mark.parametrize("name", ["sessionmaker", "scoped_session", "session class in a maker"])
def test_session_factories_can_be_installed_on(engine: Engine, name: str) -> None:
    models = declare()
    maker = sessionmaker(engine, class_=type("Own", (Session,), {}))
    scoped = scoped_session(maker)
    targets: dict[str, Any] = {
        "sessionmaker": maker,
        "scoped_session": scoped,
        "session class in a maker": maker.class_,
    }
    models.counters.install(targets[name])
    assert models.counters.installed_on(targets[name]) is models.counters
    fill(engine, models)
    scoped.add(models.Source(parent_id=50, other_id=60, size=6))
    scoped.commit()
    assert scoped.get(models.Parent, 50).s == 15
    scoped.remove()
    assert drift(engine, models) == []
    with sessionmaker(engine)() as session:
        session.add(models.Source(parent_id=50, other_id=60))
        with pytest.raises(UncountedStatementError, match="the Session of a sessionmaker"):
            session.flush()


def test_session_base_class_can_be_installed_on(engine: Engine) -> None:
    models = declare()
    fill(engine, models)
    models.counters.install(Session)
    makers: tuple[Any, ...] = (Session, sessionmaker(), models.Counted, type("A", (Session,), {}))
    for maker in makers:
        with maker(bind=engine) as session:
            session.add(models.Source(parent_id=50, other_id=60, size=6))
            session.commit()
    with Session(engine) as session:
        parent = session.get(models.Parent, 50)
        assert (parent.n, parent.s) == (6, 33)
        session.delete(parent)
        session.commit()
        assert session.get(models.Other, 60).n == 0
    assert drift(engine, models) == []


@pytest.mark.parametrize("is_scoped", [False, True])
async def test_uncounted_asynchronous_session_is_refused(empty_url: str, is_scoped: bool) -> None:
    models = declare()
    engine = create_async_engine(empty_url)
    maker = async_sessionmaker(engine)
    models.counters.install(async_scoped_session(maker, lambda: 5) if is_scoped else maker)
    async with engine.begin() as connection:
        await connection.run_sync(models.Parent.metadata.create_all)
    async with maker.begin() as session:
        parent = models.Parent(id=50)
        other = models.Other(id=60)
        session.add_all(models.Source(parent=parent, other=other, size=size) for size in (6, 7))
        await session.flush()
        assert (parent.n, parent.s) == (2, 13)
    async with AsyncSession(engine) as plain:
        plain.add(models.Source(parent_id=50, other_id=60))
        with pytest.raises(UncountedStatementError, match=f"{REFUSED}Session"):
            await plain.commit()
    await engine.dispose()
