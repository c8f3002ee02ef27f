"""Policies that depend on the thread of a comment, and their costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.host import Host

from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.host.policy import CommentContext, Policy

MAY = "viewerCanDelete"
LISTS = {
    "threads": f"""{{ threads(first: 100) {{ nodes {{ title
        comments(first: 100) {{ nodes {{ {MAY} }} }} }} }} }}""",
    "edges": f"""{{ threads(first: 100) {{ edges {{ node {{
        comments(last: 100) {{ edges {{ node {{ {MAY} }} }} }} }} }} }} }}""",
    "thread": f"""query($id: ID!) {{ thread(id: $id) {{
        comments(first: 100) {{ nodes {{ {MAY} }} }} }} }}""",
    "nodes": f"query($ids: [ID!]!) {{ nodes(ids: $ids) {{ ... on Comment {{ {MAY} }} }} }}",
    "comment": f"query($c: ID!) {{ comment(id: $c) {{ {MAY} }} }}",
}


class Hosted(Policy):
    """Who has begun a thread, may delete what is said in it, until it is locked."""

    def may_delete(self, viewer: Viewer | None, comment: CommentContext) -> bool:
        is_author = viewer is not None and None is not comment.thread.author_id == viewer.author_id
        return (is_author and comment.thread.locked_at is None) or super().may_delete(
            viewer, comment
        )


def every(value: Any, name: str) -> list[Any]:
    """Return the values of a name, at any depth."""
    if isinstance(value, list):
        return [result for item in value for result in every(item, name)]
    if not isinstance(value, dict):
        return []
    return [value[name]] if name in value else every(list(value.values()), name)


@pytest.mark.slow
@pytest.mark.parametrize("size", [3, 12])
async def test_policy_may_depend_on_thread_of_comment(
    database: Database, statements: Callable[[], Any], size: int
) -> None:
    host = Host(database, policy=Hosted())
    of_ada = await host.ada.thread("Engines")
    of_bob = await host.bob.thread("Looms")
    ids = [await host.bob.comment(thread) for thread in (of_ada, of_bob) for _ in range(size)]
    input = {"id": of_ada, "ids": ids, "c": ids[0]}
    costs = {}
    for client, may in ((host.ada, {of_ada}), (host.bob, {of_ada, of_bob}), (host.guest, set())):
        for name, query in LISTS.items():
            selection = {key: value for key, value in input.items() if f"${key}:" in query}
            with statements() as executed:
                result = every(await client(query, **selection), MAY)
            costs[name] = len(list(executed))
            expected = [of_ada] * size + [of_bob] * size
            if name == "thread":
                expected = [of_ada] * size
            elif name == "comment":
                expected = [of_ada]
            elif name != "nodes":  # the newest thread comes first
                expected.reverse()
            assert result == [thread in may for thread in expected], name
        # Of a viewer, the author, too. Where no thread is listed, graphql-core reads the threads,
        # and a plan joins them. Of guests, nothing depends on a thread.
        listed, alone = (2, 1) if client is host.guest else (3, 3 if client is host.ada else 2)
        assert costs == {
            "threads": listed,
            "edges": listed,
            "thread": listed,
            "nodes": alone,
            "comment": alone,
        }
    # And the mutation does what was said.
    assert (await host.ada.refused("deleteComment", commentId=ids[size]))["code"] == "NOT_ALLOWED"
    await host.ada.do("deleteComment", "thread { commentCount }", commentId=ids[0])
    await host.moderator.do("lockThread", "thread { id }", threadId=of_ada)
    assert (await host.ada.refused("deleteComment", commentId=ids[1]))["code"] == "NOT_ALLOWED"
    await host.assert_exact()


async def test_payload_has_permissions(database: Database) -> None:
    host = Host(database, policy=Hosted())
    of_ada, of_bob = await host.ada.thread("Engines"), await host.bob.thread("Looms")
    for client, thread, may in ((host.ada, of_ada, True), (host.ada, of_bob, True)):
        added = await client.do(
            "addComment",
            f"comment {{ id {MAY} }} thread {{ comments(last: 1) {{ nodes {{ {MAY} }} }} }}",
            **client.written(thread),
        )
        assert every(added, MAY) == [may, may]
        comment = added["comment"]["id"]
        edited = await client.do(
            "editComment", f"comment {{ {MAY} }}", commentId=comment, message="two words"
        )
        assert every(edited, MAY) == [may]
    moved = await host.moderator.do(
        "moveComment", "comment { viewerCanMove }", commentId=comment, threadId=of_ada
    )
    assert moved["comment"] == {"viewerCanMove": True}
    query = f"query($c: ID!) {{ comment(id: $c) {{ {MAY} }} }}"
    assert await host.bob(query, c=comment) == {MAY: False}
    deleted = await host.ada.do("deleteComment", f"comment {{ {MAY} }}", commentId=comment)
    assert deleted["comment"] == {MAY: True}
    await host.assert_exact()
