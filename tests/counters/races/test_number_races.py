"""Numbers are unique and in the order of commits, whichever of two writers comes first."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from support.numbers import Base, Entry, NumberedSession, Topic, add_topics, counters, last, numbers
from support.races import LEVELS, Actor, outcome, parameters, race, wait_for_state

from tallied.counters.unit_of_work import numbers as taking

Actors = tuple[Actor, ...]
Place = int


RACE = (NumberedSession, add_topics, Base.metadata)


def load(session: Session) -> dict[int, Entry]:
    return {entry.id: entry for entry in session.scalars(select(Entry))}


def add(session: Session, entries: Any, place: Place) -> None:
    session.add_all([Entry(id=10 + place, topic_id=1), Entry(id=20 + place, topic_id=2)])
    session.flush()


def add_in_turn(session: Session, entries: Any, place: Place) -> None:
    """Add to the two topics in the opposite order of the other actor."""
    ids = [(10 + place, 1), (20 + place, 2)]
    session.add_all(Entry(id=id, topic_id=topic) for id, topic in ids[:: 1 - 2 * place])
    session.flush()


def move(session: Session, entries: Any, place: Place) -> None:
    if 4 in entries:
        entries[4].topic_id = 1
    session.flush()


def add_by_statement(session: Session, entries: Any, place: Place) -> None:
    session.execute(insert(Entry).values(id=10 + place, topic_id=1))


def move_by_statement(session: Session, entries: Any, place: Place) -> None:
    session.execute(update(Entry).where(Entry.topic_id == 2).values(topic_id=1))


def remove(session: Session, entries: Any, place: Place) -> None:
    if 3 in entries:
        session.delete(entries[3])
    session.flush()


CHANGES = [add_in_turn, move, add_by_statement, move_by_statement, remove]
PAIRS = [(add, add), *((change, add) for change in CHANGES), *((add, c) for c in CHANGES)]
PAIRS += [(add_in_turn, add_in_turn), (move, add_by_statement), (move_by_statement, move)]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("schedule", ["after", "within", "stale"])
@pytest.mark.parametrize(
    "pair", parameters(PAIRS, plain=lambda pair: pair in ((add, add), (move, add)))
)
def test_any_two_writers_number_exactly(
    server: Engine, actors: Actors, pair: Any, schedule: str
) -> None:
    race(server, actors, pair, schedule, load=load, stop=("UPDATE numbered_topic", "WITH"))
    with NumberedSession(server) as session:
        assert list(counters.verify(session.connection())) == []
        for topic in (1, 2):
            assigned = list(numbers(session, topic).values())
            assert len({*assigned, None}) == len(assigned) + 1
            assert last(session, topic) >= max(assigned, default=0)


def insert_in_both(server: Engine, actors: Actors, first: int) -> tuple[list[str], list[int]]:
    """Insert in two actors, of which the first stops before its commit; what a poller reads.

    :returns: the outcomes, and the numbers that were visible when the second had committed.
    """
    one, two = actors[first], actors[1 - first]
    for actor in (one, two):
        actor.begin()
    one.run(lambda session: add(session, {}, 0))
    other = two.start(lambda session: add(session, {}, 1))
    state = wait_for_state(two, other, server)
    visible: list[int] = []
    if state == "done" and outcome(other) == "ok":
        two.run(Session.commit)
        with NumberedSession(server) as session:
            visible = [number for number in numbers(session).values() if number is not None]
    one.run(Session.commit)
    results = [outcome(other)]
    two.run(Session.commit if results == ["ok"] else Session.rollback)
    return results, visible


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("first", [0, 1])
def test_second_insert_waits_for_the_first(
    server: Engine, actors: Actors, level: str, first: int
) -> None:
    results, visible = insert_in_both(server, actors, first)
    assert visible == []
    assert results == (["ok"] if level == "READ COMMITTED" else ["retry"])
    with NumberedSession(server) as session:
        assert list(counters.verify(session.connection())) == []


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("first", [0, 1])
def test_numbers_collide_without_the_lock(
    server: Engine, actors: Actors, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both take the same number, which the unique index refuses."""

    def read_unlocked(connection: Any, mapper: Any, names: Any, keys: Any) -> Any:
        return {
            key: {"last": connection.scalar(select(Topic.last).where(Topic.id == key[0]))}
            for key in keys
        }

    monkeypatch.setattr(taking, "lock_last_numbers", read_unlocked)
    one, two = actors[first], actors[1 - first]
    for actor in (one, two):
        actor.begin()
    one.stop_before("UPDATE numbered_topic", "WITH")
    running = one.start(lambda session: add(session, {}, 0))
    assert wait_for_state(one, running, server) == "stopped"
    other = two.start(lambda session: add(session, {}, 1))
    assert wait_for_state(two, other, server) == "blocked"  # by the unique index
    one.go_on()
    assert one.end(running) == "ok"
    assert outcome(other) == "gone"
    assert isinstance(other.exception(), IntegrityError)
    two.run(Session.rollback)
