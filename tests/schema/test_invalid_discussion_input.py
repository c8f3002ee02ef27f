"""Bad input about replies, moves, edits, reactions and moderation: nothing changes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from support.api import mutation
from support.bad_input import assert_clear
from support.host import Host
from support.reply_trees import add_chain

from tallied.database import Database
from tallied.models.base import new_id, now
from tallied.resolvers.purge import purge_texts
from tallied.schema.ids import encode_id


async def test_bad_input_about_comments_changes_nothing(database: Database) -> None:
    """Each has one clear sentence and a stable code, and every table is as it was before."""
    host = Host(database, settings={"reply_depth": 2, "revisions": 5})
    ada, bob, moderator = host.ada, host.bob, host.moderator
    thread, other, locked = [await bob.thread(title) for title in ("Engines", "Looms", "Mills")]
    root, child, leaf = await add_chain(ada, thread, 3)
    tombstone, purged = [(await add_chain(ada, thread, 2))[0] for _ in range(2)]
    foreign, shut = await ada.comment(other), await ada.comment(locked)
    for id in (purged, tombstone):
        await ada.do("deleteComment", "comment { id }", commentId=id)
        if id == purged:
            await purge_texts(database, now() + timedelta(seconds=1))
    await ada.do("editComment", "comment { id }", commentId=root, message="edited")
    hidden = await ada.comment(thread)
    await moderator.do("moderateComments", "comments { id }", ids=[hidden], to="SPAM")
    await moderator.do("lockThread", "thread { id }", threadId=locked)
    await ada.do("addReaction", "comment { id }", commentId=foreign, kind="heart")
    nowhere = encode_id("Comment", new_id())

    cases: list[tuple[Any, str, dict[str, Any], str, str | None]] = []
    for to in (foreign, tombstone, purged, hidden, nowhere, "nonsense", thread):
        reply = {"threadId": thread, "replyToId": to, "message": "x"}
        cases.append((bob, "addComment", reply, "NOT_FOUND", "replyToId"))
    for reply_to in ({}, {"replyToId": shut}):
        reply = {"threadId": locked, "message": "x", **reply_to}
        cases.append((bob, "addComment", reply, "LOCKED", "threadId"))
    for to, code in (
        (root, "NOT_MOVABLE"),  # below itself
        (leaf, "NOT_MOVABLE"),
        (foreign, "NOT_FOUND"),
        (tombstone, "NOT_FOUND"),
        (nowhere, "NOT_FOUND"),
    ):
        move = {"commentId": root, "threadId": thread, "replyToId": to}
        cases.append((moderator, "moveComment", move, code, "replyToId"))
    closed = {"commentId": child, "threadId": locked, "replyToId": shut}
    too_deep = {"commentId": root, "threadId": other, "replyToId": foreign}
    cases += [
        (moderator, "moveComment", too_deep, "NOT_MOVABLE", "replyToId"),
        (moderator, "moveComment", closed, "LOCKED", "threadId"),
    ]
    for revision in (0, 1, 3, -1):
        edit = {"commentId": root, "message": "y", "expectedRevision": revision}
        cases.append((ada, "editComment", edit, "CONFLICT", "expectedRevision"))
    for id in (tombstone, nowhere):
        cases.append(
            (ada, "editComment", {"commentId": id, "message": "y"}, "NOT_FOUND", "commentId")
        )
        like = {"commentId": id, "kind": "like"}
        cases.append((ada, "addReaction", like, "NOT_FOUND", "commentId"))
        flag = {"commentId": id, "reason": "SPAM"}
        cases.append((bob, "flagComment", flag, "NOT_FOUND", "commentId"))
    for kind in ("dislike", "LIKE", "", "\0"):
        for change in ("addReaction", "removeReaction"):
            like = {"commentId": foreign, "kind": kind}
            cases.append((ada, change, like, "UNKNOWN_REACTION", "kind"))
    conflict = {"ids": [root, hidden], "to": "REJECTED", "expectedStatus": "PUBLISHED"}
    cases += [
        (moderator, "restoreComment", {"commentId": purged}, "NOT_RESTORABLE", "commentId"),
        (moderator, "restoreComment", {"commentId": nowhere}, "NOT_FOUND", "commentId"),
        (moderator, "moderateComments", {"ids": [root, nowhere], "to": "SPAM"}, "NOT_FOUND", "ids"),
        (
            moderator,
            "moderateComments",
            {"ids": [root, tombstone], "to": "SPAM"},
            "CONFLICT",
            "ids",
        ),
        (moderator, "moderateComments", conflict, "CONFLICT", "expectedStatus"),
        (host.guest, "markRead", {"threadId": thread}, "SIGN_IN_REQUIRED", None),
        (ada, "markRead", {"threadId": nowhere}, "NOT_FOUND", "threadId"),
    ]
    before, wrong = await ada.contents(), []
    for client, change, input, code, field in cases:
        (error,) = await client.rejected(mutation(change), i=input)
        assert_clear(error["message"])
        is_sentence = error["message"].endswith(".") and ". " not in error["message"]
        if (error["code"], error["field"], is_sentence) != (code, field, True):
            wrong.append((change, input, error))
    assert not wrong, wrong
    for ids in ([], [encode_id("Comment", new_id()) for _ in range(101)]):
        error = await moderator.error(mutation("moderateComments"), i={"ids": ids, "to": "SPAM"})
        assert (error["code"], error["field"]) == ("BAD_USER_INPUT", "ids")
        assert_clear(error["message"])
    assert await ada.contents() == before
