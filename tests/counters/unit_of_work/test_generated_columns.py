"""Columns that the database computes from a counter are current in memory after a flush."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import (
    Computed,
    Engine,
    FetchedValue,
    ForeignKey,
    delete,
    event,
    insert,
    inspect,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    column_property,
    mapped_column,
    relationship,
)
from support.statements import recorded
from support.versions import IS_SQLALCHEMY_2_0

from tallied.counters import Count, Counters, Max, Sum


class Base(DeclarativeBase):
    pass


class Board(Base):
    __tablename__ = "board"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(server_default="none")
    n: Mapped[int] = mapped_column(server_default="0")
    top: Mapped[int | None]
    score: Mapped[int] = mapped_column(Computed("n * 10 + COALESCE(top, 0)", persisted=True))
    # SQLAlchemy 2.0 has no virtual column for PostgreSQL.
    virtual: Mapped[int] = mapped_column(Computed("n + 1000", persisted=IS_SQLALCHEMY_2_0))
    shout: Mapped[str] = mapped_column(Computed("upper(title)", persisted=True))


Board.doubled = column_property(Board.n * 2)
Board.total = column_property(Board.score + Board.n)


class Wall(Base):
    """A parent whose `stamp` is set by a trigger when its counter is written."""

    __tablename__ = "wall"
    id: Mapped[int] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(server_default="0")
    stamp: Mapped[int | None] = mapped_column(server_onupdate=FetchedValue())


class Post(Base):
    __tablename__ = "post"
    id: Mapped[int] = mapped_column(primary_key=True)
    size: Mapped[int]
    board_id: Mapped[int | None] = mapped_column(ForeignKey("board.id"), index=True)
    wall_id: Mapped[int | None] = mapped_column(ForeignKey("wall.id"), index=True)
    board: Mapped[Board | None] = relationship()
    wall: Mapped[Wall | None] = relationship()


class Copy(Base):
    """A row that shows the number of posts of its board."""

    __tablename__ = "copy"
    id: Mapped[int] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(server_default="0")
    tenfold: Mapped[int] = mapped_column(Computed("n * 10", persisted=True))
    board_id: Mapped[int | None] = mapped_column(ForeignKey("board.id"), index=True)
    board: Mapped[Board | None] = relationship()


Copy.half = column_property(Copy.n / 2)
counters = Counters(
    Count(Board.n, via=Post.board),
    Max(Board.top, of=Post.size, via=Post.board),
    Count(Wall.n, via=Post.wall),
    Sum(Copy.n, of=Board.n, via=Copy.board),
)


class Own(Session):
    pass


counters.install(Own)
TRIGGER = {
    "sqlite": [
        "CREATE TRIGGER stamping AFTER UPDATE OF n ON wall BEGIN"
        " UPDATE wall SET stamp = NEW.n + 100 WHERE id = NEW.id; END"
    ],
    "postgresql": [
        "CREATE FUNCTION stamping() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN UPDATE wall SET stamp = NEW.n + 100 WHERE id = NEW.id; RETURN NULL; END $$",
        "CREATE TRIGGER stamping AFTER UPDATE OF n ON wall FOR EACH ROW"
        " EXECUTE FUNCTION stamping()",
    ],
}


def fill(engine: Engine) -> None:
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        for statement in TRIGGER[engine.dialect.name]:
            connection.execute(text(statement))
    with Own(engine) as session:
        session.add_all([Board(id=1), Board(id=2), Wall(id=1), Copy(id=1, board_id=1)])
        session.add_all(Post(size=size, board_id=1, wall_id=1) for size in (5, 2, 4))
        session.commit()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    fill(engine)
    with Own(engine, expire_on_commit=False) as session:
        yield session


BOARD = ("n", "top", "score", "virtual", "shout", "doubled", "total")


def in_memory(obj: Any) -> tuple[Any, ...]:
    """Return the values in memory of a board, a wall or a copy, without loading any."""
    names = {Board: BOARD, Wall: ("n", "stamp"), Copy: ("n", "tenfold", "half")}[type(obj)]
    assert inspect(obj).unloaded.isdisjoint(names)
    return tuple(getattr(obj, name) for name in names)


def shown(session: Session, *objects: Any) -> list[tuple[Any, ...]]:
    """Return the values in memory after a flush, and assert that they are stored."""
    session.flush()
    assert [str(drift) for drift in counters.verify(session.connection())] == []
    memory = [in_memory(obj) for obj in objects]
    for obj in objects:
        session.refresh(obj)
    assert [in_memory(obj) for obj in objects] == memory
    return memory


def loaded(session: Session) -> list[Any]:
    classes = ((Board, 1), (Board, 2), (Wall, 1), (Copy, 1))
    return [session.get_one(*class_) for class_ in classes]


def paused(session: Session) -> None:
    with counters.pause(session):
        session.execute(delete(Post).where(Post.id == 1))
        session.add(Post(size=3, board_id=2, wall_id=1))


def in_memory_as(n: int, top: int | None) -> tuple[Any, ...]:
    score = n * 10 + (top or 0)
    return (n, top, score, n + 1000, "NONE", n * 2, score + n)


BOTH = [{"size": 7, "board_id": 1}, {"size": 8, "board_id": 2}]
Numbers = tuple[int, int | None]
EMPTY: Numbers = (0, None)

WAYS: dict[str, tuple[Callable[[Session], Any], Numbers, Numbers, int]] = {
    "an object is added": (lambda s: s.add(Post(size=9, board_id=1, wall_id=1)), (4, 9), EMPTY, 4),
    "the greatest falls back": (lambda s: setattr(s.get_one(Post, 1), "size", 3), (3, 4), EMPTY, 3),
    "an object moves": (lambda s: setattr(s.get_one(Post, 1), "board_id", 2), (2, 4), (1, 5), 3),
    "an object is deleted": (lambda s: s.delete(s.get_one(Post, 2)), (2, 5), EMPTY, 2),
    "inserted by statement": (lambda s: s.execute(insert(Post), BOTH), (4, 7), (1, 8), 3),
    "updated by statement": (
        lambda s: s.execute(update(Post).values(size=Post.size + 10)),
        (3, 15),
        EMPTY,
        3,
    ),
    "a block in which counters are paused": (paused, (2, 4), (1, 3), 3),
}
"""What is done, with the count and the greatest of each board then, and the count of the wall."""


@pytest.mark.sampled
@pytest.mark.parametrize("way", WAYS)
def test_generated_columns_are_current_after_a_flush(way: str, session: Session) -> None:
    work, one, two, on_wall = WAYS[way]
    first, second = in_memory_as(*one), in_memory_as(*two)
    objects = loaded(session)
    assert in_memory(objects[0]) == (3, 5, 35, 1003, "NONE", 6, 38)
    work(session)
    result = shown(session, *objects)
    stamp = objects[2].stamp
    assert result == [first, second, (on_wall, stamp), (first[0], first[0] * 10, first[0] / 2)]
    assert on_wall == 3 or stamp == 100 + on_wall


def test_column_set_by_a_trigger_is_current_after_a_flush(session: Session) -> None:
    wall = session.get_one(Wall, 1)
    session.add_all([Post(size=1, wall=wall), Post(size=1, wall=wall)])
    assert shown(session, wall) == [(5, 105)]


def test_rolled_back_savepoint_reverts_generated_columns(session: Session) -> None:
    board, _, wall, copy = loaded(session)
    before = [in_memory(parent) for parent in (board, wall, copy)]
    savepoint = session.begin_nested()
    session.add_all([Post(size=8, board_id=1, wall_id=1), Post(size=6, board_id=1)])
    assert shown(session, board, wall, copy)[0] == (5, 8, 58, 1005, "NONE", 10, 63)
    savepoint.rollback()
    assert [in_memory(parent) for parent in (board, wall, copy)] == before
    assert shown(session, board, wall, copy) == before


def test_new_parent_shows_generated_columns(session: Session) -> None:
    board = Board(id=3, title="new")
    session.add_all([board, Post(size=6, board=board), Post(size=7, board=board)])
    session.flush()
    session.refresh(board)
    assert in_memory(board) == (2, 7, 27, 1002, "NEW", 4, 29)
    session.add(Post(size=3, board=board))
    assert shown(session, board) == [(3, 7, 37, 1003, "NEW", 6, 40)]


def verbs(session: Session, engine: Engine) -> list[str]:
    with recorded(engine) as executed:
        session.flush()
    return executed.verbs


def test_only_loaded_generated_columns_are_read_again(session: Session, engine: Engine) -> None:
    session.add(Post(size=1, board_id=1, wall_id=1))
    assert verbs(session, engine) == ["INSERT post", "UPDATE board", "UPDATE copy", "UPDATE wall"]
    board, wall = session.get_one(Board, 1), session.get_one(Wall, 1)
    session.expire(wall)
    session.add(Post(size=1, board_id=1, wall_id=1))
    assert verbs(session, engine)[-1:] == ["SELECT board"]
    assert in_memory(board) == (5, 5, 55, 1005, "NONE", 10, 60)
    assert (wall.n, wall.stamp) == (5, 105)


async def test_asynchronous_session_lazy_loads_nothing(engine: Engine, empty_url: str) -> None:
    fill(engine)
    bound = create_async_engine(empty_url)

    @event.listens_for(bound.sync_engine, "connect")
    def _configure(connection: Any, record: object) -> None:
        if bound.dialect.name == "sqlite":
            connection.execute("PRAGMA foreign_keys = ON")

    class Asynchronous(AsyncSession):
        sync_session_class = Own

    async with Asynchronous(bound, expire_on_commit=False) as session:
        board, wall = await session.get_one(Board, 1), await session.get_one(Wall, 1)
        copy = await session.get_one(Copy, 1)
        session.add(Post(size=6, board_id=1, wall_id=1))
        await session.flush()
        assert [in_memory(parent) for parent in (board, wall, copy)] == [
            (4, 6, 46, 1004, "NONE", 8, 50),
            (4, 104),
            (4, 40, 2),
        ]
        await session.commit()
    await bound.dispose()
