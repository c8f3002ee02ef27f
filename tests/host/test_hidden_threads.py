"""Threads that a policy hides are missing to the viewer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from sqlalchemy import ColumnElement, exists
from sqlalchemy.ext.asyncio import AsyncSession
from support.host import ADA, MODERATOR, Client, Discreet, Host, key, numbered_titles

from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.host.policy import Policy
from tallied.host.targets import Target
from tallied.models import Author, Comment, Reaction, Thread
from tallied.models.base import new_id
from tallied.resolvers import views
from tallied.schema.ids import encode_id

NOBODY = encode_id("Thread", new_id())
NO_COMMENT = encode_id("Comment", new_id())


ARTICLES = Target("article", numbered_titles)


class Generous(Discreet):
    """Everyone may do everything with the threads that they can read."""

    def owns(self, viewer: Viewer | None, row: Any) -> bool:
        return True

    def may_lock(self, viewer: Viewer | None, thread: Any) -> bool:
        return True

    may_move = may_delete_thread = may_lock


@pytest.fixture
def host(database: Database) -> Host:
    options = {"settings": {"guests": "write"}, "targets": [ARTICLES]}
    return Host(database, policy=Generous(), **options)


READ = [
    "thread(id: $t) { id title }",
    "thread(id: $t) { comments(first: 5) { totalCount } }",
    "comment(id: $c) { message }",
    "comment(id: $c) { thread { title } }",
    "comment(id: $c) { viewerCanEdit authorName }",
    "node(id: $t) { id }",
    "node(id: $c) { id }",
    "nodes(ids: [$t, $c]) { id ... on Comment { thread { id } } }",
]


async def test_hidden_thread_reads_as_missing(host: Host) -> None:
    thread = await host.moderator.thread("Secret plans", "one two")
    comment = await host.moderator.comment(thread, "three")
    for client in (host.guest, host.ada):
        for selection in READ:
            variables = ", ".join(f"${name}: ID!" for name in "tc" if f"${name}" in selection)
            query = f"query({variables}) {{ {selection} }}"
            hidden = await client.post(query, t=thread, c=comment)
            never = await client.post(query, t=NOBODY, c=NO_COMMENT)
            assert hidden == never, query
            visible_answer = await host.moderator(query, t=thread, c=comment)
            assert visible_answer not in (None, [None, None])


async def test_hidden_thread_is_in_no_list(host: Host) -> None:
    visible = []
    for number in range(4):
        visible.append(await host.ada.thread(f"Engines {number}", "one"))
        await host.moderator.thread(f"Secret {number}", "one")
    query = """query($f: Int, $l: Int, $a: String, $b: String, $filter: ThreadFilter) {
      threads(first: $f, last: $l, after: $a, before: $b, filterBy: $filter,
              orderBy: {field: CREATED_AT, direction: ASC}) {
        totalCount nodes { id comments(first: 1) { nodes { id } } }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""

    async def walk(client: Client, size: str, place: str, end: str, more: str) -> list[str]:
        result: list[str] = []
        variables: dict[str, Any] = {size: 1}
        while True:
            page = await client(query, **variables)
            assert page["totalCount"] == 4
            result += [node["id"] for node in page["nodes"]]
            if not page["pageInfo"][more]:
                return result
            variables[place] = page["pageInfo"][end]

    for client in (host.guest, host.ada):
        assert await walk(client, "f", "a", "endCursor", "hasNextPage") == visible
        backwards = await walk(client, "l", "b", "startCursor", "hasPreviousPage")
        assert backwards == visible[::-1]
        result = await client(query, f=9, filter={"titleContains": "secret"})
        assert (result["totalCount"], result["nodes"]) == (0, [])
    assert (await host.moderator(query, f=9))["totalCount"] == 8
    # A cursor of a moderator's leads a guest no further: what lies around it is hidden still.
    last = (await host.moderator(query, l=1))["pageInfo"]["startCursor"]
    page = await host.guest(query, l=9, b=last)
    assert [node["id"] for node in page["nodes"]] == visible
    assert page["pageInfo"]["hasNextPage"] is False


async def test_mutations_treat_hidden_thread_as_missing(host: Host) -> None:
    thread = await host.moderator.thread("Secret plans", "one two")
    comment = await host.moderator.comment(thread, "three")
    for client in (host.guest, host.ada):
        open_thread = await client.thread("Engines")
        own = await client.comment(open_thread)
        for change, hidden, never in (
            ("renameThread", {"threadId": thread, "title": "A"}, {"threadId": NOBODY}),
            ("lockThread", {"threadId": thread}, {"threadId": NOBODY}),
            ("unlockThread", {"threadId": thread}, {"threadId": NOBODY}),
            ("deleteThread", {"threadId": thread}, {"threadId": NOBODY}),
            ("addComment", client.written(thread), {"threadId": NOBODY}),
            ("editComment", {"commentId": comment, "message": "A"}, {"commentId": NO_COMMENT}),
            ("deleteComment", {"commentId": comment}, {"commentId": NO_COMMENT}),
            ("restoreComment", {"commentId": comment}, {"commentId": NO_COMMENT}),
            (
                "moveComment",
                {"commentId": comment, "threadId": open_thread},
                {"commentId": NO_COMMENT},
            ),
            ("moveComment", {"commentId": own, "threadId": thread}, {"threadId": NOBODY}),
        ):
            error = await client.refused(change, **hidden)
            assert error["code"] == "NOT_FOUND"
            assert error == await client.refused(change, **{**hidden, **never}), change


async def test_hidden_thread_of_target_is_not_found(host: Host) -> None:
    async def secret(_: AsyncSession, ids: Sequence[str]) -> Mapping[str, str]:
        return {id: "Secret draft" for id in ids if id == "1"}

    drafts = Host(
        host.database,
        policy=Generous(),
        settings={"guests": "write"},
        targets=[Target("draft", secret)],
    )
    created = await drafts.moderator.do(
        "threadFor", "thread { id title }", target={"type": "draft", "key": "1"}
    )
    assert created["thread"]["title"] == "Secret draft"
    query = 'query($id: String!) { threadFor(target: {type: "draft", key: $id}) { title } }'
    assert await drafts.ada(query, id="1") is None
    assert await drafts.moderator(query, id="1") == {"title": "Secret draft"}
    for client in (drafts.ada, drafts.guest):
        errors = [
            await client.refused("threadFor", target={"type": "draft", "key": id})
            for id in ("1", "2")
        ]
        assert errors[0] == errors[1]
        assert (errors[0]["code"], errors[0]["field"]) == ("NOT_FOUND", "target.key")
    # A viewer cannot create a thread that they could not read, either.
    await drafts.moderator.do("deleteThread", "deletedThreadId", threadId=created["thread"]["id"])
    error = await drafts.ada.refused("threadFor", target={"type": "draft", "key": "1"})
    assert error == errors[0]


async def test_guests_get_same_error_for_hidden_thread(database: Database) -> None:
    class Closed(Policy):
        def may_read(self, viewer: Viewer | None, thread: type[Thread]) -> bool:
            return viewer is not None

    host = Host(database, policy=Closed(), targets=[ARTICLES])
    await host.ada.do("threadFor", "thread { id }", target={"type": "article", "key": "1"})
    errors = [
        await host.guest.refused("threadFor", target={"type": "article", "key": id})
        for id in ("1", "2", "none")
    ]
    assert errors[0] == errors[1] == errors[2]
    assert errors[0]["code"] == "SIGN_IN_REQUIRED"
    assert await host.guest("{ threads(first: 5) { totalCount nodes { id } } }") == {
        "totalCount": 0,
        "nodes": [],
    }


async def test_numbers_of_author_leave_out_hidden_threads(host: Host) -> None:
    open_thread, secret = [await host.moderator.thread(name) for name in ("Open", "Secret plans")]
    comment = await host.ada.comment(open_thread, "one two")
    everywhere = Host(host.database, settings={"guests": "write"})
    await everywhere.ada.comment(secret, "three four five")
    await everywhere.moderator.comment(secret, "six")
    await everywhere.moderator.do("addReaction", "comment { id }", commentId=comment, kind="like")
    numbers = "author { commentCount wordCount }"
    query = f"""query($c: ID!) {{ comment(id: $c) {{ {numbers} reactors {{ {numbers} }} }}
      viewer {{ {numbers} }} }}"""
    of_ada, of_all = (
        {"author": {"commentCount": count, "wordCount": words}} for count, words in ((1, 2), (2, 5))
    )
    of_max = [{"author": {"commentCount": count, "wordCount": count}} for count in (0, 1)]
    for _ in range(2):  # by graphql-core, and then by a plan
        for client, viewer in ((host.guest, None), (host.ada, of_ada)):
            read = await client(query, c=comment)
            assert read == {"comment": {**of_ada, "reactors": of_max[:1]}, "viewer": viewer}
        read = await host.moderator(query, c=comment)
        assert read == {"comment": {**of_all, "reactors": of_max[1:]}, "viewer": of_max[1]}
        added = await host.ada.do(
            "editComment", f"comment {{ {numbers} }}", commentId=comment, message="two three"
        )
        assert added["comment"] == of_ada
    for viewer, counts in ((ADA, (1, 2)), (MODERATOR, (2, 5))):
        async with host.database.read() as connection:
            access = host.discussion.access(viewer)
            history = await views.read_history(connection, access, [key(comment)])
        editors = [row.editor for row in history[key(comment)]]
        assert [(row["comment_count"], row["word_count"]) for row in editors if row] == [counts] * 2
    await host.assert_exact()


class Private(Policy):
    """Everyone reads what they have begun themselves, by their author's key."""

    def may_read(self, viewer: Viewer | None, thread: type[Thread]) -> bool | ColumnElement[bool]:
        if viewer is None or viewer.author_id is None:
            return False
        return thread.author_id == viewer.author_id


async def test_policy_by_author_applies_everywhere(database: Database) -> None:
    host = Host(database, policy=Private())
    created = await host.ada.do(
        "createThread", "thread { id }", title="Diary", comment={"message": "one two"}
    )
    thread = created["thread"]["id"]
    comment = await host.ada.comment(thread, "three")
    query = """query($t: ID!, $c: ID!) { thread(id: $t) { title } comment(id: $c) { message }
                 node(id: $t) { id } threads(first: 5) { totalCount } }"""
    of_ada = await host.ada(query, t=thread, c=comment)
    assert of_ada == {
        "thread": {"title": "Diary"},
        "comment": {"message": "three"},
        "node": {"id": thread},
        "threads": {"totalCount": 1},
    }
    for client in (host.bob, host.guest, host.moderator):
        result = await client(query, t=thread, c=comment)
        assert result == {
            "thread": None,
            "comment": None,
            "node": None,
            "threads": {"totalCount": 0},
        }
    assert (await host.bob.refused("addComment", threadId=thread, message="a"))["code"] == (
        "NOT_FOUND"
    )
    await host.assert_exact()


async def test_request_uses_author_of_its_first_change(database: Database) -> None:
    """What was found out before the first change of a request is not kept for the next."""
    host = Host(database, policy=Private())
    answer = await host.ada(
        """mutation { a: createThread(input: {title: "Diary"}) { thread { id comments(first: 1) {
             totalCount } } } b: createThread(input: {title: "Notes"}) { thread { title
             viewerCanRename author { name } } } }"""
    )
    assert answer["b"]["thread"] == {
        "title": "Notes",
        "viewerCanRename": True,
        "author": {"name": "Ada"},
    }


class Welcoming(Generous):
    """A thread is there if a comment of an author welcomes, and nobody has reacted with a sad.

    Its condition looks at all the tables that statements about comments have as well.
    """

    def may_read(self, viewer: Viewer | None, thread: type[Thread]) -> ColumnElement[bool]:
        is_inside = Comment.thread_id == thread.id
        welcomes = exists().where(
            is_inside, Comment.message.contains("welcome"), Author.id == Comment.author_id
        )
        return welcomes & ~exists().where(
            is_inside, Reaction.comment_id == Comment.id, Reaction.kind == "sad"
        )


async def test_condition_may_look_at_comments(database: Database) -> None:
    host = Host(database, policy=Welcoming(), settings={"guests": "write"})
    everything = Host(database).moderator
    thread, hidden, sad = [await everything.thread(name) for name in ("Open", "Shut", "Sad")]
    for id in (thread, sad):
        await everything.comment(id, "welcome")
    comments = {id: await everything.comment(id, "second") for id in (thread, hidden, sad)}
    await everything.do("addReaction", "comment { id }", commentId=comments[sad], kind="sad")

    max_ = host.moderator
    query = """query($t: ID!, $c: ID!) { thread(id: $t) { title comments { totalCount } }
      comment(id: $c) { message thread { title } } nodes(ids: [$t, $c]) { id }
      found: threads(filterBy: {titleContains: "ope"}) { totalCount nodes { title } }
      threads(first: 1, orderBy: {field: CREATED_AT, direction: ASC}) { totalCount
        pageInfo { hasNextPage } nodes { id comments { nodes { author { name } } } } } }"""
    for _ in range(2):  # by graphql-core, and then by a plan
        read = await max_(query, t=thread, c=comments[thread])
        assert read["thread"] == {"title": "Open", "comments": {"totalCount": 2}}
        assert read["comment"] == {"message": "second", "thread": {"title": "Open"}}
        assert read["threads"]["totalCount"] == read["found"]["totalCount"] == 1
        assert not read["threads"]["pageInfo"]["hasNextPage"]
    for id in (hidden, sad):
        read = await max_(query, t=id, c=comments[id])
        assert (read["thread"], read["comment"], read["nodes"]) == (None, None, [None, None])
    spam = await everything.comment(thread, "fourth")
    for status in ("SPAM", "PUBLISHED"):
        change = {"ids": [spam], "to": status}
        await max_.do("moderateComments", "comments { thread { title } }", **change)
    for change, values in (
        ("editComment", {"message": "third"}),
        ("flagComment", {"reason": "SPAM"}),
        ("addReaction", {"kind": "heart"}),
        ("removeReaction", {"kind": "heart"}),
        ("moveComment", {"threadId": thread}),
        ("addComment", {"threadId": thread, "message": "fifth"}),
        ("deleteComment", {}),
    ):
        id = {} if change == "addComment" else {"commentId": comments[thread]}
        await max_.do(change, "comment { id }", **values, **id)
        if change in ("editComment", "addReaction"):
            error = await max_.refused(change, **{**values, "commentId": comments[hidden]})
            assert error["code"] == "NOT_FOUND"
    queue = await max_("{ moderationQueue { totalCount nodes { message } } }")
    assert queue == {"totalCount": 0, "nodes": []}
    await max_.do("markRead", "thread { title }", threadId=thread)
    await max_.do("renameThread", "thread { title }", threadId=thread, title="Opened")
    await max_.do("deleteThread", "deletedThreadId", threadId=thread)
