"""Rows that count for rows of their own table are locked together with these: no deadlock.

A note and the notes that it counts for are locked in one order by all writers, from the greatest
key to the smallest: a reply has mostly a greater key than the note that it replies to, and its
INSERT has locked that note's key before any counter.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, delete, event, select, update
from sqlalchemy.orm import Session
from support.races import LEVELS, Actor, parameters, race, uuids
from support.trees import Base, Note, Topic, TreeSession, counters, drift, reply

from tallied.counters.sql import counter_updates, rows, tree_locks
from tallied.counters.unit_of_work import flush, self_references, statements

pytestmark = pytest.mark.filterwarnings("ignore:DELETE statement on table")

TOPIC, OTHER, ROOT, PARENT, X, CHILD, SECOND, NEW_A, NEW_B = uuids(9)
Actors = tuple[Actor, ...]
Notes = dict[Any, Any]


def prepare(session: Session) -> None:
    """Store a thread of four notes, each a reply to the one before, and a second root."""
    session.add_all([Topic(id=TOPIC), Topic(id=OTHER)])
    session.flush()
    session.add(Note(id=ROOT, topic_id=TOPIC))
    session.add(Note(id=SECOND, topic_id=TOPIC))
    session.flush()
    for id, to in ((PARENT, ROOT), (X, PARENT), (CHILD, X)):
        session.add(reply(id, session.get_one(Note, to)))
        session.flush()


def load(session: Session) -> Notes:
    return {note.id: note for note in session.scalars(select(Note))}


def answer(session: Session, notes: Notes, place: int) -> None:
    """Reply to X."""
    if X in notes:
        session.add(reply((NEW_A, NEW_B)[place], notes[X]))
    session.flush()


def hide(session: Session, notes: Notes, place: int) -> None:
    if X in notes:
        notes[X].shown = False
    session.flush()


def move(session: Session, notes: Notes, place: int) -> None:
    if X in notes:
        notes[X].parent_id = notes[X].root_id = SECOND
    session.flush()


def remove(session: Session, notes: Notes, place: int) -> None:
    """Delete the note X with what replies to it as far as is known."""
    for id in (CHILD, X):
        if id in notes:
            session.delete(notes[id])
    session.flush()


def remove_child(session: Session, notes: Notes, place: int) -> None:
    if CHILD in notes:
        session.delete(notes[CHILD])
    session.flush()


def hide_child(session: Session, notes: Notes, place: int) -> None:
    if CHILD in notes:
        notes[CHILD].shown = False
    session.flush()


def hide_by_statement(session: Session, notes: Notes, place: int) -> None:
    session.execute(update(Note).where(Note.id == X).values(shown=False))


def hide_by_keys(session: Session, notes: Notes, place: int) -> None:
    session.execute(update(Note), [{"id": X, "shown": False}])


def lift(session: Session, notes: Notes, place: int) -> None:
    """Move X from its parent to the root."""
    if X in notes:
        notes[X].parent_id = ROOT
    session.flush()


def lift_two(session: Session, notes: Notes, place: int) -> None:
    """Write two notes, of which one moves; the one between them is the parent that it leaves."""
    for id in (CHILD, PARENT):
        if id in notes:
            notes[id].parent_id, notes[id].shown = ROOT, False
    session.flush()


def lift_two_by_statement(session: Session, notes: Notes, place: int) -> None:
    session.execute(update(Note).where(Note.id.in_([CHILD, PARENT])).values(parent_id=ROOT))


def lift_two_by_keys(session: Session, notes: Notes, place: int) -> None:
    session.execute(update(Note), [{"id": id, "parent_id": ROOT} for id in (PARENT, CHILD)])


def delete_by_statement(session: Session, notes: Notes, place: int) -> None:
    session.execute(delete(Note).where(Note.id.in_([X, CHILD])))


def hide_locked(session: Session, notes: Notes, place: int) -> None:
    if note := counters.lock(session, Note, X):
        note.shown = False
    session.flush()


def delete_topic(session: Session, notes: Notes, place: int) -> None:
    session.execute(delete(Topic).where(Topic.id == TOPIC))


ONE_LEVEL = parameters(LEVELS, plain=lambda level: level == LEVELS[0])

STOP = (
    "WITH tallied_delta",
    "UPDATE note SET child_",
    "UPDATE note SET reply_",
    "UPDATE topic",
    "DELETE FROM topic",
)
"""How the statements start after which further rows are locked."""

CHANGES = [
    hide,
    move,
    remove,
    remove_child,
    hide_child,
    hide_by_statement,
    hide_by_keys,
    delete_by_statement,
    hide_locked,
    delete_topic,
]
LIFTS = [lift_two, lift_two_by_statement, lift_two_by_keys]
PAIRS = [(change, answer) for change in CHANGES]
PAIRS += [(change, hide_child) for change in (hide, move, hide_by_statement, hide_locked)]
PAIRS += [(change, lift) for change in LIFTS]
PAIRS += [(answer, answer), (hide, move), (delete_topic, hide)]
PAIRS += [(second, first) for first, second in PAIRS if first is not second]


def is_plain(pair: Any) -> bool:
    return pair in (
        (hide, answer),
        (answer, hide),
        (remove, answer),
        (hide_child, hide),
        (lift_two, hide),
    )


RACE = (TreeSession, prepare, Base.metadata)


@pytest.fixture
def deadlocks(actors: Actors) -> list[str]:
    """The messages of deadlocks, as they come."""
    messages: list[str] = []

    def on_error(context: Any) -> None:
        if getattr(context.original_exception, "sqlstate", None) == "40P01":
            messages.append(str(context.original_exception))

    for actor in actors:
        event.listen(actor.engine, "handle_error", on_error)
    return messages


def run(server: Engine, actors: Actors, pair: Any, schedule: str) -> tuple[str, str]:
    """Run a race; ``within``, the first stops with its rows locked, before any counter."""
    outcomes = race(server, actors, pair, schedule, load=load, stop=STOP)
    with TreeSession(server) as session:
        assert drift(session) == []
    return outcomes


@pytest.mark.parametrize("level", ONE_LEVEL)
@pytest.mark.parametrize("schedule", ["after", "within"])
@pytest.mark.parametrize("pair", parameters(PAIRS, plain=is_plain))
def test_trees_are_exact_and_do_not_deadlock(
    server: Engine, actors: Actors, deadlocks: list[str], pair: Any, schedule: str
) -> None:
    run(server, actors, pair, schedule)
    assert deadlocks == []


# Without the protections


@pytest.mark.parametrize("level", ONE_LEVEL)
@pytest.mark.parametrize("first", [True, False], ids=["first", "second"])
@pytest.mark.parametrize("change", LIFTS)
def test_changes_deadlock_without_the_lock_of_the_tree(
    server: Engine,
    actors: Actors,
    deadlocks: list[str],
    change: Any,
    first: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (flush, statements, self_references):
        monkeypatch.setattr(module, "locks_trees", lambda *args: False)
    run(server, actors, (change, lift) if first else (lift, change), "within")
    assert deadlocks


@pytest.fixture
def ascending(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lock the rows of a tree from the smallest key to the greatest, as those of other tables."""
    caches = (rows._select, counter_updates._update_many, tree_locks._statement)
    for cache in caches:
        cache.cache_clear()
    monkeypatch.setattr(rows, "refers_to_itself", lambda table: False)
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.mark.usefixtures("ascending")
@pytest.mark.parametrize("level", ONE_LEVEL)
@pytest.mark.parametrize("change", [remove, delete_by_statement])
def test_deletion_and_reply_deadlock_in_the_other_order(
    server: Engine, actors: Actors, deadlocks: list[str], change: Any
) -> None:
    run(server, actors, (answer, change), "within")
    assert deadlocks
