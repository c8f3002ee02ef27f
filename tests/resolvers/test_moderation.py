"""The moderation of comments: their status, their flags, the queue and the log."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from support.host import ADA, MODERATOR, Gate, Host, key, run_behind
from support.reply_trees import add_chain, add_reply, assert_sound
from support.rows import count_rows, fetch

from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.models import Flag, ModerationEntry
from tallied.resolvers import views
from tallied.resolvers.erasure import erase_author

MODERATED = "comments { id status isPublished message } removedCommentIds"
MODERATE = """mutation($i: ModerateCommentsInput!) { 
  moderateComments(input: $i) { comments { id } } }"""
QUEUE = """query($f: ModerationFilter! = {}, $n: Int) { moderationQueue(filterBy: $f, first: $n) {
  totalCount nodes { id status flagCount thread { pendingCount flaggedCount } }
  pageInfo { hasNextPage } } }"""
FILTERED = """query($t: ID!, $s: [CommentStatus!]) { thread(id: $t) {
  comments(filterBy: { status: $s, topLevelOnly: false }) { totalCount nodes { id status } } } }"""
BY_ID = """query($id: ID!, $ids: [ID!]!) { comment(id: $id) { id } node(id: $id) { id }
  nodes(ids: $ids) { id } }"""
LISTS = """query($t: ID!, $a: ID!) { thread(id: $t) { commentCount wordCount pendingCount
  flaggedCount lastCommentAt comments(first: 9) { totalCount nodes { id status flagCount } }
  all: comments(filterBy: { topLevelOnly: false }) { totalCount nodes { id } }
  own: comments(filterBy: { authorId: $a, topLevelOnly: false }) { totalCount nodes { id } } } }"""


@pytest.fixture
def host(database: Database) -> Host:
    return Host(database, settings={"guests": "write", "flag_limit": 2})


async def read_log(database: Database) -> list[tuple[str, str, str | None]]:
    columns = (ModerationEntry.former_status, ModerationEntry.status, ModerationEntry.reason)
    return await fetch(database, select(*columns).order_by(ModerationEntry.created_at))


async def moderate(host: Host, to: str, *ids: str, **input: Any) -> Any:
    return await host.moderator.do("moderateComments", MODERATED, ids=list(ids), to=to, **input)


async def test_moderated_comments_are_hidden_and_shown(host: Host) -> None:
    thread = await host.bob.thread("Engines")
    root, middle, leaf = await add_chain(host.ada, thread, 3)
    hidden = await moderate(host, "REJECTED", root, leaf, reason="Rude")
    assert [row["status"] for row in hidden["comments"]] == ["REJECTED", "REJECTED"]
    assert hidden["removedCommentIds"] == [leaf]
    await assert_sound(host.database)
    assert await read_log(host.database) == [("published", "rejected", "Rude")] * 2
    again = await moderate(host, "REJECTED", root, leaf)
    assert again["removedCommentIds"] == []
    stale = await host.moderator.refused(
        "moderateComments", ids=[middle, root], to="SPAM", expectedStatus="PUBLISHED"
    )
    assert (stale["code"], stale["field"]) == ("CONFLICT", "expectedStatus")
    shown = await moderate(host, "PUBLISHED", leaf, root)
    assert [row["isPublished"] for row in shown["comments"]] == [True, True]
    assert all(row["message"] for row in shown["comments"])
    assert len(await read_log(host.database)) == 4
    await assert_sound(host.database)


async def test_unfit_moderation_is_refused(host: Host) -> None:
    thread = await host.bob.thread("Engines")
    first, second = [await host.ada.comment(thread) for _ in range(2)]
    await moderate(host, "SPAM", second)
    codes = [
        (await client.refused("moderateComments", ids=ids, to="PUBLISHED"))["code"]
        for client, ids in (
            (host.guest, [first]),
            (host.bob, [first]),
            (host.bob, [second]),
            (host.ada, [second]),
            (host.moderator, [first, "nonsense"]),
        )
    ]
    assert codes == ["SIGN_IN_REQUIRED", "NOT_ALLOWED", *["NOT_FOUND"] * 3]
    for ids in ([], [first] * 101):
        error = await host.moderator.error(MODERATE, i={"ids": ids, "to": "SPAM"})
        assert error["code"] == "BAD_USER_INPUT"
    assert len(await read_log(host.database)) == 1


async def test_flags_hide_a_comment_at_the_limit(host: Host) -> None:
    thread = await host.bob.thread("Engines")
    comment = await host.ada.comment(thread)
    eve = host.client(Viewer("user-3", "Eve"))
    selection = "comment { id isPublished viewerHasFlagged flagCount status }"
    for _ in range(2):
        flagged = await host.bob.do(
            "flagComment", selection, commentId=comment, reason="ABUSE", note="Look"
        )
        assert flagged["comment"] == {
            "id": comment,
            "isPublished": True,
            "viewerHasFlagged": True,
            "flagCount": None,
            "status": None,
        }
    queue = await host.moderator(QUEUE)
    assert (queue["totalCount"], queue["nodes"][0]["flagCount"]) == (1, 1)
    flagged = await eve.do("flagComment", selection, commentId=comment, reason="SPAM")
    assert flagged["comment"]["isPublished"] is False
    refused = await host.bob.refused("flagComment", commentId=comment, reason="SPAM")
    assert refused["code"] == "NOT_FOUND"
    guest = await host.guest.refused("flagComment", commentId=comment, reason="SPAM")
    assert guest["code"] == "SIGN_IN_REQUIRED"
    for _ in range(3):
        queue = await host.moderator(QUEUE, f={"part": "PENDING", "threadId": thread})
        (node,) = queue["nodes"]
        assert (node["status"], node["flagCount"]) == ("PENDING", 2)
        assert node["thread"] == {"pendingCount": 1, "flaggedCount": 1}
    await assert_sound(host.database)
    await moderate(host, "PUBLISHED", comment)
    queue = await host.moderator(QUEUE)
    assert (queue["totalCount"], queue["nodes"]) == (0, [])
    await assert_sound(host.database)


@pytest.mark.parametrize("is_flag_first", [True, False])
async def test_flag_beside_moderation_at_the_limit(database: Database, is_flag_first: bool) -> None:
    gate = Gate("flag_comment" if is_flag_first else "moderate_comment")
    host = Host(database, settings={"flag_limit": 2}, hooks=[gate])
    eve = host.client(Viewer("user-3", "Eve"))
    thread = await host.bob.thread("Engines")
    comment = await host.ada.comment(thread)
    gate.came = 1  # The first flag passes.
    flag = {"commentId": comment, "reason": "SPAM"}
    await host.bob.do("flagComment", "comment { id }", **flag)
    gate.came = 0
    second = eve.do("flagComment", "comment { isPublished }", **flag)
    decision = moderate(host, "PUBLISHED", comment)
    if is_flag_first:
        await run_behind(gate, database, second, decision)
    else:
        await run_behind(gate, database, decision, second)
    stored = await host.moderator(
        "query($c: ID!) { comment(id: $c) { flagCount status } }", c=comment
    )
    # The flag that came last is open, and alone.
    expected_count = 0 if is_flag_first else 1
    assert stored == {"flagCount": expected_count, "status": "PUBLISHED"}
    steps = [("published", "pending"), ("pending", "published")]
    assert [entry[:2] for entry in await read_log(database)] == (
        steps if is_flag_first else [("published", "published")]
    )
    await assert_sound(database)


async def test_two_flags_at_once_reach_the_limit(database: Database) -> None:
    gate = Gate("flag_comment")
    host = Host(database, settings={"flag_limit": 2}, hooks=[gate])
    comment = await host.ada.comment(await host.bob.thread("Engines"))
    eve = host.client(Viewer("user-3", "Eve"))
    flags = [
        client.do("flagComment", "comment { isPublished }", commentId=comment, reason="SPAM")
        for client in (host.bob, eve)
    ]
    first, last = await run_behind(gate, database, *flags)
    assert (first["comment"]["isPublished"], last["comment"]["isPublished"]) == (True, False)
    assert await read_log(database) == [("published", "pending", "2 flags")]
    await assert_sound(database)


async def test_erased_author_leaves_no_flag(host: Host) -> None:
    thread = await host.bob.thread("Engines")
    comments = [await host.ada.comment(thread) for _ in range(3)]
    for comment in comments:
        await host.bob.do("flagComment", "comment { id }", commentId=comment, reason="SPAM")
    bob = key((await host.bob("{ viewer { author { id } } }"))["author"]["id"])
    write, access = host.discussion.write, host.discussion.access_as_host()
    await erase_author(write, access, bob, batch_size=2)
    assert await count_rows(host.database, Flag) == 0
    await assert_sound(host.database)


@pytest.mark.sampled
@pytest.mark.parametrize("status", ["PENDING", "REJECTED", "SPAM"])
async def test_hidden_comment_leaves_no_trace(host: Host, status: str) -> None:
    thread = await host.bob.thread("Engines")
    await host.bob.comment(thread, "A word")
    clients = (host.guest, host.ada, host.bob)
    first = await host.ada.comment(thread, "First of Ada")
    author = (await host.ada("{ viewer { author { id } } }"))["author"]["id"]
    lists = {"t": thread, "a": author}
    before = [[await client(LISTS, **lists) for _ in range(2)] for client in clients]
    hidden = await host.ada.comment(thread, "Secret words")
    await moderate(host, status, hidden)
    after = [[await client(LISTS, **lists) for _ in range(2)] for client in clients]
    assert after == before
    for client in clients:
        for _ in range(2):
            data = await client(BY_ID, id=hidden, ids=[first, hidden])
            assert data == {"comment": None, "node": None, "nodes": [{"id": first}, None]}
            for query in (FILTERED, QUEUE):
                variables = {"t": thread, "s": [status]} if query is FILTERED else {}
                error = await client.error(query, **variables)
                expected = "SIGN_IN_REQUIRED" if client is host.guest else "NOT_ALLOWED"
                assert error["code"] == expected
    for client in (host.guest, host.bob):
        refused = [
            (await client.refused(field, commentId=hidden, **rest))["code"]
            for field, rest in (
                ("editComment", {"message": "Mine"}),
                ("deleteComment", {}),
                ("moveComment", {"threadId": thread}),
            )
        ]
        assert refused == ["NOT_FOUND"] * 3
    own = "query($t: ID!) { thread(id: $t) { viewerPendingComments { id isPublished status } } }"
    pending = [(await client(own, t=thread))["viewerPendingComments"] for client in clients]
    expected_own = [{"id": hidden, "isPublished": False, "status": "PENDING"}]
    assert pending == [[], expected_own if status == "PENDING" else [], []]
    for _ in range(3):
        data = await host.moderator(BY_ID, id=hidden, ids=[hidden])
        node = {"id": hidden}
        assert data == {"comment": node, "node": node, "nodes": [node]}
        listed = await host.moderator(FILTERED, t=thread, s=[status])
        nodes = [{"id": hidden, "status": status}]
        assert listed["comments"] == {"totalCount": 1, "nodes": nodes}


WITHDRAWN = """query($id: ID!, $n: Int!) { comment(id: $id) { message withdrawnText {
  message messageHtml authorName author { name commentCount } } replies(first: $n) {
  nodes { withdrawnText { message } } } } }"""


async def test_moderator_reads_text_of_hidden_parent(host: Host) -> None:
    """Nobody else does, and a deleted text goes once it cannot be restored."""
    thread = await host.bob.thread("Engines")
    comment = await host.ada.comment(thread, "*one*")
    reply = await add_reply(host.database, comment)
    await moderate(host, "PENDING", comment)
    text = {
        "message": "*one*",
        "messageHtml": "<p><em>one</em></p>\n",
        "authorName": "Ada",
        "author": {"name": "Ada", "commentCount": 0},
    }
    for number in range(2, 4):  # by graphql-core, and then by a plan
        for client in (host.guest, host.bob, host.ada):
            read = await client(WITHDRAWN, id=comment, n=number)
            assert (read["message"], read["withdrawnText"]) == ("", None)
        read = await host.moderator(WITHDRAWN, id=comment, n=number)
        assert read["withdrawnText"] == text
        assert read["replies"] == {"nodes": [{"withdrawnText": None}]}
    async with host.database.read() as connection:
        for viewer, texts in ((MODERATOR, {("*one*", "Ada")}), (ADA, set())):
            access = host.discussion.access(viewer)
            views_by_id = await views.read_withdrawn_texts(connection, access, [key(comment)])
            assert {(view.message, view.author_name) for view in views_by_id.values()} == texts
    for change in ("deleteComment", "restoreComment", "deleteComment"):
        changed = await host.moderator.do(
            change, "comment { message withdrawnText { message } }", commentId=comment
        )
        assert changed["comment"] == {"message": "", "withdrawnText": {"message": "*one*"}}
    late = Host(host.database, settings={"restore_days": 0})
    assert (await late.moderator(WITHDRAWN, id=comment, n=1))["withdrawnText"] is None
    await host.moderator.do("deleteComment", "deletedCommentId", commentId=reply)
    assert await host.moderator(WITHDRAWN, id=comment, n=1) is None
