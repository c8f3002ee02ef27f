"""Assignments to counters: the current value passes unwritten, others are refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from sqlalchemy import Column, Engine, ForeignKey, Integer, String, Table, event, select, update
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    Session,
    load_only,
    mapped_column,
    registry,
    relationship,
)
from sqlalchemy.orm.attributes import flag_modified
from support.forum import FIRST, SECOND, Comment, Forum, ForumSession, Thread, forum
from support.forum import session as session
from support.pairs import assert_verified, install
from support.statements import recorded

from tallied.counters import Count, Sum
from tallied.errors import CounterAssignmentError

REFUSED = r"Thread\.\w+ is kept by its counter and cannot be assigned another value"


@pytest.fixture
def thread(session: Session) -> Thread:
    """The second thread, loaded: 3 comments, 13 words, the longest of 6."""
    return session.get_one(Thread, SECOND)


def add_behind_its_back(engine: Engine, session: Session, words: int) -> None:
    """Commit `session`, and add a comment in another session."""
    session.expire_on_commit = False
    session.commit()
    with ForumSession(engine) as other:
        other.add(Comment(thread_id=SECOND, words=words))
        other.commit()


def shown(thread: Thread) -> tuple[int, int, int | None]:
    return thread.comment_count, thread.words, thread.longest


def test_current_values_of_loaded_object_pass_unwritten(
    engine: Engine, session: Session, thread: Thread
) -> None:
    for name, value in (("comment_count", 3), ("words", 13), ("longest", 6)):
        setattr(thread, name, value)
    assert not session.is_modified(thread)
    with recorded(engine) as executed:
        session.flush()
    assert executed.verbs == []
    thread.title = "Renamed"
    thread.words = thread.words
    with recorded(engine) as executed:
        session.flush()
    assert executed.verbs == ["UPDATE thread"]
    assert "words" not in executed[0]
    assert_verified(session, forum)


def test_assigned_current_value_undoes_no_later_change(
    engine: Engine, session: Session, thread: Thread
) -> None:
    thread.words = 13
    session.commit()
    assert thread.words == 13
    thread.words = 13
    add_behind_its_back(engine, session, 8)
    session.add(Comment(thread=thread, words=7))
    assert thread.words == 20
    thread.words = 20
    thread.title = "Renamed"
    session.commit()
    assert shown(thread) == (5, 28, 8)
    assert_verified(session, forum)


@pytest.mark.filterwarnings("ignore:Object of type <Comment> not in session")
def test_assigned_preview_is_reverted_with_its_source(session: Session, thread: Thread) -> None:
    session.add(comment := Comment(thread=thread, words=7))
    thread.words = 20
    thread.title = "Renamed"
    session.expunge(comment)
    session.commit()
    assert shown(thread) == (3, 13, 6)
    assert_verified(session, forum)


@pytest.mark.sampled
@pytest.mark.parametrize("value", [12, 0, None, Thread.words + 1, "13"])
def test_another_value_of_a_loaded_object_is_refused(
    session: Session, thread: Thread, value: Any
) -> None:
    with pytest.raises(CounterAssignmentError, match=REFUSED):
        thread.words = value
    with pytest.raises(CounterAssignmentError, match=REFUSED):
        del thread.words
    session.flush()
    assert shown(thread) == (3, 13, 6)
    assert_verified(session, forum)


def test_neutral_values_of_a_new_object_pass(session: Session) -> None:
    comments = [Comment(words=4), Comment(words=5)]
    full = Thread(comments=comments, comment_count=0, words=None, longest=None)
    full.words = 9  # as it shows
    empty = Thread(comment_count=None, words=0)
    assert (shown(full), shown(empty)) == ((2, 9, 5), (0, 0, None))
    session.add_all([full, empty])
    session.commit()
    assert (shown(full), shown(empty)) == ((2, 9, 5), (0, 0, None))
    assert_verified(session, forum)


@pytest.mark.parametrize(("name", "value"), [("words", 5), ("longest", 0), ("comment_count", -2)])
def test_other_values_of_a_new_object_are_refused(name: str, value: int) -> None:
    with pytest.raises(CounterAssignmentError, match=REFUSED):
        Thread(**{name: value})


def test_new_object_holds_no_unset_counter() -> None:
    thread = Thread(title="T")
    assert shown(thread) == (0, 0, None)
    assert not {"comment_count", "words", "longest"} & set(vars(thread))


def test_neutral_value_for_deleted_key_is_not_written(session: Session) -> None:
    comment = session.scalars(select(Comment).where(Comment.words == 6)).one()
    thread = session.get_one(Thread, SECOND)
    session.delete(thread)
    again = Thread(id=SECOND, words=0, longest=None)
    session.add(again)
    comment.thread = again
    session.commit()
    assert_verified(session, forum)
    assert again.words == sum(c.words for c in again.comments)


@pytest.mark.parametrize("how", ["expired", "deferred"])
def test_value_of_unloaded_counter_is_compared_by_the_flush(
    engine: Engine, session: Session, how: str
) -> None:
    def unloaded() -> Thread:
        if how == "expired":
            thread = session.get_one(Thread, SECOND)
            session.expire(thread, ["comment_count", "words", "longest"])
        else:
            session.expunge_all()
            thread = session.scalars(
                select(Thread).where(Thread.id == SECOND).options(load_only(Thread.title))
            ).one()
        return thread

    thread = unloaded()
    with recorded(engine) as executed:
        thread.words = 13
    assert executed.verbs == [], "nothing is loaded"
    session.add(Comment(thread=thread, words=7))
    with recorded(engine) as executed:
        session.flush()
    assert executed.verbs == ["SELECT thread", "INSERT comment", "UPDATE thread"]
    assert thread.words == 20
    session.commit()
    thread = unloaded()
    thread.words = 19
    session.add(Comment(thread=thread, words=2))
    with pytest.raises(CounterAssignmentError, match=REFUSED):
        session.flush()
    session.rollback()
    assert shown(session.get_one(Thread, SECOND)) == (4, 20, 7)
    assert_verified(session, forum)


def test_value_of_unloaded_counter_within_flush_is_refused(
    session: Session, thread: Thread
) -> None:
    def before_flush(*_: Any) -> None:
        session.expire(thread, ["words"])
        thread.words = 999

    event.listen(session, "before_flush", before_flush)
    thread.title = "Renamed"
    with pytest.raises(CounterAssignmentError, match=REFUSED):
        session.flush()


def test_flag_modified_writes_no_counter(engine: Engine, session: Session, thread: Thread) -> None:
    add_behind_its_back(engine, session, 8)
    flag_modified(thread, "words")
    with pytest.raises(CounterAssignmentError, match=REFUSED):
        session.flush()
    session.rollback()
    assert shown(thread) == (4, 21, 8)
    flag_modified(thread, "words")
    session.commit()
    assert_verified(session, forum)


def test_detached_object_is_compared_when_it_is_written(engine: Engine, session: Session) -> None:
    thread = session.get_one(Thread, SECOND)
    session.expunge(thread)
    thread.words = 13
    with pytest.raises(CounterAssignmentError, match=REFUSED):
        thread.words = 0
    thread.title = "Renamed"
    add_behind_its_back(engine, session, 8)
    session.add(thread)
    session.commit()
    session.refresh(thread)
    assert shown(thread) == (4, 21, 8)
    assert_verified(session, forum)


def test_merging_leaves_counters_alone(session: Session) -> None:
    merged = session.merge(Thread(id=SECOND, title="Merged", words=0, comment_count=None))
    new = session.merge(Thread(id=950, words=0))
    assert (shown(merged), shown(new)) == ((3, 13, 6), (0, 0, None))
    session.commit()
    assert (merged.title, shown(merged), shown(new)) == ("Merged", (3, 13, 6), (0, 0, None))
    assert_verified(session, forum)


def test_rolled_back_new_object_can_be_added_again(session: Session) -> None:
    thread = Thread()
    with session.begin_nested() as savepoint:
        session.add(thread)
        session.add_all([Comment(thread=thread, words=7), Comment(thread=thread, words=2)])
        session.flush()
        assert shown(thread) == (2, 9, 7)
        savepoint.rollback()
    session.add(thread)
    session.flush()
    assert_verified(session, forum)


async def test_expired_counter_is_not_loaded_under_asyncio(empty_url: str) -> None:
    engine = create_async_engine(empty_url)
    async with engine.begin() as connection:
        await connection.run_sync(Forum.metadata.create_all)
    async with AsyncSession(engine, sync_session_class=ForumSession) as session:
        session.add(Thread(id=FIRST, comments=[Comment(words=2), Comment(words=5)]))
        await session.commit()
        thread = await session.get_one(Thread, FIRST)
        session.expire(thread)
        thread.words, thread.comment_count, thread.title = 7, 2, "Renamed"
        await session.commit()
        await session.refresh(thread)
        assert shown(thread) == (2, 7, 5)
        session.expire(thread)
        thread.words = 6
        with pytest.raises(CounterAssignmentError, match=REFUSED):
            await session.commit()
    await engine.dispose()


# Other ways to map a class


def dataclass_models() -> tuple[type[Any], type[Any]]:
    class Base(MappedAsDataclass, DeclarativeBase):
        pass

    class Team(Base):
        __tablename__ = "team"

        id: Mapped[int] = mapped_column(primary_key=True)
        heroes: Mapped[list[Hero]] = relationship(back_populates="team", default_factory=list)
        hero_count: Mapped[int] = mapped_column(default=0, server_default="0")
        power: Mapped[int] = mapped_column(init=False, server_default="0")

    class Hero(Base):
        __tablename__ = "hero"

        id: Mapped[int] = mapped_column(primary_key=True)
        power: Mapped[int] = mapped_column(default=1)
        team_id: Mapped[int | None] = mapped_column(ForeignKey("team.id"), index=True, default=None)
        team: Mapped[Team | None] = relationship(back_populates="heroes", default=None)

    return Team, Hero


def imperative_models() -> tuple[type[Any], type[Any]]:
    @dataclasses.dataclass
    class Team:
        id: int
        heroes: list[Any] = dataclasses.field(default_factory=list)
        hero_count: int = 0
        power: int = 0

    @dataclasses.dataclass
    class Hero:
        id: int
        power: int = 1
        team: Team | None = None

    mapped = registry()
    number = {"nullable": False, "server_default": "0"}
    teams = Table(
        "team",
        mapped.metadata,
        Column("id", Integer, primary_key=True),
        Column("note", String(20)),
        Column("hero_count", Integer, **number),
        Column("power", Integer, **number),
    )
    heroes = Table(
        "hero",
        mapped.metadata,
        Column("id", Integer, primary_key=True),
        Column("power", Integer, nullable=False),
        Column("team_id", ForeignKey("team.id"), index=True),
    )
    mapped.map_imperatively(
        Team, teams, properties={"heroes": relationship(Hero, back_populates="team")}
    )
    mapped.map_imperatively(
        Hero, heroes, properties={"team": relationship(Team, back_populates="heroes")}
    )
    return Team, Hero


@pytest.mark.parametrize("models", [dataclass_models, imperative_models])
def test_dataclasses_keep_their_defaults_for_counters(engine: Engine, models: Any) -> None:
    Team, Hero = models()

    counters, Own = install(
        engine, Count(Team.hero_count, via=Hero.team), Sum(Team.power, of=Hero.power, via=Hero.team)
    )
    with Own(engine) as session:
        team = Team(id=5, heroes=[Hero(id=6, power=3), Hero(id=7, power=8)])
        assert (team.hero_count, team.power) == (2, 11)
        session.add(team)
        session.add(Team(id=8, hero_count=0))
        session.commit()
        session.add(Hero(id=9, power=4, team=team))
        session.commit()
        assert (team.hero_count, team.power) == (3, 15)
        for name in ("hero_count", "power"):
            setattr(team, name, getattr(team, name))
        session.execute(update(Hero).where(Hero.id == 7).values(power=2))
        session.commit()
        assert (team.hero_count, team.power) == (3, 9)
        assert list(counters.verify(session.connection())) == []
