"""The policy: permissions, refusals that change nothing, and the permission fields."""

from __future__ import annotations

import random
from typing import Any

import pytest
from support.api import mutation
from support.host import ADA, BOB, MODERATOR, Client, Host, numbered_titles
from support.reply_trees import add_reply

from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.host.policy import Policy
from tallied.host.targets import Target

ARTICLES = Target("article", numbered_titles)

CHANGES = [
    "createThread",
    "renameThread",
    "lockThread",
    "unlockThread",
    "deleteThread",
    "threadFor",
    "addComment",
    "editComment",
    "moveComment",
    "deleteComment",
    "restoreComment",
    "deleteAuthor",
]

BEGIN = {"createThread", "threadFor", "addComment"}
OWN = BEGIN | {"renameThread", "editComment", "deleteComment", "deleteAuthor"}

# Who asks, what guests may do, and what they may do with what Ada has written.
DEFAULT = [
    (None, "read", set()),
    (None, "write", BEGIN),
    (None, "moderate", set(CHANGES)),
    (ADA, "read", OWN),
    (BOB, "read", BEGIN),
    (BOB, "moderate", BEGIN),
    (MODERATOR, "read", set(CHANGES)),
]


class Stage:
    """Threads, comments and an author that a change can be tried on, made by a host's own code."""

    def __init__(self, database: Database) -> None:
        self.builder = Host(database, settings={"guests": "moderate"})

    async def delete_comment(self) -> str:
        """Return a comment of Ada's that she has deleted, with a reply."""
        comment = await self.builder.ada.comment(await self.builder.ada.thread("Mills"))
        await add_reply(self.builder.database, comment)
        await self.builder.ada.do("deleteComment", "comment { id }", commentId=comment)
        return comment

    async def input_of(self, change: str, client: Client) -> dict[str, Any]:
        """Return the input of a change to what Ada has written just now."""
        if change == "restoreComment":
            return {"commentId": await self.delete_comment()}
        begun = await self.builder.ada.do(
            "createThread",
            "thread { id comments(first: 1) { nodes { id author { id } } } }",
            title="Engines",
            comment={"message": "one two"},
        )
        thread, (written,) = begun["thread"]["id"], begun["thread"]["comments"]["nodes"]
        comment, author = written["id"], written["author"]["id"]
        other = await self.builder.moderator.thread("Other") if change == "moveComment" else None
        return {
            "createThread": {"title": "Looms"},
            "renameThread": {"threadId": thread, "title": "Mills"},
            "lockThread": {"threadId": thread},
            "unlockThread": {"threadId": thread},
            "deleteThread": {"threadId": thread},
            "threadFor": {"target": {"type": "article", "key": str(random.getrandbits(60))}},
            "addComment": client.written(thread),
            "editComment": {"commentId": comment, "message": "three"},
            "moveComment": {"commentId": comment, "threadId": other},
            "deleteComment": {"commentId": comment},
            "deleteAuthor": {"authorId": author},
        }[change]


async def errors_of(client: Client, change: str, input: dict[str, Any]) -> list[dict[str, Any]]:
    payload = await client(mutation(change), i=input)
    result: list[dict[str, Any]] = payload["userErrors"]
    return result


@pytest.mark.parametrize(
    ("viewer", "guests", "allowed"), DEFAULT, ids=lambda it: getattr(it, "name", None)
)
async def test_default_policy_allows_expected_changes(
    database: Database, viewer: Viewer | None, guests: str, allowed: set[str]
) -> None:
    host, stage = Host(database, settings={"guests": guests}, targets=[ARTICLES]), Stage(database)
    client = host.client(viewer)
    for change in CHANGES:
        input = await stage.input_of(change, client)
        if change in allowed:
            assert await errors_of(client, change, input) == [], change
            continue
        before = await client.contents()
        (error,) = await errors_of(client, change, input)
        assert error["code"] == ("NOT_ALLOWED" if viewer else "SIGN_IN_REQUIRED"), change
        assert error["field"] is None
        assert error["message"].startswith("You may not " if viewer else "Guests may not ")
        assert await client.contents() == before, change


async def test_comments_of_guests_have_no_owner(database: Database) -> None:
    """A viewer who has written nothing yet has no author, and neither has a guest's comment."""
    host = Host(database, settings={"guests": "write"})
    thread = await host.guest.thread("Engines")
    comment = await host.guest.comment(thread)
    for client in (host.guest, host.ada):
        for change, input in (
            ("editComment", {"commentId": comment, "message": "three"}),
            ("deleteComment", {"commentId": comment}),
            ("renameThread", {"threadId": thread, "title": "Mills"}),
        ):
            assert (await client.refused(change, **input))["code"] in (
                "NOT_ALLOWED",
                "SIGN_IN_REQUIRED",
            )


async def test_permission_error_precedes_missing_name(database: Database) -> None:
    host = Host(database)
    thread = await host.ada.thread("Engines")
    error = await host.guest.refused("addComment", threadId=thread, message="one")
    assert error["code"] == "SIGN_IN_REQUIRED"
    error = await host.guest.refused("createThread", title="Looms", comment={"message": "one"})
    assert error["code"] == "SIGN_IN_REQUIRED"


# What the types say, the mutations do


class Whims(Policy):
    """A policy that has no system, but always gives the same answer to the same question."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def _whim(self, *question: object) -> bool:
        return random.Random(f"{self.seed} {question}").random() < 0.5

    def may_start(self, viewer: Viewer | None, target_type: str | None) -> bool:
        return self._whim("start", viewer)

    def may_delete_author(self, viewer: Viewer | None, author_id: Any) -> bool:
        return self._whim("author", viewer, str(author_id))


def _whimsical(name: str) -> Any:
    def method(self: Whims, viewer: Viewer | None, row: Any) -> bool:
        facts = (str(row.id), row.created_at, str(row.author_id), *map(str, row[-2:]))
        role = viewer and (viewer.subject, viewer.is_moderator, str(viewer.author_id))
        return self._whim(name, role, facts)

    return method


for _name in (
    "may_comment",
    "may_rename",
    "may_lock",
    "may_delete_thread",
    "may_edit",
    "may_move",
    "may_delete",
):
    setattr(Whims, _name, _whimsical(_name))

CAN = {
    "createThread": ("viewer", "canStartThread"),
    "renameThread": ("threadId", "viewerCanRename"),
    "lockThread": ("threadId", "viewerCanLock"),
    "unlockThread": ("threadId", "viewerCanLock"),
    "deleteThread": ("threadId", "viewerCanDelete"),
    "addComment": ("threadId", "viewerCanComment"),
    "editComment": ("commentId", "viewerCanEdit"),
    "moveComment": ("commentId", "viewerCanMove"),
    "deleteComment": ("commentId", "viewerCanDelete"),
    "restoreComment": ("commentId", "viewerCanRestore"),
    "deleteAuthor": ("authorId", "viewerCanDelete"),
}


async def sentence(client: Client, change: str, input: dict[str, Any]) -> bool:
    """Return the permission field of a change."""
    name, field = CAN[change]
    if name == "viewer":
        answer = await client(f"{{ viewer {{ {field} }} }}")
    else:
        type_name = name.removesuffix("Id").capitalize()
        answer = await client(
            f"query($id: ID!) {{ node(id: $id) {{ ... on {type_name} {{ {field} }} }} }}",
            id=input[name],
        )
    printed: bool = answer[field]
    return printed


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("viewer", [None, ADA, BOB], ids=["guest", "Ada", "Bob"])
async def test_permission_fields_equal_mutations(
    database: Database, viewer: Viewer | None, seed: int
) -> None:
    stage = Stage(database)
    host = Host(database, settings={"guests": "write"}, policy=Whims(seed))
    client = host.client(viewer)
    printed = []
    for change in CAN if viewer else [item for item in CAN if item != "createThread"]:
        for _ in range(2):
            input = await stage.input_of(change, client)
            can = await sentence(client, change, input)
            errors = await errors_of(client, change, input)
            if change == "moveComment" and can:  # the other thread has a say, too
                errors = [item for item in errors if "comment in this thread" not in str(item)]
            assert (errors == []) is can, (change, errors)
            printed.append(can)
    assert set(printed) == {True, False}


async def test_may_start_may_depend_on_target(database: Database) -> None:
    class Focused(Policy):
        """Everyone begins threads about articles; others, moderators alone."""

        def may_start(self, viewer: Viewer | None, target_type: str | None) -> bool:
            return target_type == "article" or bool(viewer and viewer.is_moderator)

    host = Host(database, policy=Focused(), targets=[ARTICLES, Target("photo", numbered_titles)])
    assert (await host.ada.refused("createThread", title="Looms"))["code"] == "NOT_ALLOWED"
    target = {"type": "photo", "key": "7"}
    assert (await host.ada.refused("threadFor", target=target))["code"] == "NOT_ALLOWED"
    await host.ada.do("threadFor", "thread { id }", target={"type": "article", "key": "7"})
    await host.moderator.do("threadFor", "thread { id }", target=target)
    await host.ada.do("threadFor", "thread { id }", target=target)  # which is found
    query = "{ viewer { canStartThread } }"
    assert await host.ada(query) == {"canStartThread": False}
    assert await host.moderator(query) == {"canStartThread": True}


async def test_locked_thread_has_viewer_can_comment_false(database: Database) -> None:
    host = Host(database)
    thread = await host.ada.thread("Engines")
    query = "query($id: ID!) { thread(id: $id) { viewerCanComment } }"
    assert await host.ada(query, id=thread) == {"viewerCanComment": True}
    await host.moderator.do("lockThread", "thread { lockedAt }", threadId=thread)
    assert await host.moderator(query, id=thread) == {"viewerCanComment": False}
    assert await host.ada(query, id=thread) == {"viewerCanComment": False}


# What guests may do in the threads of a target


async def test_rights_of_guests_depend_on_target(database: Database) -> None:
    quiet = Target("quiet", numbered_titles, guests="read")
    wild = Target("wild", numbered_titles, guests="moderate")
    host = Host(database, settings={"guests": "write"}, targets=[quiet, wild, ARTICLES])
    threads, comments = {}, {}
    for kind in ("quiet", "wild", "article"):
        created = await host.ada.do("threadFor", "thread { id }", target={"type": kind, "key": "1"})
        threads[kind] = created["thread"]["id"]
        comments[kind] = await host.ada.comment(threads[kind])
    listed = await host.guest(
        """{ threads(first: 5) { nodes { target { type } viewerCanComment viewerCanLock
               comments(first: 5) { nodes { viewerCanEdit } } } } }"""
    )
    assert {
        node["target"]["type"]: (
            node["viewerCanComment"],
            node["viewerCanLock"],
            node["comments"]["nodes"][0]["viewerCanEdit"],
        )
        for node in listed["nodes"]
    } == {
        "quiet": (False, False, False),
        "wild": (True, True, True),
        "article": (True, False, False),
    }
    for kind, refused in (("quiet", True), ("wild", False), ("article", True)):
        query = "query($id: ID!) { comment(id: $id) { viewerCanEdit } }"
        assert await host.guest(query, id=comments[kind]) == {"viewerCanEdit": not refused}
        edit = {"commentId": comments[kind], "message": "by a guest"}
        if refused:
            error = await host.guest.refused("editComment", **edit)
            assert error["code"] == "SIGN_IN_REQUIRED"
        else:
            await host.guest.do("editComment", "comment { id }", **edit)
    error = await host.guest.refused("addComment", **host.guest.written(threads["quiet"]))
    assert error["code"] == "SIGN_IN_REQUIRED"
    error = await host.guest.refused("threadFor", target={"type": "quiet", "key": "2"})
    assert error["code"] == "SIGN_IN_REQUIRED"


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 100])
async def test_rights_of_guests_cost_no_statement_per_row(
    database: Database, statements: Any, size: int
) -> None:
    host = Host(database, targets=[Target("wild", numbered_titles, guests="moderate")])
    target = {"type": "wild", "key": "1"}
    created = await host.ada.do("threadFor", "thread { id }", target=target)
    ids = [await host.ada.comment(created["thread"]["id"]) for _ in range(size)]
    with statements() as executed:
        result = await host.guest(
            "query($ids: [ID!]!) { nodes(ids: $ids) { ... on Comment { viewerCanEdit } } }", ids=ids
        )
    assert result == [{"viewerCanEdit": True}] * size
    assert len(executed) == 2
