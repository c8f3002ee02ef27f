"""Targets: the threads of objects of a host."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import BigInteger, DateTime, Integer, SmallInteger, String, Uuid, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from support.host import Host, about, key, titles
from support.rows import count_rows, run_sync

from tallied.database import Database
from tallied.discussion import Discussion
from tallied.errors import ConfigurationError
from tallied.host.targets import Target
from tallied.models import Thread


class Base(DeclarativeBase):
    """The host's."""


class Article(Base):
    __tablename__ = "article"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    title: Mapped[str | None] = mapped_column(String(500))


class Place(Base):
    __tablename__ = "place"

    code: Mapped[str] = mapped_column(String(50), primary_key=True)
    name: Mapped[str] = mapped_column(String(500))


class Photo(Base):
    __tablename__ = "photo"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    title: Mapped[str] = mapped_column(String(500))


class Sound(Base):
    __tablename__ = "sound"

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    title: Mapped[str] = mapped_column(String(500))


class Pair(Base):
    __tablename__ = "pair"

    one: Mapped[int] = mapped_column(primary_key=True)
    two: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(500))


class Moment(Base):
    __tablename__ = "moment"

    id: Mapped[Any] = mapped_column(DateTime, primary_key=True)
    title: Mapped[str] = mapped_column(String(500))


class Huge(Base):
    __tablename__ = "huge"

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    title: Mapped[str] = mapped_column(String(500))


class Tiny(Base):
    __tablename__ = "tiny"

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    title: Mapped[str] = mapped_column(String(500))


PHOTO = UUID("2f1c6d0a-94f1-4c39-8f5e-b1a7d09c3e55")
SOUND = "7be0c1d2-5a43-4f6e-9d1b-0c8f7a6e5d4c"
ABSENT = "5d9a3b7c-1e2f-4a6b-8c0d-9e8f7a6b5c4d"
TARGETS = [
    Target.of("article", Article),
    Target.of("place", Place, title="name"),
    Target.of("photo", Photo),
    Target.of("sound", Sound),
    Target.of("huge", Huge),
    Target.of("tiny", Tiny),
]


@pytest.fixture
async def host(database: Database) -> Host:
    await run_sync(database, Base.metadata.create_all)

    async def fill(unit: Any) -> None:
        unit.session.add_all(
            [
                Article(id=7, title="Engines"),
                Article(id=8, title=None),
                Article(id=9, title="   "),
                Article(id=10, title=" long " * 83),
                Article(id=-3, title="Below zero"),
                Place(code="zürich", name="Zürich"),
                Place(code=" ", name="A blank"),
                Photo(id=PHOTO, title="A loom"),
                Sound(id=SOUND, title="A bell"),
                Huge(id=2**62, title="Huge"),
                Tiny(id=2**15 - 1, title="Tiny"),
            ]
        )

    await database.write(fill)
    return Host(database, targets=TARGETS)


FIND = """query($t: String!, $id: String!) { threadFor(target: {type: $t, key: $id}) {
            id title target { type key } } }"""


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("type_", "id", "title"),
    [
        ("article", 7, "Engines"),
        ("article", -3, "Below zero"),
        ("article", 8, "article 8"),
        ("article", 9, "article 9"),
        ("place", "zürich", "Zürich"),
        ("photo", PHOTO, "A loom"),
        ("sound", SOUND, "A bell"),
        ("huge", 2**62, "Huge"),
        ("tiny", 2**15 - 1, "Tiny"),
    ],
)
async def test_thread_for_creates_thread_once(
    host: Host, type_: str, id: object, title: str
) -> None:
    assert await host.guest(FIND, t=type_, id=str(id)) is None
    selection = "thread { id title author { name } target { type key } commentCount }"
    created = (await host.ada.do("threadFor", selection, **about(type_, id)))["thread"]
    assert (created["title"], created["target"]) == (title, {"type": type_, "key": str(id)})
    assert created["author"] == {"name": "Ada"}
    for client in (host.bob, host.guest, host.ada):
        again = (await client.do("threadFor", selection, **about(type_, id)))["thread"]
        assert again == created
        assert (await client(FIND, t=type_, id=str(id)))["id"] == created["id"]
    assert await count_rows(host.database, Thread) == 1
    assert set(await host.authors()) == {"user-1"}  # who only found it is not an author
    await host.bob.comment(created["id"])
    await host.assert_exact()


async def test_too_long_title_is_shortened(host: Host) -> None:
    created = await host.ada.do("threadFor", "thread { title }", **about("article", 10))
    assert len(created["thread"]["title"]) == 200
    assert created["thread"]["title"].startswith("long  long")
    result = await host.ada(
        '{ threads(first: 5, filterBy: {titleContains: "LONG"}) { totalCount } }'
    )
    assert result == {"totalCount": 1}


WRONG = [
    ("article", "007"),
    ("article", "7 "),
    ("article", " 7"),
    ("article", "+7"),
    ("article", "7.0"),
    ("article", "\N{ARABIC-INDIC DIGIT SEVEN}"),
    ("article", "7_0"),
    ("article", "1"),
    ("article", ""),
    ("article", "-0"),
    ("article", "seven"),
    ("article", "None"),
    ("article", str(2**31)),
    ("article", str(2**63)),
    ("article", "9" * 255),
    ("article", "9" * 100_000),
    ("article", "7\0"),
    ("article", "7'; DROP TABLE article; --"),
    ("huge", str(2**63)),
    ("tiny", str(2**15)),
    ("place", "ZÜRICH"),
    ("place", "zu\u0308rich"),
    ("place", "zürich\0"),
    ("place", ""),
    ("place", "  "),
    ("place", "\N{GRINNING FACE}" * 256),
    ("photo", str(PHOTO).upper()),
    ("photo", PHOTO.hex),
    ("photo", f"{{{PHOTO}}}"),
    ("photo", "7"),
    ("photo", ABSENT),
    ("sound", SOUND.upper()),
    ("sound", "not a uuid"),
    ("sound", ""),
]


@pytest.mark.slow
async def test_missing_object_is_not_found(host: Host) -> None:
    for type_, id in WRONG:
        error = await host.ada.refused("threadFor", **about(type_, id))
        assert error == {
            "message": f"There is no such {type_}; it may have been deleted.",
            "field": "target.key",
            "code": "NOT_FOUND",
        }, (type_, id)
        assert await host.ada(FIND, t=type_, id=id) is None


async def test_half_surrogate_pair_is_not_found(host: Host) -> None:
    body = """{"query": "mutation { threadFor(input: {target: {type: \\"place\\",
              id: \\"\\ud800\\"}}) { userErrors { code } } }"}""".replace("\n", " ")
    response = await host.ada.http.post(
        "/graphql", content=body, headers={"content-type": "application/json"}
    )
    answer = response.json()
    assert "INTERNAL_SERVER_ERROR" not in str(answer)
    assert "NOT_FOUND" in str(answer) or response.status_code in (200, 400, 422)
    assert await count_rows(host.database, Thread) == 0


@pytest.mark.parametrize("type_", ["Article", "articles", "", "article ", "\0", "user", "x" * 999])
async def test_unregistered_type_is_refused(host: Host, type_: str) -> None:
    sentence = "There are no discussions about this kind; the registered ones are: "
    error = await host.ada.refused("threadFor", **about(type_, 7))
    assert (error["code"], error["field"]) == ("UNKNOWN_TARGET_TYPE", "target.type")
    assert error["message"].startswith(sentence)
    assert "article" in error["message"]
    assert len(error["message"]) < 200
    error = await host.ada.error(FIND, t=type_, id="7")
    assert (error["code"], error["field"]) == ("UNKNOWN_TARGET_TYPE", "target.type")
    plain = Host(host.database)
    error = await plain.ada.refused("threadFor", **about("article", 7))
    assert error["message"] == f"{sentence}none."


async def test_object_of_deleted_thread_gets_new_thread(host: Host) -> None:
    first = await host.ada.do("threadFor", "thread { id }", **about("article", 7))
    id = first["thread"]["id"]
    await host.moderator.do("deleteThread", "deletedThreadId", threadId=id)
    second = await host.ada.do("threadFor", "thread { id }", **about("article", 7))
    assert second["thread"]["id"] != id


async def test_thread_of_deleted_object_stays(host: Host) -> None:
    created = await host.ada.do("threadFor", "thread { id }", **about("article", 7))

    async def delete(unit: Any) -> None:
        await unit.session.execute(text("DELETE FROM article WHERE id = 7"))

    await host.database.write(delete)
    result = await host.bob.do("threadFor", "thread { id }", **about("article", 7))
    assert result == created


# What a target overrides


async def test_target_has_own_message_length(database: Database) -> None:
    short = Target("short", titles, message_length=5)
    long = Target("long", titles, message_length=50)
    host = Host(database, targets=[short, long], settings={"message_length": 20})
    threads = {"plain": await host.ada.thread("Engines")}
    for kind in ("short", "long"):
        created = await host.ada.do("threadFor", "thread { id }", **about(kind, 1))
        threads[kind] = created["thread"]["id"]
    for kind, longest in (("short", 5), ("plain", 20), ("long", 50)):
        comment = await host.ada.comment(threads[kind], "a" * longest)
        sentence = f"This has {longest + 1} characters; shorten it to at most "
        for change, input in (
            ("addComment", {"threadId": threads[kind]}),
            ("editComment", {"commentId": comment}),
        ):
            error = await host.ada.refused(change, message="a" * (longest + 1), **input)
            assert (error["code"], error["field"]) == ("TOO_LONG", "message")
            assert error["message"] == f"{sentence}{longest}."
    error = await host.ada.refused("createThread", title="Looms", comment={"message": "a" * 21})
    assert (error["code"], error["field"]) == ("TOO_LONG", "comment.message")


async def test_target_has_own_rights_of_guests(database: Database) -> None:
    opened = Target("opened", titles, guests="write")
    host = Host(database, targets=[opened, Target("closed", titles)])
    created = await host.guest.do("threadFor", "thread { id author { id } }", **about("opened", 1))
    assert created["thread"]["author"] is None
    await host.guest.comment(created["thread"]["id"])
    error = await host.guest.refused("threadFor", **about("closed", 1))
    assert error == {
        "message": "Guests may not begin a thread; sign in first.",
        "field": None,
        "code": "SIGN_IN_REQUIRED",
    }
    closed = await host.ada.do("threadFor", "thread { id }", **about("closed", 1))
    thread = closed["thread"]["id"]
    error = await host.guest.refused("addComment", **host.guest.written(thread))
    assert error["code"] == "SIGN_IN_REQUIRED"
    # To find what is there, nobody needs to sign in.
    assert await host.guest.do("threadFor", "thread { id }", **about("closed", 1)) == closed


# What a host registers


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Target("", titles), "name must have 1 to 50"),
        (lambda: Target("a b", titles), "not 'a b'"),
        (lambda: Target("é", titles), "letters, digits"),
        (lambda: Target("a" * 51, titles), "1 to 50"),
        (lambda: Target("a", titles, guests="rule"), "must be read or write or moderate, or None"),  # type: ignore[arg-type]
        (lambda: Target("a", titles, message_length=0), "from 1 to 100000, or None, not 0"),
        (lambda: Target("a", titles, message_length=100_001), "not 100001"),
        (lambda: Target.of("a", Pair), "primary key of 2 columns"),
        (lambda: Target.of("a", Moment), "other than an int, str or UUID"),
        (lambda: Target.of("a", Place), "no column 'title'"),
        (
            lambda: Discussion(
                "sqlite+aiosqlite://", targets=[Target("a", titles), Target("a", titles)]
            ),
            "Two targets are called 'a'",
        ),
    ],
)
def test_unusable_target_is_named(make: Any, sentence: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        make()
    assert sentence in str(refused.value)


async def test_threads_without_target_stay_apart(host: Host) -> None:
    ids = [await host.ada.thread("Engines") for _ in range(2)]
    assert len({key(id) for id in ids}) == 2
    query = "query($id: ID!) { thread(id: $id) { target { type } } }"
    assert await host.ada(query, id=ids[0]) == {"target": None}
