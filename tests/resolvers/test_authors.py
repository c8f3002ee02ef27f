"""Authors: one row for each identity that has written something, with counters."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import insert, select
from support.api import mutation
from support.host import Client, Gate, Host, key, run_behind
from support.rows import count_rows, fetch_value, store

from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.models import Author, Comment, Thread

ME = "{ viewer { name isModerator author { id name commentCount wordCount createdAt } } }"


@pytest.fixture
def host(database: Database) -> Host:
    return Host(database, settings={"guests": "write"}, deleted_author=lambda: "(deleted)")


async def me(client: Client) -> Any:
    return (await client(ME))["author"]


async def test_author_is_created_by_first_comment(host: Host) -> None:
    thread = await host.moderator.thread("Engines")
    assert await host.ada(ME) == {"name": "Ada", "isModerator": False, "author": None}
    await host.ada("query($id: ID!) { thread(id: $id) { viewerCanComment } }", id=thread)
    assert set(await host.authors()) == {"user-9"}
    await host.ada.comment(thread, "one two three")
    assert (await host.authors())["user-1"] == ("Ada", 1, 3)
    first = await me(host.ada)
    await host.ada.comment(thread, "four")
    again = await me(host.ada)
    assert again == {**first, "commentCount": 2, "wordCount": 4}
    assert await host.guest("{ viewer { name } }") is None
    await host.assert_exact()


async def test_thread_and_first_comment_have_viewer_as_author(host: Host) -> None:
    created = await host.ada.do(
        "createThread",
        "thread { author { name } } comment { author { name } authorName }",
        title="Engines",
        comment={"message": "one two"},
    )
    assert created == {
        "thread": {"author": {"name": "Ada"}},
        "comment": {"author": {"name": "Ada"}, "authorName": "Ada"},
    }
    assert await host.authors() == {"user-1": ("Ada", 1, 2)}
    await host.assert_exact()


async def test_guest_has_name_and_no_author(host: Host) -> None:
    thread = await host.ada.thread("Engines")
    added = await host.guest.do(
        "addComment",
        "comment { author { id } authorName }",
        threadId=thread,
        message="one two",
        authorName="Gast",
    )
    assert added == {"comment": {"author": None, "authorName": "Gast"}}
    assert await host.authors() == {"user-1": ("Ada", 0, 0)}


async def test_name_of_signed_in_viewer_is_refused(host: Host) -> None:
    thread = await host.ada.thread("Engines")
    error = await host.ada.refused("addComment", threadId=thread, message="one", authorName="Bob")
    assert (error["code"], error["field"]) == ("NOT_ALLOWED", "authorName")
    assert "leave this out" in error["message"]
    comment = {"message": "one", "authorName": "Bob"}
    error = await host.ada.refused("createThread", title="Looms", comment=comment)
    assert (error["code"], error["field"]) == ("NOT_ALLOWED", "comment.authorName")
    error = await host.guest.refused("addComment", threadId=thread, message="one")
    assert (error["code"], error["field"]) == ("BLANK", "authorName")


async def test_display_name_follows_host(host: Host) -> None:
    thread = await host.ada.thread("Engines")
    id = await host.ada.comment(thread)
    name = "query($id: ID!) { comment(id: $id) { authorName author { name } } }"
    renamed = host.client(Viewer("user-1", "Countess Lovelace"))
    assert (await renamed(name, id=id))["authorName"] == "Ada"  # until they write again
    await renamed.comment(thread)
    assert await host.guest(name, id=id) == {
        "authorName": "Countess Lovelace",
        "author": {"name": "Countess Lovelace"},
    }
    await host.client(Viewer("user-1")).comment(thread)  # who knows no name, changes none
    assert (await host.authors())["user-1"] == ("Countess Lovelace", 3, 9)
    nameless = host.client(Viewer("user-3"))
    id = await nameless.comment(thread)
    assert await host.guest(name, id=id) == {"authorName": None, "author": {"name": None}}
    await host.assert_exact()


@pytest.mark.slow
async def test_subject_is_not_in_api(host: Host) -> None:
    await host.ada.thread("Engines", "one")
    answer = await host.ada.http.post(
        "/graphql",
        json={
            "query": """{ viewer { author { id name __typename } } __type(name: "Author") {
                          fields { name } } threads(first: 1) { nodes { author { id name }
                          comments(first: 1) { nodes { authorName author { id } } } } } }"""
        },
    )
    assert "user-1" not in answer.text
    assert "subject" not in answer.text


async def test_authors_counters_are_exact_after_every_change(host: Host) -> None:
    engines, looms = await host.ada.thread("Engines"), await host.ada.thread("Looms")
    ids = [await host.ada.comment(engines, "one two three") for _ in range(3)]
    others = await host.bob.comment(engines, "four five")
    await host.guest.comment(engines, "six")
    expect = {"user-1": ("Ada", 3, 9), "user-2": ("Bob", 1, 2), "user-9": ("Max", 0, 0)}

    async def check(**changed: Any) -> None:
        expect.update(changed)
        authors = await host.authors()
        assert authors == {name: expect[name] for name in authors}
        await host.assert_exact()

    await check()
    await host.ada.do("editComment", "comment { id }", commentId=ids[0], message="one")
    await check(**{"user-1": ("Ada", 3, 7)})
    await host.moderator.do("moveComment", "comment { id }", commentId=ids[1], threadId=looms)
    await check()
    await host.moderator.do("editComment", "comment { id }", commentId=others, message="a b c d")
    await check(**{"user-2": ("Bob", 1, 4)})
    await host.ada.do("deleteComment", "comment { id }", commentId=ids[2])
    await check(**{"user-1": ("Ada", 2, 4)})
    await host.moderator.do("deleteThread", "deletedThreadId", threadId=engines)
    await check(**{"user-1": ("Ada", 1, 3), "user-2": ("Bob", 0, 0)})
    fresh = await me(host.ada)
    assert (fresh["commentCount"], fresh["wordCount"]) == (1, 3)


async def test_payloads_show_authors_new_counters(host: Host) -> None:
    selection = "comment { author { commentCount wordCount } }"
    thread = await host.ada.thread("Engines")
    added = await host.ada.do("addComment", selection + " ", threadId=thread, message="one two")
    assert added["comment"]["author"] == {"commentCount": 1, "wordCount": 2}
    id = await host.ada.comment(thread, "three")
    edited = await host.ada.do("editComment", selection, commentId=id, message="three four five")
    assert edited["comment"]["author"] == {"commentCount": 2, "wordCount": 5}
    deleted = await host.ada.do("deleteComment", selection, commentId=id)
    assert deleted["comment"]["author"] == {"commentCount": 1, "wordCount": 2}


async def test_comments_are_found_by_their_author(host: Host) -> None:
    thread = await host.ada.thread("Engines", "one", "two")
    await host.bob.comment(thread, "three")
    await host.guest.comment(thread, "four")
    author = (await me(host.ada))["id"]
    query = """query($t: ID!, $a: ID) { thread(id: $t) {
                 comments(first: 9, filterBy: {authorId: $a}) {
                   totalCount nodes { message author { id } } } } }"""
    result = (await host.guest(query, t=thread, a=author))["comments"]
    assert result["totalCount"] == 2
    assert sorted(node["message"] for node in result["nodes"]) == ["one", "two"]
    assert {node["author"]["id"] for node in result["nodes"]} == {author}
    error = await host.guest.error(query, t=thread, a=thread)
    assert (error["code"], error["field"]) == ("BAD_USER_INPUT", "filterBy.authorId")


# Deleting


async def test_comments_of_deleted_author_stay_without_name(host: Host) -> None:
    thread = await host.ada.thread("Engines", "one two")
    await host.bob.comment(thread, "three")
    await host.guest.comment(thread, "four five")
    author = (await me(host.ada))["id"]
    query = """query($id: ID!) { thread(id: $id) { commentCount wordCount lastCommentAt
                 author { name } comments(first: 9) { nodes { message authorName
                 author { name } } } } }"""
    before = await host.guest(query, id=thread)
    deleted = await host.moderator.do("deleteAuthor", "deletedAuthorId", authorId=author)
    assert deleted == {"deletedAuthorId": author}
    after = await host.guest(query, id=thread)
    counted = ("commentCount", "wordCount", "lastCommentAt")
    assert [after[name] for name in counted] == [before[name] for name in counted]
    assert (before["author"], after["author"]) == ({"name": "Ada"}, None)
    assert [(node["authorName"], node["author"]) for node in after["comments"]["nodes"]] == [
        ("(deleted)", None),
        ("Bob", {"name": "Bob"}),
        ("Gast", None),
    ]
    read = "query($id: ID!) { author(id: $id) { name } node(id: $id) { id } }"
    assert await host.guest(read, id=author) == {"author": None, "node": None}
    assert await me(host.ada) is None
    await host.assert_exact()
    again = await host.moderator.refused("deleteAuthor", authorId=author)
    assert (again["code"], again["field"]) == ("NOT_FOUND", "authorId")
    # Who writes again is someone new.
    await host.ada.comment(thread)
    assert (await me(host.ada))["id"] != author
    assert (await host.authors())["user-1"] == ("Ada", 1, 3)


async def test_deleted_author_has_no_name_by_default(database: Database) -> None:
    host = Host(database)
    thread = await host.ada.thread("Engines", "one two")
    await host.ada.do("deleteAuthor", "deletedAuthorId", authorId=(await me(host.ada))["id"])
    query = "query($id: ID!) { thread(id: $id) { comments(first: 1) { nodes { authorName } } } }"
    answer = await host.guest(query, id=thread)
    assert answer["comments"]["nodes"] == [{"authorName": None}]


@pytest.mark.slow
@pytest.mark.parametrize(("threads", "comments"), [(2, 5), (10, 10), (100, 10)])
async def test_deleting_author_costs_constant_statements(
    host: Host, statements: Any, threads: int, comments: int
) -> None:
    """An author of 1,000 comments in 100 threads is deleted by as many statements as any."""
    database = host.database
    await host.ada.thread("The first")
    author = await fetch_value(database, select(Author.id))
    for _ in range(threads):
        messages = [Comment(message="one two", author_id=author) for _ in range(comments)]
        await store(database, Thread(title="T", comments=messages, author_id=author))
    assert (await host.authors())["user-1"] == ("Ada", threads * comments, 2 * threads * comments)
    id = (await me(host.ada))["id"]
    with statements() as executed:
        await host.moderator.do("deleteAuthor", "deletedAuthorId", authorId=id)
    assert len(executed) == (9 if database.is_sqlite else 10), executed.verbs
    assert await count_rows(database, Comment, Comment.author_id.is_(None)) == threads * comments
    await host.assert_exact()


# Races


@pytest.mark.exhaustive
@pytest.mark.parametrize("veto", [False, True], ids=["the first commits", "the first goes"])
async def test_concurrent_first_comments_make_one_author(strict: Database, veto: bool) -> None:
    gate = Gate("add_comment")
    gate.veto = veto
    host = Host(strict, hooks=[gate])
    thread = await host.moderator.thread("Engines")
    adding = host.ada(
        mutation("addComment", "userErrors { code }"), i=host.ada.written(thread, "one two")
    )
    # The first has inserted the author, and has not committed.
    payload, _ = await run_behind(gate, strict, adding, host.ada.comment(thread, "three"))
    assert payload["userErrors"] == ([{"code": "VETOED"}] if veto else [])
    expect = ("Ada", 1, 1) if veto else ("Ada", 2, 3)
    assert (await host.authors())["user-1"] == expect
    await host.assert_exact()


@pytest.mark.slow
async def test_many_first_comments_make_one_author_each(strict: Database) -> None:
    host = Host(strict)
    thread = await host.moderator.thread("Engines")
    people = [host.client(Viewer(f"user-{n}", f"N{n}")) for n in range(4)]
    await asyncio.gather(*(person.comment(thread) for person in people for _ in range(5)))
    authors = await host.authors()
    assert {f"user-{n}": authors[f"user-{n}"] for n in range(4)} == {
        f"user-{n}": (f"N{n}", 5, 15) for n in range(4)
    }
    await host.assert_exact()


async def test_author_deleted_behind_comment_removes_name(strict: Database) -> None:
    gate = Gate("add_comment")
    host = Host(strict, hooks=[gate])
    thread = await host.bob.thread("Engines")
    await host.ada.thread("Looms")
    author = (await me(host.ada))["id"]
    deleting = host.moderator.do("deleteAuthor", "deletedAuthorId", authorId=author)
    id, payload = await run_behind(gate, strict, host.ada.comment(thread, "one two"), deleting)
    assert payload == {"deletedAuthorId": author}
    query = "query($id: ID!) { comment(id: $id) { message authorName author { id } } }"
    remaining = await host.guest(query, id=id)
    assert remaining == {"message": "one two", "authorName": None, "author": None}
    assert set(await host.authors()) == {"user-2"}
    await host.assert_exact()


@pytest.mark.exhaustive
@pytest.mark.parametrize("veto", [False, True], ids=["deleted", "not deleted after all"])
async def test_comment_behind_deletion_makes_new_author(strict: Database, veto: bool) -> None:
    gate = Gate("delete_author")
    gate.veto = veto
    host = Host(strict, hooks=[gate])
    thread = await host.bob.thread("Engines")
    await host.ada.thread("Looms")
    author = (await me(host.ada))["id"]
    deleting = host.moderator.post(
        mutation("deleteAuthor", "deletedAuthorId"), i={"authorId": author}
    )
    _, id = await run_behind(gate, strict, deleting, host.ada.comment(thread, "one two"))
    query = "query($id: ID!) { comment(id: $id) { authorName author { id } } }"
    written = await host.guest(query, id=id)
    assert written["authorName"] == "Ada"
    assert (written["author"]["id"] == author) is veto
    assert (await host.authors())["user-1"] == ("Ada", 1, 2)
    await host.assert_exact()


@pytest.mark.slow
async def test_authors_stay_exact_among_many_writers(host: Host) -> None:
    """Moves, edits and deletions of the same author's comments, from both sides, at once."""
    threads = [await host.ada.thread(f"Thread {n}") for n in range(3)]

    async def work(client: Client, n: int) -> None:
        id = await client.comment(threads[n % 3], "one two three")
        if n % 4 == 0:
            await host.moderator.do(
                "moveComment", "comment { id }", commentId=id, threadId=threads[(n + 1) % 3]
            )
        elif n % 4 == 1:
            await client.do("editComment", "comment { id }", commentId=id, message="one")
        elif n % 4 == 2:
            await client.do("deleteComment", "comment { id }", commentId=id)

    await asyncio.gather(*(work(client, n) for n in range(12) for client in (host.ada, host.bob)))
    await host.assert_exact()
    # Of the twelve, three are moved, three of one word, three gone, three as they were.
    assert await host.authors() == {"user-1": ("Ada", 9, 21), "user-2": ("Bob", 9, 21)}


async def test_bulk_insert_of_host_counts_for_author(host: Host) -> None:
    thread = key(await host.ada.thread("Engines"))
    author = await fetch_value(host.database, select(Author.id))
    row = {"thread_id": thread, "author_id": author, "message": "one two", "word_count": 2}
    await host.database.write(lambda unit: unit.session.execute(insert(Comment), [row] * 3))
    assert (await host.authors())["user-1"] == ("Ada", 3, 6)
    await host.assert_exact()
