"""A relationship with more conditions than its key is refused unless where repeats them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import (
    Engine,
    ForeignKey,
    Integer,
    String,
    and_,
    cast,
    delete,
    func,
    insert,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    aliased,
    foreign,
    mapped_column,
    relationship,
    remote,
)
from support.pairs import assert_verified, counter, install, key, pair

from tallied.counters import Count, Counter, Counters, Sum
from tallied.errors import CounterDeclarationError


class Base(DeclarativeBase):
    pass


class Photo(Base):
    __tablename__ = "photo"
    id: Mapped[int] = mapped_column(primary_key=True)
    notes: Mapped[int] = mapped_column(server_default="0")
    words: Mapped[int] = mapped_column(server_default="0")


class Video(Base):
    __tablename__ = "video"
    id: Mapped[int] = mapped_column(primary_key=True)
    notes: Mapped[int] = mapped_column(server_default="0")


class Note(Base):
    """A note on a photo or a video, by a generic foreign key."""

    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    words: Mapped[int]
    target_id: Mapped[int | None] = mapped_column(index=True)
    photo: Mapped[Photo | None] = relationship(
        primaryjoin=lambda: and_(foreign(Note.target_id) == Photo.id, Note.kind == "photo"),
        overlaps="video",
    )
    video: Mapped[Video | None] = relationship(
        primaryjoin=lambda: and_(Note.kind == "video", foreign(Note.target_id) == Video.id),
        overlaps="photo",
    )


IS_PHOTO = Note.kind == "photo"
counters = Counters(
    Count(Photo.notes, via=Note.photo, where=IS_PHOTO),
    Sum(Photo.words, of=Note.words, via=Note.photo, where=and_(Note.words > 3, IS_PHOTO)),
    Count(Video.notes, via=Note.video, where=Note.kind == "video"),
)


class Own(Session):
    pass


counters.install(Own)


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    Base.metadata.create_all(engine)
    with Own(engine) as session:
        session.add_all([Photo(id=1), Photo(id=2), Video(id=1)])
        rows = [("photo", 5, 1), ("photo", 3, 1), ("photo", 7, 2), ("video", 9, 1), ("video", 2, 1)]
        session.add_all(Note(kind=k, words=w, target_id=t) for k, w, t in rows)
        session.commit()
        yield session


def shown(session: Session) -> tuple[int, ...]:
    """Return the counters in memory, which must equal the rows of the relationships."""
    one, two, video = (session.get_one(*item) for item in ((Photo, 1), (Photo, 2), (Video, 1)))
    assert_verified(session, counters)
    for class_, via, id_, stored in (
        (Photo, Note.photo, 1, one.notes),
        (Photo, Note.photo, 2, two.notes),
        (Video, Note.video, 1, video.notes),
    ):
        joined = select(func.count()).select_from(Note).join(via).where(class_.id == id_)
        assert session.scalar(joined) == stored
    return one.notes, one.words, two.notes, two.words, video.notes


def note(session: Session, words: int) -> Note:
    return session.scalars(select(Note).where(Note.words == words)).one()


def add_by_object(session: Session) -> None:
    photo, video = session.get_one(Photo, 1), session.get_one(Video, 1)
    session.add(Note(kind="photo", words=11, photo=photo))
    session.add(Note(kind="video", words=11, video=video))
    assert (photo.notes, photo.words, video.notes) == (3, 16, 3)


def turn_into_a_video(session: Session) -> None:
    photo, video = session.get_one(Photo, 1), session.get_one(Video, 1)
    note(session, 5).kind = "video"
    assert (photo.notes, photo.words, video.notes) == (1, 0, 3)


WAYS: dict[str, tuple[Callable[[Session], Any], tuple[int, ...]]] = {
    "nothing": (lambda s: None, (2, 5, 1, 7, 2)),
    "added by object": (add_by_object, (3, 16, 1, 7, 3)),
    "moved by object": (
        lambda s: setattr(note(s, 5), "photo", s.get_one(Photo, 2)),
        (1, 0, 2, 12, 2),
    ),
    "turned into another kind": (turn_into_a_video, (1, 0, 1, 7, 3)),
    "deleted": (lambda s: s.delete(note(s, 9)), (2, 5, 1, 7, 1)),
    "inserted by statement": (
        lambda s: s.execute(insert(Note).values(kind="video", words=8, target_id=1)),
        (2, 5, 1, 7, 3),
    ),
    "updated by statement": (
        lambda s: s.execute(update(Note).where(Note.kind == "video").values(kind="photo")),
        (4, 14, 1, 7, 0),
    ),
    "deleted by statement": (
        lambda s: s.execute(delete(Note).where(Note.target_id == 1, Note.words > 4)),
        (1, 0, 1, 7, 1),
    ),
}


@pytest.mark.sampled
@pytest.mark.parametrize("way", WAYS)
def test_condition_repeated_in_where_is_counted(way: str, session: Session) -> None:
    work, expected = WAYS[way]
    work(session)
    assert shown(session) == expected


Join = Callable[[Any, Any], Any]
"""A function of the source and the parent that returns the primaryjoin."""

Where = Callable[[Any], Any]


def also(condition: Join) -> Join:
    """Return a primaryjoin with another condition than the one on the key."""
    return lambda s, p: and_(foreign(s.parent_id) == p.id, condition(s, p))


def nothing(source: Any) -> Any:
    return None


def is_four(source: Any) -> Any:
    return source.size == 4


REFUSED: dict[str, tuple[Join, Where]] = {
    "a condition on the source": (also(lambda s, p: s.size == 4), nothing),
    "another condition in where": (also(lambda s, p: s.size == 4), lambda s: s.size == 5),
    "one of two conditions in where": (
        also(lambda s, p: and_(s.size > 4, s.size < 9)),
        lambda s: s.size > 4,
    ),
    "the condition as one of an OR in where": (
        also(lambda s, p: s.size == 4),
        lambda s: or_(s.size == 4, s.size == 5),
    ),
    "a condition on the parent": (also(lambda s, p: p.size == 4), is_four),
    "an OR": (lambda s, p: or_(foreign(s.parent_id) == p.id, s.size == 4), is_four),
    "a cast of the key": (lambda s, p: cast(foreign(s.parent_id), Integer) == p.id, nothing),
    "a function of the key": (
        lambda s, p: func.abs(foreign(s.parent_id)) == func.abs(remote(p.id)),
        nothing,
    ),
    "an operator of its own": (
        lambda s, p: foreign(s.parent_id).op("=", is_comparison=True)(p.id),
        nothing,
    ),
    "another comparison": (lambda s, p: foreign(s.parent_id) <= p.id, nothing),
}


def related(join: Join) -> tuple[Any, Any]:
    classes: dict[str, Any] = {}
    parent, source = pair(
        {"size": counter("size")},
        {
            "size": counter("size"),
            "parent": relationship(
                "Parent",
                primaryjoin=lambda: join(classes["source"], classes["parent"]),
                viewonly=True,
            ),
        },
    )
    classes |= {"parent": parent, "source": source}
    return parent, source


def install_alone(declared: Counter) -> None:
    Counters(declared).install(type("Own", (Session,), {}))


@pytest.mark.parametrize("name", REFUSED)
def test_relationship_with_further_condition_is_refused(name: str) -> None:
    join, where = REFUSED[name]
    parent, source = related(join)
    declared = Count(parent.n, via=source.parent, where=where(source))
    with pytest.raises(CounterDeclarationError) as raised:
        install_alone(declared)
    assert raised.value.id == "counters.E039"
    assert "Source.parent says more than that its foreign key equals" in raised.value.sentence


def test_condition_added_to_attribute_is_refused_unless_repeated() -> None:
    parent, source = related(lambda s, p: foreign(s.parent_id) == p.id)
    via = source.parent.and_(source.size > 4, source.size < 9)
    for where in (None, source.size > 4):
        with pytest.raises(CounterDeclarationError, match=r"E039.*source\.size < "):
            install_alone(Count(parent.n, via=via, where=where))
    install_alone(Count(parent.n, via=via, where=and_(source.size > 4, source.size < 9)))


@pytest.mark.parametrize("kind", ["subclass", "alias"])
def test_type_added_to_attribute_is_refused(kind: str) -> None:
    typed = {"polymorphic_on": "kind", "polymorphic_identity": "parent"}
    parent, source = pair({"kind": mapped_column(String), "__mapper_args__": typed})
    child = type("Child", (parent,), {"__mapper_args__": {"polymorphic_identity": "child"}})
    via = source.parent.of_type(child if kind == "subclass" else aliased(parent))
    with pytest.raises(CounterDeclarationError, match=r"E039.* HINT: Give Source\.parent itself"):
        install_alone(Count(parent.n, via=via))
    install_alone(Count(parent.n, via=source.parent.of_type(parent)))


def test_second_pair_of_columns_is_refused() -> None:
    parent, source = related(lambda s, p: and_(foreign(s.parent_id) == p.id, s.size <= p.size))
    with pytest.raises(CounterDeclarationError, match="E003"):
        install_alone(Count(parent.n, via=source.parent))


ALLOWED: dict[str, tuple[Join, Where]] = {
    "the key alone": (lambda s, p: p.id == foreign(s.parent_id), nothing),
    "remote and foreign": (lambda s, p: remote(p.id) == foreign(s.parent_id), is_four),
    "what is always so": (
        lambda s, p: and_(true(), foreign(s.parent_id) == p.id),
        nothing,
    ),
    "conditions in another order": (
        lambda s, p: and_(s.size < 9, and_(s.size > 4, foreign(s.parent_id) == p.id)),
        lambda s: and_(s.size != 6, and_(s.size > 4, s.size < 9)),
    ),
    "a list of values": (also(lambda s, p: s.size.in_([4, 6])), lambda s: s.size.in_([4, 6])),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_condition_repeated_in_where_is_installed(name: str) -> None:
    join, where = ALLOWED[name]
    parent, source = related(join)
    install_alone(Count(parent.n, via=source.parent, where=where(source)))


def tree(condition: Callable[[Any], Any]) -> Any:
    class Nodes(DeclarativeBase):
        pass

    class Node(Nodes):
        __tablename__ = "node"
        id = key()
        n = counter()
        size = counter("size")
        parent_id: Mapped[int | None] = mapped_column(ForeignKey("node.id"), index=True)
        parent: Mapped[Any] = relationship(
            "Node",
            primaryjoin=lambda: and_(foreign(Node.parent_id) == remote(Node.id), condition(Node)),
            viewonly=True,
        )

    return Node


def test_condition_in_a_tree_may_be_on_the_child_alone() -> None:
    node = tree(lambda n: n.size == 4)
    install_alone(Count(node.n, via=node.parent, where=node.size == 4))
    node = tree(lambda n: remote(n.size) == 4)
    with pytest.raises(CounterDeclarationError, match="E039"):
        install_alone(Count(node.n, via=node.parent, where=node.size == 4))


def linked(condition: Callable[[Any, Any], Any]) -> tuple[Any, Any]:
    class Links(DeclarativeBase):
        pass

    class Topic(Links):
        __tablename__ = "topic"
        id = key()
        words = counter("words")
        size = counter("size")

    class Article(Links):
        __tablename__ = "article"
        id = key()
        words = counter("words")
        size = counter("size")
        topic_id: Mapped[int | None] = mapped_column(ForeignKey("topic.id"), index=True)
        topic: Mapped[Any] = relationship(
            Topic,
            primaryjoin=lambda: and_(Article.topic_id == Topic.id, condition(Article, Topic)),
        )

    return Article, Topic


def test_link_with_condition_on_its_own_columns_is_refused() -> None:
    article, topic = linked(lambda a, t: a.size == 4)
    declared = Sum(article.words, of=topic.words, via=article.topic, where=topic.size == 4)
    with pytest.raises(CounterDeclarationError, match=r"E039"):
        install_alone(declared)


def test_link_with_condition_repeated_in_where_copies(engine: Engine) -> None:
    article, topic = linked(lambda a, t: t.size > 3)

    declared = Sum(article.words, of=topic.words, via=article.topic, where=topic.size > 3)
    own, Own = install(engine, declared)
    with Own(engine) as session:
        large, small = topic(words=20, size=5), topic(words=30, size=2)
        first, second = article(topic=large), article(topic=small)
        session.add_all([first, second])
        assert_verified(session, own)
        assert (first.words, second.words) == (20, 0)
        small.size = 6
        assert_verified(session, own)
        assert (first.words, second.words) == (20, 30)
        large.size = 3
        assert_verified(session, own)
        assert (first.words, second.words) == (0, 30)
