"""The checks of comments: what they publish, hold back and refuse, and what they cost."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import HTTPConnection
from support.host import MODERATOR, Host, get_viewer, key
from support.reply_trees import assert_sound, read_values
from support.rows import count_rows, fetch, find_drifts
from support.shared_units import Shared, store_threads

from tallied.auth.viewer import Viewer
from tallied.database import Database, UnitOfWork
from tallied.discussion import Discussion
from tallied.errors import ConfigurationError, Vetoed
from tallied.host.access import HostRules
from tallied.host.comment_checks import CheckedComment, CommentCheck
from tallied.host.standard_checks import LinkLimit, WordList, standard_checks
from tallied.models import Comment, ModerationEntry, Quota
from tallied.models.base import now
from tallied.resolvers.comments import add_comment, edit_comment
from tallied.resolvers.new_comment import NewComment
from tallied.resolvers.purge import purge_quotas
from tallied.settings import Settings

ADDED = "comment { id status isPublished pendingReason } thread { commentCount lastSeq }"
QUEUE = "{ moderationQueue { totalCount nodes { id pendingReason thread { pendingCount } } } }"
OWN = "query($t: ID!) { thread(id: $t) { viewerPendingComments { id status message } } }"
LINKS = "See http://a.example and [b](https://b.example)"
SWITCHED_ON: dict[str, Any] = {
    "link_limit": 2,
    "blocked_words": "casino, cheap watch*",
    "first_comments": 1,
    "repeat_time": 60,
    "comment_rate": 3,
}


def held(database: Database, **settings: Any) -> Host:
    return Host(database, settings={"guests": "write", **settings})


async def read_log(database: Database) -> list[tuple[Any, ...]]:
    columns = (ModerationEntry.former_status, ModerationEntry.status, ModerationEntry.reason)
    return await fetch(database, select(*columns).order_by(ModerationEntry.created_at))


async def test_erased_author_leaves_nothing_in_checks(database: Database) -> None:
    host = held(database, blocked_words="treasure*", comment_rate=9, repeat_time=60)
    added = await host.ada.do(
        "addComment",
        "comment { author { id } }",
        threadId=await host.moderator.thread("Engines"),
        message="Treasure4711",
    )
    author = added["comment"]["author"]["id"]
    digest = hashlib.sha256(b"treasure4711").hexdigest()
    traces = {digest, str(key(author)), "Treasure4711"}
    assert traces <= await read_values(database)
    await host.moderator.do(
        "deleteAuthor", "deletedAuthorId", authorId=author, comments="TOMBSTONE"
    )
    values = " ".join(await read_values(database)).lower()
    for trace in (*traces, key(author).hex):
        assert trace.lower() not in values, trace
    assert await read_log(database) == [(None, "pending", "words: treasure*")]


async def publish(host: Host, *ids: str) -> None:
    await host.moderator.do("moderateComments", "comments { id }", ids=ids, to="PUBLISHED")


async def end_quotas(database: Database) -> None:
    ended = update(Quota).values(ends_at=now())
    await database.write(lambda unit: unit.session.execute(ended))


async def test_held_comment_waits_for_a_moderator(database: Database) -> None:
    host = held(database, link_limit=2, blocked_words="casino, cheap watch*", first_comments=1)
    thread = await host.moderator.thread("Engines")
    message = f"{LINKS}\nCA\u200bSINO, cheap watches!"
    added = await host.ada.do("addComment", ADDED, threadId=thread, message=message)
    first = added["comment"]["id"]
    assert added == {
        "comment": {"id": first, "status": "PENDING", "isPublished": False, "pendingReason": None},
        "thread": {"commentCount": 0, "lastSeq": 0},
    }
    reason = "2 links; words: casino, cheap watch*; published comments: 0"
    own = [{"id": first, "status": "PENDING", "message": message}]
    for client, pending in ((host.ada, own), (host.bob, []), (host.guest, [])):
        assert (await client(OWN, t=thread))["viewerPendingComments"] == pending
    queue = await host.moderator(QUEUE)
    node = {"id": first, "pendingReason": reason, "thread": {"pendingCount": 1}}
    assert queue == {"totalCount": 1, "nodes": [node]}
    assert await read_log(database) == [(None, "pending", reason)]
    await publish(host, first)
    after = await host.guest("query($t: ID!) { thread(id: $t) { lastSeq commentCount } }", t=thread)
    assert after == {"lastSeq": 1, "commentCount": 1}
    reply = {"threadId": thread, "message": "Wolves", "replyToId": first}
    for message, status in (("Wolves", "PUBLISHED"), (f"{LINKS}!", "PENDING")):
        added = await host.ada.do("addComment", ADDED, **{**reply, "message": message})
        assert added["comment"]["isPublished"] is (status == "PUBLISHED")
    guest = await host.guest.do("addComment", ADDED, authorName="Gast", **reply)
    assert guest["comment"]["status"] == "PENDING"
    moderated = await host.moderator.do("addComment", ADDED, threadId=thread, message=LINKS)
    assert moderated["comment"]["status"] == "PUBLISHED"
    started = await host.ada.do(
        "createThread", "thread { commentCount }", title="New", comment={"message": LINKS}
    )
    assert started["thread"]["commentCount"] == 0
    await assert_sound(database)


async def test_edit_is_checked_again(database: Database) -> None:
    host = held(database, link_limit=2)
    thread = await host.bob.thread("Engines")
    edited, answered = [await host.ada.comment(thread, "harmless") for _ in range(2)]
    await host.bob.do(
        "addComment", "comment { id }", threadId=thread, message="Yes", replyToId=answered
    )
    for comment in (edited, answered):
        change = await host.ada.do("editComment", ADDED, commentId=comment, message=LINKS)
        assert change["comment"]["isPublished"] is False
    assert change["thread"]["commentCount"] == 1
    queue = await host.moderator(QUEUE)
    assert [node["pendingReason"] for node in queue["nodes"]] == ["2 links"] * 2
    change = await host.ada.do("editComment", ADDED, commentId=edited, message="harmless")
    assert change["comment"]["isPublished"] is False, "a moderator is to decide"
    assert await read_log(database) == [("published", "pending", "2 links")] * 2
    await publish(host, edited, answered)
    listed = "query($c: ID!) { comment(id: $c) { message pendingReason } }"
    stored = [await host.moderator(listed, c=comment) for comment in (edited, answered)]
    messages = ("harmless", LINKS)
    assert stored == [{"message": message, "pendingReason": None} for message in messages]
    await assert_sound(database)


async def test_repetition_and_rate_are_refused(database: Database) -> None:
    host = held(database, repeat_time=60, comment_rate=3)
    thread = await host.bob.thread("Engines")
    first = await host.ada.comment(thread, "Wolves  howl")
    again = {"threadId": thread, "message": "wolves HOWL"}
    error = await host.ada.refused("addComment", **again)
    assert (error["code"], error["field"]) == ("REPEATED_TEXT", "message")
    await host.bob.do("addComment", ADDED, **again)
    for message in ("Wolves howl?", "Wolves howl"):
        await host.ada.do("editComment", ADDED, commentId=first, message=message)
    second = await host.ada.comment(thread, "Owls")
    error = await host.ada.refused("editComment", commentId=second, message="Wolves howl")
    assert error["code"] == "REPEATED_TEXT"
    await host.ada.comment(thread, "Foxes")
    document = """mutation($i: AddCommentInput!) { addComment(input: $i) {
      userErrors { code field message params { seconds } } } }"""
    for client in (host.ada, host.guest):
        names = {} if client is host.ada else {"authorName": "Gast"}
        for number in range(0 if client is host.ada else 3):
            await client.do("addComment", ADDED, threadId=thread, message=f"{number}", **names)
        payload = await client(document, i={"threadId": thread, "message": "Cats", **names})
        (error,) = payload["userErrors"]
        wait = error["params"]["seconds"]
        assert (error["code"], error["field"]) == ("RATE_LIMITED", None)
        assert 50 < wait <= 60
        assert str(wait) in error["message"]
    await end_quotas(database)
    await host.ada.do("addComment", ADDED, **again)
    quotas = await count_rows(database, Quota)
    assert await purge_quotas(database, batch_size=2) == quotas - 2
    assert await purge_quotas(database) == 0
    await assert_sound(database)


async def test_comments_at_once_do_not_exceed_the_rate(database: Database) -> None:
    host = held(database, comment_rate=3)
    await host.ada.comment(await host.moderator.thread("First"), "one")
    threads = [await host.moderator.thread(f"Engines {n}") for n in range(6)]
    document = """mutation($i: AddCommentInput!) { addComment(input: $i) {
      userErrors { code } } }"""
    payloads = await asyncio.gather(
        *(host.ada(document, i={"threadId": id, "message": id[-9:]}) for id in threads)
    )
    errors = [error["code"] for payload in payloads for error in payload["userErrors"]]
    assert errors == ["RATE_LIMITED"] * 4
    await assert_sound(database)


async def test_shared_comments_are_checked(database: Database) -> None:
    checks = (LinkLimit(1), WordList("casino"))
    shared = Shared(database, HostRules(guests="write", comment_checks=checks))
    threads = await store_threads(database, 2)
    messages = ["one", "www.a.example", "two words", "casino", "three", "www.b.example"]
    drafts = [shared.draft(threads[0], message) for message in messages]
    assert all(draft.may_share for draft in drafts)
    results = await shared.add(shared.draft(threads[1], "first"), *drafts)
    assert shared.work.sizes == [6]
    shown = [result.comment["status"] == "published" for result in results[1:]]
    assert shown == [True, False, True, False, True, False]
    names = ("comment_count", "word_count", "pending_count", "last_seq")
    threads_after = [tuple(map(result.thread.get, names)) for result in results[1:]]
    assert threads_after == [
        (1, 1, 0, 1),
        (1, 1, 1, 1),
        (2, 3, 1, 2),
        (2, 3, 2, 2),
        (3, 4, 2, 3),
        (3, 4, 3, 3),
    ]
    last = results[5].comment["created_at"]
    latest = [row.thread["last_comment_at"] == last for row in results[1:]]
    assert latest == [False] * 4 + [True] * 2
    assert await find_drifts(database) == []


class Own(CommentCheck):
    """A check of a host."""

    async def check(self, comment: CheckedComment, session: AsyncSession) -> str | None:
        if "veto" in comment.message:
            raise Vetoed("Write something else.", field="message")
        if "wrong" in comment.message:
            return False  # type: ignore[return-value]
        stored = await session.scalar(select(Comment.id).where(Comment.id == comment.id))
        assert (stored is not None) is comment.is_edit
        return comment.message if "wait" in comment.message else None


async def test_checks_of_a_host_run_in_its_own_unit(database: Database) -> None:
    discussion = Discussion(database, get_viewer=get_viewer, comment_checks=[Own()])
    thread, *_ = await store_threads(database, 1)
    ada, other = (discussion.access(Viewer(f"user-{n}")) for n in (1, 2))

    async def write(access: Any, message: str) -> str:
        async def work(unit: UnitOfWork) -> str:
            change = await add_comment(unit, access, thread, NewComment(message))
            row = change.comment
            assert row is not None
            edited = await edit_comment(unit, access, row["id"], f"{message}!")
            assert edited.comment is not None
            return str(edited.comment["status"])

        return await discussion.write(work)

    for access in (discussion.access_as_host(), discussion.access(MODERATOR)):
        assert await write(access, "veto wait wrong") == "published"
    assert [await write(ada, "wait"), await write(other, "go")] == ["pending", "published"]
    with pytest.raises(Vetoed):
        await write(ada, "veto")
    with pytest.raises(ConfigurationError, match="Own"):
        await write(ada, "wrong")
    for checks in (Own, [Own], [print]):
        with pytest.raises(ConfigurationError, match="comment_checks"):
            Discussion(database, comment_checks=checks)  # type: ignore[arg-type]


async def test_statements_of_each_check(database: Database, statements: Any) -> None:
    thread, *_ = await store_threads(database, 1)
    costs: dict[str, list[str]] = {}
    for name in ("", *SWITCHED_ON):
        settings = Settings(**({name: SWITCHED_ON[name]} if name else {}))
        discussion = Discussion(database, settings=settings, get_viewer=get_viewer)
        access = discussion.access(Viewer("user-1"))
        new = NewComment(name or "x")

        async def work(unit: UnitOfWork) -> Any:
            return await add_comment(unit, access, thread, new)  # noqa: B023

        for _ in range(2):
            await end_quotas(database)
            with statements() as executed:
                await discussion.write(work)
        costs[name] = executed.verbs
    plain = costs.pop("")
    more = {name: [verb for verb in verbs if verb not in plain] for name, verbs in costs.items()}
    assert {name: len(verbs) - len(plain) for name, verbs in costs.items()} == {
        "link_limit": 0,
        "blocked_words": 0,
        "first_comments": 1,
        "repeat_time": 1,
        "comment_rate": 1,
    }
    assert more["repeat_time"] == more["comment_rate"] == ["INSERT tallied_quota"]


async def test_guests_of_one_network_share_a_quota() -> None:
    def subject(host: str | None) -> str | None:
        scope = {"type": "http", "client": None if host is None else (host, 1)}
        request = HTTPConnection(scope)
        values: Any = {**dict.fromkeys(CheckedComment._fields), "request": request}
        return CheckedComment(**values).subject

    assert subject("192.0.2.1") == subject("192.0.2.99") == subject("::ffff:192.0.2.7")
    assert subject("2001:db8::1") == subject("2001:db8::ffff:1") != subject("2001:db8:1::1")
    assert subject("192.0.2.1") not in (subject("192.0.3.1"), None)
    assert subject(None) is None


def test_settings_switch_checks_on_in_order() -> None:
    names = [type(check).__name__ for check in standard_checks(Settings(**SWITCHED_ON))]
    assert names == ["LinkLimit", "WordList", "FirstComments", "Repetition", "CommentRate"]
    assert standard_checks(Settings()) == ()
