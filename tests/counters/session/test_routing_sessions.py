"""Sessions that read from a follower and write to a leader count on the leader alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    Delete,
    Engine,
    ForeignKey,
    Insert,
    Update,
    create_engine,
    delete,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from support.sessions import perform, sync_engine
from support.statements import recorded

from tallied.counters import Count, Counters, Max, Sum
from tallied.counters.declarations.derived import Derived
from tallied.counters.maintenance.derived_columns import repair


class Base(DeclarativeBase):
    pass


class Team(Base):
    __tablename__ = "team"
    id: Mapped[int] = mapped_column(primary_key=True)
    size: Mapped[int] = mapped_column(server_default="0")
    points: Mapped[int] = mapped_column(server_default="0")
    best: Mapped[int | None]


class Player(Base):
    __tablename__ = "player"
    id: Mapped[int] = mapped_column(primary_key=True)
    points: Mapped[int]
    team_id: Mapped[int | None] = mapped_column(
        ForeignKey("team.id", ondelete="CASCADE"), index=True
    )
    club_id: Mapped[int | None] = mapped_column(
        ForeignKey("club.id", ondelete="CASCADE"), index=True
    )
    team: Mapped[Team | None] = relationship()


class Club(Base):
    """A row whose deletion removes players by ON DELETE CASCADE."""

    __tablename__ = "club"
    id: Mapped[int] = mapped_column(primary_key=True)


class Shelf(Base):
    __tablename__ = "shelf"
    id: Mapped[int] = mapped_column(primary_key=True)
    words: Mapped[int] = mapped_column(server_default="0")


class Book(Base):
    __tablename__ = "book"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[str]
    words: Mapped[int]
    shelf_id: Mapped[int] = mapped_column(ForeignKey("shelf.id"), index=True)
    shelf: Mapped[Shelf] = relationship()


book_words = Derived(Book.words, of=Book.body, compute=lambda body: len(body.split()))
shelves = Counters(book_words, Sum(Shelf.words, of=Book.words, via=Book.shelf))
counters = Counters(
    Count(Team.size, via=Player.team),
    Sum(Team.points, of=Player.points, via=Player.team),
    Max(Team.best, of=Player.points, via=Player.team),
)


class Router(Session):
    """Route as SQLAlchemy's documentation does, "Custom Vertical Partitioning"."""

    writes: tuple[type[Any], ...] = (Update, Delete)
    leader: Engine
    follower: Engine

    def get_bind(self, mapper: Any = None, clause: Any = None, **kw: Any) -> Any:
        if self._flushing or isinstance(clause, self.writes):
            return self.leader
        return self.follower


class RouterOfInserts(Router):
    writes = (Insert, Update, Delete)


counters.install(Router)
shelves.install(Router)


@pytest.fixture
def follower(engine: Engine, tmp_path: Path) -> Iterator[Engine]:
    """Another database, with the rows of an earlier time."""
    if engine.dialect.name == "sqlite":
        other = sync_engine(f"sqlite:///{tmp_path}/follower.db")
        yield other
        other.dispose()
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("CREATE DATABASE follower"))
        other = create_engine(engine.url.set(database="follower"))
        yield other
        other.dispose()
        connection.execute(text("DROP DATABASE follower WITH (FORCE)"))


NEW = {"id": 11, "points": 9, "team_id": 1}
LEADER = [(1, 5, 1, 1), (2, 3, 1, 2), (3, 8, 1, 1), (4, 4, 2, 1), (5, 6, 2, 2)]
"""Players as id, points, team and club; (3, 16, 8) of the first team and (2, 10, 6)."""
FOLLOWER = [(1, 50, 1, 1), (2, 3, 1, 2)]


@pytest.fixture(params=[Router, RouterOfInserts])
def routed(engine: Engine, follower: Engine, request: pytest.FixtureRequest) -> Iterator[Router]:
    for bind, players in ((engine, LEADER), (follower, FOLLOWER)):
        Base.metadata.create_all(bind)
        with bind.begin() as connection:
            connection.execute(insert(Team), [{"id": 1}, {"id": 2}])
            connection.execute(insert(Club), [{"id": 1}, {"id": 2}])
            names = ("id", "points", "team_id", "club_id")
            rows = [dict(zip(names, row, strict=True)) for row in players]
            connection.execute(insert(Player), rows)
    with engine.connect() as connection:
        assert counters.rebuild(connection) == 2
    request.param.leader = engine
    request.param.follower = follower
    with request.param(expire_on_commit=False) as session:
        yield session


def contents(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return [
            connection.execute(select(t).order_by(t.c.id)).all()
            for t in Base.metadata.tables.values()
        ]


def teams(engine: Engine) -> list[tuple[Any, ...]]:
    columns = Team.__table__.c
    with engine.connect() as connection:
        result = connection.execute(select(Team.__table__).order_by(columns.id))
        return [tuple(row) for row in result]


Work = Callable[[Any], Any]


def lock_and_edit(session: Router) -> None:
    player = counters.lock(session, Player, 3)
    assert player is not None
    assert player.points == 8
    player.points = 2


def lock_and_delete(session: Router) -> None:
    session.delete(counters.lock(session, Club, 2, deleting=True))


def load_in_a_block(session: Router) -> None:
    with counters.pause(session):
        session.add(Player(**NEW))
        session.execute(delete(Player).where(Player.id == 2))


def edit(key: int, **values: int) -> Work:
    return lambda session: [
        setattr(session.get_one(Player, key), name, value) for name, value in values.items()
    ]


Totals = tuple[int, int, int]
ADDED: Totals = (4, 25, 9)
SECOND: Totals = (2, 10, 6)
"""The totals of the first team with one player more, and of the second as it is at first."""

MORE = NEW | {"id": 12, "points": 20}

WAYS: dict[str, tuple[Work, Totals, Totals]] = {
    "an object is added": (lambda s: s.add(Player(**NEW)), ADDED, SECOND),
    "an object is edited": (edit(1, points=7), (3, 18, 8), SECOND),
    "an object moves": (edit(1, team_id=2), (2, 11, 8), (3, 15, 6)),
    "an object is deleted": (lambda s: s.delete(s.get_one(Player, 1)), (2, 11, 8), SECOND),
    "a row is deleted that the database cascades from": (
        lambda s: s.delete(s.get_one(Club, 2)),
        (2, 13, 8),
        (1, 4, 4),
    ),
    "insert with a list": (lambda s: (insert(Player), [NEW, MORE]), (5, 45, 20), SECOND),
    "insert with values": (lambda s: insert(Player).values(NEW), ADDED, SECOND),
    "insert with returning": (
        lambda s: s.scalars(insert(Player).returning(Player), [NEW]).all(),
        ADDED,
        SECOND,
    ),
    "insert of the table": (lambda s: insert(Player.__table__).values(NEW), ADDED, SECOND),
    "update": (
        lambda s: update(Player).values(points=Player.points + 2),
        (3, 22, 10),
        (2, 14, 8),
    ),
    "update by a list of keys": (
        lambda s: (update(Player), [{"id": 3, "points": 1}, {"id": 4, "points": 30}]),
        (3, 9, 5),
        (2, 36, 30),
    ),
    "delete after an addition": (
        lambda s: s.add(Player(**NEW)) or delete(Player).where(Player.points > 5),
        (2, 8, 5),
        (1, 4, 4),
    ),
    "delete that the database cascades from": (
        lambda s: delete(Club).where(Club.id == 1),
        (1, 3, 3),
        (1, 6, 6),
    ),
    "a row is locked and edited": (lock_and_edit, (3, 10, 5), SECOND),
    "a row is locked and deleted": (lock_and_delete, (2, 13, 8), (1, 4, 4)),
    "a block in which counters are paused": (load_in_a_block, (3, 22, 9), SECOND),
}


@pytest.mark.sampled
@pytest.mark.parametrize("way", WAYS)
def test_write_is_counted_on_the_leader(
    way: str, routed: Router, engine: Engine, follower: Engine
) -> None:
    before = contents(follower)
    work, first, second = WAYS[way]
    expected = [(1, *first), (2, *second)]
    loaded = [routed.get_one(Team, 1), routed.get_one(Team, 2)]
    routed.rollback()
    perform(routed, work)
    routed.commit()
    assert teams(engine) == expected
    with engine.connect() as connection:
        assert list(counters.verify(connection)) == []
    assert contents(follower) == before
    changed = [t for t in loaded if counters.flushed_values(routed, Team, t.id) is not None]
    assert all((t.id, t.size, t.points, t.best) in expected for t in changed)


def test_flush_shows_the_values_of_the_leader(routed: Router) -> None:
    team = routed.get_one(Team, 1)
    assert (team.size, team.points, team.best) == (0, 0, None)  # as the follower has it
    routed.add(Player(**NEW))
    routed.flush()
    assert (team.size, team.points, team.best) == (4, 25, 9)
    with routed.begin_nested() as savepoint:
        routed.execute(delete(Player).where(Player.id == 3))
        assert (team.size, team.points, team.best) == (3, 17, 9)
        savepoint.rollback()
    assert (team.size, team.points, team.best) == (4, 25, 9)


def test_locked_row_is_not_read_again(routed: Router, engine: Engine) -> None:
    player = counters.lock(routed, Player, 3)
    assert player is not None
    player.points = 11
    with recorded(engine) as executed:
        routed.commit()
    assert executed.verbs == ["UPDATE player", "UPDATE team"]
    assert teams(engine) == [(1, 3, 19, 11), (2, 2, 10, 6)]


def test_derived_columns_are_repaired_on_the_leader(routed: Router, engine: Engine) -> None:
    wrong = [(1, "a b c", 99, 1), (2, "d e", 2, 1), (3, "f g h i", 7, 2)]
    with engine.begin() as connection:
        connection.execute(insert(Shelf), [{"id": 1, "words": 101}, {"id": 2, "words": 7}])
        names = ("id", "body", "words", "shelf_id")
        connection.execute(insert(Book), [dict(zip(names, row, strict=True)) for row in wrong])
    assert repair(routed, book_words, [(1,), (2,), (3,)]) == 2
    routed.commit()
    with engine.connect() as connection:
        assert connection.execute(select(Shelf.id, Shelf.words)).all() == [(1, 5), (2, 4)]
        assert list(shelves.verify(connection)) == []
