"""Notes that reply to each other: every kind of change, and the number of its statements."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule
from sqlalchemy import Engine, delete, insert, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from support.histories import PICKS, History
from support.pairs import assert_verified
from support.races import uuids
from support.state_machines import run_machine
from support.statements import recorded
from support.trees import Base, Note, Topic, TreeSession, counters, reply

pytestmark = pytest.mark.filterwarnings("ignore:DELETE statement on table")

TOPIC, OTHER, ROOT, A, B, C, LEAF, NEW, NEWER = uuids(9)


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """Two topics; in the first a root with two replies, of which one has two below each other."""
    Base.metadata.create_all(engine)
    with TreeSession(engine) as session:
        session.add_all([Topic(id=TOPIC), Topic(id=OTHER)])
        session.flush()
        session.add(Note(id=ROOT, topic_id=TOPIC))
        session.flush()
        for id, to in ((A, ROOT), (B, ROOT), (C, A), (LEAF, C)):
            session.add(reply(id, session.get_one(Note, to)))
            session.flush()
        session.commit()
        yield session


def note(session: Session, id: UUID) -> Any:
    return session.get_one(Note, id)


def shown(session: Session) -> dict[UUID, tuple[int, int]]:
    """Return the two counters of each note, as memory has them."""
    session.flush()
    notes = session.scalars(select(Note).order_by(Note.id))
    return {note.id: (note.child_count, note.reply_count) for note in notes}


BEFORE = {ROOT: (2, 4), A: (1, 0), B: (0, 0), C: (1, 0), LEAF: (0, 0)}


def test_reply_counts_for_parent_and_root_in_one_statement(
    session: Session, engine: Engine
) -> None:
    parent, root = note(session, C), note(session, ROOT)
    with recorded(engine) as executed:
        session.add(reply(NEW, parent))
        assert (parent.child_count, root.reply_count) == (2, 5)
        session.flush()
    assert executed.verbs == ["INSERT note", "UPDATE note", "UPDATE topic"]
    assert shown(session) == BEFORE | {C: (2, 0), ROOT: (2, 5), NEW: (0, 0)}
    assert_verified(session, counters)


def hide(session: Session) -> None:
    note(session, LEAF).shown = False


def resize(session: Session) -> None:
    note(session, LEAF).size = 9


def remove(session: Session) -> None:
    session.delete(note(session, LEAF))


def lift(session: Session) -> None:
    note(session, LEAF).parent_id = B


COSTS: dict[Callable[[Session], None], list[str]] = {
    hide: ["SELECT note", "UPDATE note", "UPDATE note", "UPDATE topic"],
    resize: ["SELECT note", "UPDATE note", "UPDATE topic"],
    remove: ["SELECT note", "DELETE note", "UPDATE note", "UPDATE topic"],
    lift: ["SELECT note", "UPDATE note", "UPDATE note"],
}


@pytest.mark.parametrize("change", COSTS)
def test_change_costs_no_further_statement(session: Session, engine: Engine, change: Any) -> None:
    leaf = note(session, LEAF)
    with recorded(engine) as executed:
        change(session)
        session.flush()
    assert leaf.reply_count == 0
    assert executed.verbs == COSTS[change]
    assert_verified(session, counters)


@pytest.mark.parametrize("way", ["session", "statement", "base"])
def test_topic_takes_its_tree_along(session: Session, engine: Engine, way: str) -> None:
    session.add(Note(id=NEW, topic_id=OTHER))
    session.flush()
    with recorded(engine) as executed:
        if way == "session":
            session.delete(session.get_one(Topic, TOPIC))
            session.flush()
        else:
            class_ = Topic if way == "statement" else Topic.__table__
            session.execute(delete(class_).where(Topic.id == TOPIC))
    assert "UPDATE note" not in executed.verbs
    session.expire_all()
    assert shown(session) == {NEW: (0, 0)}
    assert_verified(session, counters)


def test_topic_takes_replies_in_other_topics_parents_along(session: Session) -> None:
    """The parent of a reply in a deleted topic may be in another one, and loses a child."""
    session.add(Note(id=NEW, topic_id=OTHER, parent_id=B, root_id=ROOT))
    session.flush()
    assert shown(session)[B] == (1, 0)
    session.execute(delete(Topic).where(Topic.id == OTHER))
    session.expire_all()
    assert shown(session) == BEFORE
    assert_verified(session, counters)


def test_new_parent_and_child_in_one_flush(session: Session, engine: Engine) -> None:
    topic = session.get_one(Topic, TOPIC)
    root = Note(id=NEW, topic=topic)
    with recorded(engine) as executed:
        session.add_all([root, Note(id=NEWER, topic=topic, parent=root, root=root)])
        assert (root.child_count, root.reply_count) == (1, 1)
        session.flush()
    assert "UPDATE note" not in executed.verbs
    assert (root.child_count, root.reply_count) == (1, 1)
    assert_verified(session, counters)


def test_parent_and_child_are_deleted_in_one_flush(session: Session) -> None:
    for item in [note(session, id) for id in (C, LEAF)]:
        session.delete(item)
    assert shown(session) == {ROOT: (2, 2), A: (0, 0), B: (0, 0)}
    assert_verified(session, counters)


def test_parent_and_orphan_change_in_one_flush(session: Session) -> None:
    """A note is deleted, and what replied to it becomes a root."""
    with session.no_autoflush:
        session.delete(note(session, C))
        leaf = note(session, LEAF)
        leaf.parent = leaf.root = None
    assert shown(session) == {ROOT: (2, 2), A: (0, 0), B: (0, 0), LEAF: (0, 0)}
    assert_verified(session, counters)


def test_subtree_moves_to_another_root_and_topic(session: Session) -> None:
    session.add(Note(id=NEW, topic_id=OTHER))
    session.flush()
    with session.no_autoflush:
        for id in (A, C, LEAF):
            moved = note(session, id)
            moved.topic_id, moved.root_id = OTHER, NEW
        note(session, A).parent_id = NEW
    assert shown(session) == BEFORE | {ROOT: (1, 1), NEW: (1, 3)}
    topics = session.execute(select(Topic.note_count).order_by(Topic.id)).scalars().all()
    assert topics == [2, 4]
    assert_verified(session, counters)


def test_note_may_count_for_itself(session: Session) -> None:
    note(session, B).parent_id = B
    assert shown(session)[B] == (1, 0)
    session.execute(delete(Note).where(Note.id == B))
    assert shown(session)[ROOT] == (1, 3)
    assert_verified(session, counters)


def move_by_statement(session: Session) -> None:
    session.execute(update(Note).where(Note.parent_id == C).values(parent_id=B))


def move_by_expression(session: Session) -> None:
    above = select(Note.id).where(Note.id == B).scalar_subquery()
    session.execute(update(Note).where(Note.id == LEAF).values({Note.parent_id: above}))


def move_by_keys(session: Session) -> None:
    session.execute(update(Note), [{"id": LEAF, "parent_id": B}])


def move_by_table(session: Session) -> None:
    table: Any = Note.__table__
    session.execute(table.update().where(table.c.id == LEAF).values(parent_id=B))


@pytest.mark.parametrize(
    "move", [move_by_statement, move_by_expression, move_by_keys, move_by_table]
)
def test_move_by_statement_is_counted(session: Session, move: Any) -> None:
    move(session)
    session.expire_all()
    assert shown(session) == BEFORE | {C: (0, 0), B: (1, 0)}
    assert_verified(session, counters)


def test_insert_and_delete_by_statement_are_counted(session: Session) -> None:
    rows = [{"id": id, "topic_id": TOPIC, "parent_id": B, "root_id": ROOT} for id in (NEW, NEWER)]
    session.execute(insert(Note), rows)
    session.expire_all()
    assert shown(session) == BEFORE | {B: (2, 0), ROOT: (2, 6), NEW: (0, 0), NEWER: (0, 0)}
    session.execute(delete(Note).where(Note.parent_id.in_([B, C])))
    session.expire_all()
    assert shown(session) == {ROOT: (2, 3), A: (1, 0), B: (0, 0), C: (0, 0)}
    assert_verified(session, counters)


def test_deletion_of_replies_that_gain_children_is_refused(session: Session) -> None:
    with pytest.raises(IntegrityError):
        session.execute(delete(Note).where(Note.id == A))
    session.rollback()
    assert shown(session) == BEFORE


def test_savepoint_restores_the_whole_tree(session: Session) -> None:
    notes = list(session.scalars(select(Note)))
    with session.begin_nested() as savepoint:
        session.add(reply(NEW, note(session, LEAF)))
        note(session, C).shown = False
        session.flush()
        savepoint.rollback()
    assert len(notes) == 5
    assert shown(session) == BEFORE


def test_wrong_trees_are_rebuilt(session: Session, engine: Engine) -> None:
    session.execute(text("UPDATE note SET child_count = 7, reply_count = 8"))
    session.commit()
    assert len(list(counters.verify(session.connection()))) == 10
    session.rollback()
    with engine.connect() as connection:
        assert counters.rebuild(connection) == 5
    session.expire_all()
    assert shown(session) == BEFORE


def test_pause_recounts_the_whole_tree(session: Session) -> None:
    notes = list(session.scalars(select(Note)))
    with counters.pause(session):
        session.add(reply(NEW, note(session, C)))
        note(session, LEAF).shown = False
        note(session, LEAF).parent_id = B
    assert len(notes) == 5
    assert shown(session) == BEFORE | {C: (1, 0), B: (1, 0), NEW: (0, 0)}
    assert_verified(session, counters)


# Any history


class Forest(History):
    """One session with topics and trees of notes."""

    def __init__(self) -> None:
        session = TreeSession(self.engine, autoflush=False, expire_on_commit=False)
        super().__init__(session, [Base.metadata])

    def teardown(self) -> None:
        self.session.close()

    @initialize()
    def begin(self) -> None:
        self.session.add_all([Topic(id=uuid4()), Topic(id=uuid4())])
        self.session.commit()

    def all(self, class_: Any) -> list[Any]:
        self.flush()
        return super().all(class_)

    def below(self, top: Any) -> list[Any]:
        """Return a note, and all notes below it."""
        notes, result = self.all(Note), [top]
        for item in result:
            result += [n for n in notes if n.parent_id == item.id and n not in result]
        return result

    @rule(pick=PICKS)
    def add_root(self, pick: int) -> None:
        if (topic := self.one(Topic, pick)) is not None:
            self.session.add(Note(id=uuid4(), topic_id=topic.id))
            self.touched()

    @rule(pick=PICKS, shown=st.booleans(), by_object=st.booleans())
    def add_reply(self, pick: int, shown: bool, by_object: bool) -> None:
        if (to := self.one(Note, pick)) is None:
            return
        new = reply(uuid4(), to, shown=shown)
        if by_object:
            new = Note(id=new.id, topic_id=to.topic_id, parent=to, root=to.root or to, shown=shown)
        self.session.add(new)
        self.touched()

    @rule(picks=st.lists(PICKS, min_size=1, max_size=3))
    def toggle(self, picks: list[int]) -> None:
        notes = self.all(Note)
        for pick in picks if notes else ():
            item = notes[pick % len(notes)]
            item.shown = not item.shown
        self.touched()

    @rule(pick=PICKS, to=PICKS)
    def move(self, pick: int, to: int) -> None:
        top, target = self.one(Note, pick), self.one(Note, to)
        if top is None or target in (moved := self.below(top)):
            return
        top.parent_id = target.id
        for item in moved:
            item.root_id, item.topic_id = target.root_id or target.id, target.topic_id
        self.touched()

    @rule(pick=PICKS)
    def delete(self, pick: int) -> None:
        if (top := self.one(Note, pick)) is not None:
            for item in reversed(self.below(top)):
                self.session.delete(item)
            self.touched(shows_at_once=False)

    @rule(pick=PICKS, shown=st.booleans())
    def hide_by_statement(self, pick: int, shown: bool) -> None:
        if (top := self.one(Note, pick)) is not None:
            self.session.execute(update(Note).where(Note.parent_id == top.id).values(shown=shown))
            self.session.expire_all()

    @rule(pick=PICKS)
    def delete_leaves_by_statement(self, pick: int) -> None:
        if (topic := self.one(Topic, pick)) is not None:
            leaves = delete(Note).where(Note.topic_id == topic.id, Note.child_count == 0)
            self.session.execute(leaves, execution_options={"synchronize_session": "fetch"})
            self.session.expire_all()

    @rule(pick=PICKS)
    def replace_topic(self, pick: int) -> None:
        if (topic := self.one(Topic, pick)) is not None:
            self.session.execute(delete(Topic).where(Topic.id == topic.id))
            self.session.expire_all()
            self.session.add(Topic(id=uuid4()))
            self.session.flush()

    def shown(self) -> dict[Any, Any]:
        values = {}
        for item in self.session:
            names = ("child_count", "reply_count") if isinstance(item, Note) else ("note_count",)
            if vars(item).keys() >= set(names):
                values[item] = [vars(item)[name] for name in names]
        return values

    def assert_agrees(self) -> None:
        assert_verified(self.session, counters)

    def ended(self) -> None:
        assert_verified(self.session, counters)

    def rolled_back_savepoint(self) -> None:
        self.session.expire_all()


def test_any_history_of_trees_ends_exact(engine: Engine, is_exhaustive: bool) -> None:
    Base.metadata.create_all(engine)
    run_machine(Forest, engine=engine, examples=40 if is_exhaustive else 5, steps=25)
