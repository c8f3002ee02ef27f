"""Blank texts, control characters in lines, and names that look alike."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import insert, select
from support.host import ADA, Host, about

from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.database.unit_of_work import UnitOfWork
from tallied.errors import ConfigurationError, InvalidText
from tallied.host.targets import Target
from tallied.models import Comment, Thread
from tallied.models.base import new_id
from tallied.resolvers.comments import NewComment, add_comment
from tallied.resolvers.pagination.filters import CommentFilter
from tallied.resolvers.threads import create_thread, rename_thread
from tallied.resolvers.views import read_comments

GUESTS = {"settings": {"guests": "moderate"}}
NOTHING = ["\u200b", "\ufeff", "\u00ad\u00ad", " \u3164 ", "\u2800", "\u200d\u200c", "\u2067\u2069"]
ZWNJ = "\u200c"
COMMENTS = """query($id: ID!, $by: CommentFilter) { thread(id: $id) {
  comments(first: 9, filterBy: $by) { totalCount nodes { authorName } } } }"""


@pytest.mark.exhaustive
@pytest.mark.parametrize("text", NOTHING, ids=ascii)
async def test_text_of_nothing_visible_is_blank(database: Database, text: str) -> None:
    host = Host(database, **GUESTS)
    thread = await host.guest.thread("Engines")
    comment = await host.guest.comment(thread)
    named = {"authorName": "Ada", "message": "one two"}
    for change, values, field in (
        ("createThread", {"title": text}, "title"),
        ("createThread", {"title": "A", "comment": {**named, "message": text}}, "comment.message"),
        ("createThread", {"title": "A", "comment": {**named, "authorName": text}},
         "comment.authorName"),
        ("renameThread", {"threadId": thread, "title": text}, "title"),
        ("addComment", {"threadId": thread, **named, "message": text}, "message"),
        ("addComment", {"threadId": thread, **named, "authorName": text}, "authorName"),
        ("editComment", {"commentId": comment, "message": text}, "message"),
    ):  # fmt: skip
        error = await host.guest.refused(change, **values)
        assert (error["field"], error["code"]) == (field, "BLANK"), values


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("character", "kind"),
    [("\x07", "a control"), ("\n", "a control"), ("\u2028", "a control"),
     ("\u202e", "a bidirectional control"), ("\u2066", "a bidirectional control")],
    ids=ascii,
)  # fmt: skip
async def test_control_in_line_is_refused_and_named(
    database: Database, character: str, kind: str
) -> None:
    host = Host(database, **GUESTS)
    thread = await host.guest.thread("Engines")
    text = f"Ada{character}Grace"
    named = {"threadId": thread, "message": text}
    for change, values, field in (
        ("createThread", {"title": text}, "title"),
        ("renameThread", {"threadId": thread, "title": text}, "title"),
        ("addComment", {**named, "authorName": text}, "authorName"),
    ):
        assert await host.guest.refused(change, **values) == {
            "message": f"This has {kind} character (U+{ord(character):04X}); remove it.",
            "field": field,
            "code": "INVALID_CHARACTERS",
        }
    added = await host.guest.do("addComment", "comment { message }", **named, authorName="Ada")
    assert added["comment"]["message"] == text  # a message has lines, and is kept as it is


async def test_python_functions_apply_same_rules(database: Database) -> None:
    host = Host(database)
    access = host.discussion.access_as_host()

    async def work(unit: UnitOfWork) -> None:
        created = await create_thread(unit, access, "Engines")
        id = created.thread["id"]
        for text in ("\u200b", "A\u202eda"):
            new = NewComment("one two", text)
            for attempt in (
                create_thread(unit, access, text),
                rename_thread(unit, access, id, text),
                add_comment(unit, access, id, new),
                create_thread(unit, access, "A", new),
            ):
                with pytest.raises(InvalidText):
                    await attempt
        with pytest.raises(InvalidText, match=r"^message: This is empty"):
            await add_comment(unit, access, id, NewComment("\ufeff", "Ada"))

    await host.discussion.write(work)


@pytest.mark.parametrize("name", ["\u200b", "\u3164", "A\u202eda", "A\u2028da", "A\nda"], ids=ascii)
def test_viewers_name_is_held_to_same_rule(name: str) -> None:
    with pytest.raises(ConfigurationError, match="The viewer's name has") as refused:
        Viewer("7", name)
    assert name not in str(refused.value)
    assert Viewer("7", f"علی{ZWNJ}رضا").name is not None


async def test_similar_names_are_found_as_one(database: Database) -> None:
    host = Host(database, settings={"guests": "write"})
    thread = await host.guest.thread("Engines")
    written = {
        "Ada": ["Ada", "A\u200bda", "\u200dAda\u00ad", "Ada\ufeff"],
        "علیرضا": [f"علی{ZWNJ}رضا", "علیرضا"],
        "Zoë": ["Zo\u00eb", "Zoe\u0308", "Zo\u00eb\ufe0f"],
        "ada": ["ada"],
        "Ad\u0430": ["Ad\u0430"],  # a Cyrillic letter
    }
    for name in itertools.chain(*written.values()):
        await host.guest.do(
            "addComment", "comment { id }", threadId=thread, message="one", authorName=name
        )
    for names in written.values():
        for name in names:
            result = (await host.bob(COMMENTS, id=thread, by={"authorName": name}))["comments"]
            assert result["totalCount"] == len(names)
            # Joiners are kept, as they are part of how a name is written.
            assert [item["authorName"] for item in result["nodes"]] == names
    await host.assert_exact()


async def test_python_filter_finds_similar_names(database: Database) -> None:
    host = Host(database)

    async def write(unit: UnitOfWork) -> Any:
        comments = [Comment(author_name=name, message="one") for name in ("A\u200bda", "Ada", "Al")]
        thread = Thread(title="Engines", comments=comments)
        unit.session.add(thread)
        await unit.session.flush()
        return thread.id

    id = await host.discussion.write(write)
    by = CommentFilter(author_name="Ad\u00ada")
    async with database.read() as connection:
        page = await read_comments(
            connection, host.discussion.access(ADA), id, first=5, filter_by=by
        )
    assert page is not None
    assert [item.author_name for item in page.nodes] == ["A\u200bda", "Ada"]


async def test_name_key_follows_name(database: Database) -> None:
    """In memory, in a flush, and in a statement that inserts."""

    async def write(unit: UnitOfWork) -> None:
        thread = Thread(title="Engines", comments=[Comment(author_name="A\u200bda", message="a b")])
        unit.session.add(thread)
        await unit.session.flush()
        (comment,) = thread.comments
        assert comment.author_name_key == "Ada"
        comment.author_name = "Grace\ufeff"
        unit.session.add(Comment(thread=thread, message="c d e"))
        await unit.session.flush()
        row = {"id": new_id(), "thread_id": thread.id, "message": "f", "word_count": 1}
        await unit.session.execute(insert(Comment).values(**row, author_name="\u2060Bob"))

    await database.write(write)
    async with database.read() as connection:
        query = select(Comment.author_name_key).order_by(Comment.word_count)
        assert (await connection.scalars(query)).all() == ["Bob", "Grace", None]


async def test_title_is_found_despite_invisible_characters(database: Database) -> None:
    host = Host(database)
    await host.ada.thread("Dampf\u00admaschinen")
    await host.ada.thread("Looms")
    query = """query($text: String!) { threads(filterBy: {titleContains: $text}) {
                 nodes { title } } }"""
    for text, titles in (
        ("dampfmaschine", ["Dampf\u00admaschinen"]),
        ("FM\u200bASCH", ["Dampf\u00admaschinen"]),
        ("", ["Looms", "Dampf\u00admaschinen"]),
        (" \u200b", ["Looms", "Dampf\u00admaschinen"]),
    ):
        result = (await host.bob(query, text=text))["nodes"]
        assert [item["title"] for item in result] == titles, ascii(text)


async def test_empty_name_in_filter_filters_nothing(database: Database) -> None:
    host = Host(database, settings={"guests": "write"})
    thread = await host.guest.thread("Engines")
    for name in ("Ada", "Bob", "Cy"):
        await host.guest.do(
            "addComment", "comment { id }", threadId=thread, message="one", authorName=name
        )
    for name in ("", "  ", "\u3164"):
        result = await host.guest(COMMENTS, id=thread, by={"authorName": name})
        assert result["comments"]["totalCount"] == 3


async def test_hosts_title_becomes_one_line(database: Database) -> None:
    """A host's object may be called whatever it likes; its thread can be begun all the same."""

    async def titles(_: object, ids: Sequence[str]) -> dict[str, str]:
        return {id: {"1": "Two\r\nlines\u202e", "2": "\u200b"}[id] for id in ids}

    host = Host(database, targets=[Target("article", titles)])
    for id, title in (("1", "Two lines"), ("2", "article 2")):
        created = await host.ada.do("threadFor", "thread { title }", **about("article", id))
        assert created["thread"]["title"] == title
