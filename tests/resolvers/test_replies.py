"""Replies to comments: their place in the tree, their counters, and what is refused."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import update
from support.api import Api, mutation
from support.host import ADA, BOB, MODERATOR
from support.rows import count_rows, execute, find_drifts

from tallied.auth.viewer import Viewer
from tallied.database import Database, UnitOfWork
from tallied.errors import BadUserInput, Rejected
from tallied.host.access import Access, HostRules
from tallied.host.hooks import Event, Hooks
from tallied.host.policy import CommentContext, Policy, ThreadContext
from tallied.models import Comment
from tallied.resolvers import views
from tallied.resolvers.comments import NewComment, add_comment
from tallied.schema.ids import decode_id, encode_id

TREE = "id message depth replyCount threadReplyCount parent { message } root { message }"
ADD = mutation(
    "addComment",
    f"isDuplicate comment {{ {TREE} inReplyTo {{ message }} viewerCanReply }}"
    " thread { commentCount } userErrors { message field code }",
)
MISSING = {
    "message": "There is no such comment in this thread to reply to; it may have been deleted or"
    " moved.",
    "field": "replyToId",
    "code": "NOT_FOUND",
}


async def reply(api: Api, thread: str, to: str | None, message: str, **more: Any) -> Any:
    """Return the payload of a reply."""
    input = {"threadId": thread, "replyToId": to, "message": message, **more}
    if api.viewer is None:
        input["authorName"] = "Ada"
    return (await api.post(ADD, i=input))["data"]["addComment"]


@pytest.mark.parametrize("cap", [0, 1, 2, 4])
async def test_reply_hangs_on_deepest_allowed_comment(database: Database, cap: int) -> None:
    api = Api(database, reply_depth=cap)
    thread = await api.thread("Looms")
    id = await api.comment(thread)
    root = "three short words"
    path = [root]
    for number in range(cap + 3):
        payload = await reply(api, thread, id, f"reply {number}")
        comment = payload["comment"]
        id = comment.pop("id")
        depth = min(number + 1, cap)
        parent = path[depth - 1] if depth else None
        answers_other = path[-1] if number + 1 > cap else None
        assert comment == {
            "message": f"reply {number}",
            "depth": depth,
            "replyCount": 0,
            "threadReplyCount": 0,
            "parent": parent and {"message": parent},
            "root": {"message": root} if depth else None,
            "inReplyTo": answers_other and {"message": answers_other},
            "viewerCanReply": True,
        }
        assert payload["thread"] == {"commentCount": number + 2}
        path = [*path[:cap], f"reply {number}"]
    assert not await find_drifts(database)


async def test_lowered_cap_applies_to_new_replies_only(database: Database) -> None:
    deep, flat = Api(database, reply_depth=4), Api(database, reply_depth=1)
    thread = await deep.thread("Looms")
    id = await deep.comment(thread)
    for number in range(4):
        id = (await reply(deep, thread, id, f"reply {number}"))["comment"]["id"]
    comment = (await reply(flat, thread, id, "last"))["comment"]
    assert (comment["depth"], comment["parent"]) == (1, {"message": "three short words"})
    assert comment["inReplyTo"] == {"message": "reply 3"}
    assert not await find_drifts(database)


async def test_reply_without_open_parent_is_refused(database: Database) -> None:
    api = Api(database)
    thread, other = await api.thread("Looms"), await api.thread("Mills")
    ids = [await api.comment(thread) for _ in range(3)]
    keys = [decode_id(id, "id", "Comment")[1] for id in ids]

    async def hide(unit: UnitOfWork) -> None:
        comment, tombstone, _ = [await unit.session.get(Comment, key) for key in keys]
        assert comment is not None
        assert tombstone is not None
        comment.status = "rejected"
        tombstone.status, tombstone.placeholder, tombstone.message = "deleted", True, ""

    await database.write(hide)
    unknown = encode_id("Comment", uuid4())
    for to in (ids[0], ids[1], unknown, "x", thread):
        payload = await reply(api, thread, to, "a")
        assert (payload["comment"], payload["userErrors"]) == (None, [MISSING])
    assert (await reply(api, other, ids[2], "a"))["userErrors"] == [MISSING]
    node = f'{{ comment(id: "{ids[1]}") {{ viewerCanReply }} }}'
    assert (await api(node)) == {"viewerCanReply": False}
    await api(mutation("lockThread"), i={"threadId": thread})
    for to in (ids[2], unknown):
        (error,) = (await reply(api, thread, to, "a"))["userErrors"]
        assert (error["code"], error["field"]) == ("LOCKED", "threadId")
    node = f'{{ comment(id: "{ids[2]}") {{ viewerCanReply }} }}'
    assert (await api(node)) == {"viewerCanReply": False}
    assert await count_rows(database, Comment) == 3


async def test_same_submission_is_one_reply_to_each_comment(database: Database) -> None:
    api = Api(database)
    thread = await api.thread("Looms")
    first, second = await api.comment(thread), await api.comment(thread)
    payloads = [
        await reply(api, thread, to, "a", clientMutationId="1")
        for to in (first, first, second, None, None)
    ]
    assert [payload["isDuplicate"] for payload in payloads] == [False, True, False, False, True]
    assert len({payload["comment"]["id"] for payload in payloads}) == 3
    assert not await find_drifts(database)


class Announcements(Policy):
    """Moderators comment, and everyone replies to others."""

    def may_comment(self, viewer: Viewer | None, thread: ThreadContext) -> bool:
        return viewer is not None and viewer.is_moderator

    def may_reply(self, viewer: Viewer | None, comment: CommentContext) -> bool:
        return viewer is not None and comment.author_id != viewer.author_id


class Diary(Hooks):
    """Hooks that note the places of replies."""

    def __init__(self) -> None:
        self.places: list[Any] = []

    async def before_add_comment(self, event: Event, session: Any) -> None:
        assert event.comment is not None
        names = ("parent_id", "root_id", "in_reply_to_id", "depth")
        self.places.append([event.comment[name] for name in names])

    async def after_add_comment(self, event: Event) -> None:
        assert event.comment is not None
        self.places.append(event.comment["depth"])


async def test_policy_and_hooks_see_reply(database: Database) -> None:
    diary = Diary()
    rules = HostRules(policy=Announcements(), hooks=(diary,), reply_depth=1)
    moderator, ada, bob = (Api(database, rules=rules, viewer=v) for v in (MODERATOR, ADA, BOB))
    thread = await moderator.thread("News")
    (error,) = (await reply(ada, thread, None, "a"))["userErrors"]
    assert error["code"] == "NOT_ALLOWED"
    root = (await reply(moderator, thread, None, "a"))["comment"]["id"]
    first = (await reply(ada, thread, root, "b"))["comment"]
    (error,) = (await reply(ada, thread, first["id"], "c"))["userErrors"]
    assert error["code"] == "NOT_ALLOWED"
    assert error["message"] == "You may not reply to this comment."
    assert first["viewerCanReply"] is False
    assert (await reply(bob, thread, first["id"], "c"))["comment"]["depth"] == 1
    root_key, first_key = (decode_id(id, "id", "Comment")[1] for id in (root, first["id"]))
    assert diary.places == [
        [None, None, None, 0],
        0,
        [root_key, root_key, None, 1],
        1,
        [root_key, root_key, first_key, 1],
        1,
    ]


async def test_host_replies_within_unit_of_work(database: Database) -> None:
    access = Access(HostRules()).as_host()
    api = Api(database)
    thread = decode_id(await api.thread("Looms"), "id", "Thread")[1]

    async def work(unit: UnitOfWork) -> tuple[Any, Any]:
        first = await add_comment(unit, access, thread, NewComment("one two"))
        assert first.comment is not None
        to = first.comment["id"]
        second = await add_comment(unit, access, thread, NewComment("three"), reply_to_id=to)
        with pytest.raises(TypeError, match="reply_to_id must be a UUID"):
            await add_comment(unit, access, thread, NewComment("x"), reply_to_id="x")  # type: ignore[arg-type]
        with pytest.raises(Rejected, match="no such comment in this thread"):
            await add_comment(unit, access, thread, NewComment("x"), reply_to_id=uuid4())
        return first, second

    first, second = await database.write(work)
    async with database.read() as connection:
        page = await views.read_replies(connection, access, first.comment["id"])
        assert page is not None
        (view,) = page.nodes
        assert (view.message, view.depth, view.parent_id) == ("three", 1, first.comment["id"])
        assert view.viewer_can_reply
        assert await views.read_replies(connection, access, uuid4()) is None
        around = await views.read_around(connection, access, view.id, siblings=0)
        assert around is not None
        assert around.comment.message == "three"
        assert around.siblings.nodes == page.nodes
        (above,) = around.ancestors
        assert above.id == first.comment["id"]
        assert around.thread.id == first.thread["id"]
        assert await views.read_around(connection, access, uuid4()) is None
        trees = await views.read_trees(connection, access, thread, [above.id], levels=4)
        assert trees == {above.id: page}
        assert await views.read_trees(connection, access, uuid4(), [above.id]) == {}
        with pytest.raises(BadUserInput, match="at most 2,500 rows"):
            await views.read_trees(connection, access, thread, [above.id], levels=5, first=9)
        with pytest.raises(BadUserInput, match="siblings must be a number from 0 to 499"):
            await views.read_around(connection, access, view.id, siblings=500)
    assert second.comment["parent_id"] == second.comment["root_id"] == first.comment["id"]
    assert (second.thread["comment_count"], second.thread["top_level_count"]) == (2, 1)
    assert not await find_drifts(database)


async def test_tree_has_comment_once_that_is_requested_with_its_parent(database: Database) -> None:
    access = Access(HostRules()).as_host()
    api = Api(database)
    thread = await api.thread("Looms")
    first = await api.comment(thread)
    second = (await reply(api, thread, first, "a"))["comment"]["id"]
    for text in ("b", "c"):
        await reply(api, thread, second, text)
    ids = [decode_id(id, "id", "Comment")[1] for id in (first, second)]
    async with database.read() as connection:
        key = decode_id(thread, "id", "Thread")[1]
        for levels in (1, 2, 3):
            trees = await views.read_trees(connection, access, key, ids, levels=levels)
            shown = [[node.message for node in trees[id].nodes] for id in ids]
            assert shown == [["a"], ["b", "c"]]


async def test_wrong_counter_of_replies_is_found(database: Database) -> None:
    api = Api(database)
    thread = await api.thread("Looms")
    await reply(api, thread, await api.comment(thread), "a")
    await execute(database, update(Comment.__table__).values(thread_reply_count=7))
    assert len(await find_drifts(database)) == 2
