"""Every mutation: its payload, and counters that equal a recount."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product
from typing import Any

import pytest
from sqlalchemy import Connection, select
from support.api import Api
from support.recount import count_drifted

from tallied.models import Comment
from tallied.resolvers.pagination.orders import THREADS

THREAD = "id title wordCount commentCount lastCommentAt createdAt updatedAt"
COMMENT = "id message wordCount authorName createdAt editedAt"


async def assert_exact(api: Api, threads: int) -> None:
    """Return the counters of all threads, of which there are so many, equal a recount."""
    assert await count_drifted(api.database) == 0
    page = await api("{ threads(first: 100) { totalCount } }")
    assert page["totalCount"] == threads


async def stored(api: Api, id: str) -> Any:
    """Return a thread by a query."""
    return await api(f"query($id: ID!) {{ thread(id: $id) {{ {THREAD} }} }}", id=id)


async def messages(api: Api) -> list[str]:
    def read(connection: Connection) -> list[str]:
        return list(connection.execute(select(Comment.message).order_by(Comment.message)).scalars())

    async with api.database.read() as connection:
        return await connection.run_sync(read)


async def test_create_thread_without_comment(api: Api) -> None:
    before = datetime.now(UTC)
    created = await api(
        f"""mutation {{ createThread(input: {{title: "  Looms  "}}) {{
            thread {{ {THREAD} comments(first: 5) {{ totalCount nodes {{ id }} }} }}
            comment {{ id }} }} }}"""
    )
    thread = created["thread"]
    assert created["comment"] is None
    assert thread["title"] == "Looms"
    assert (thread["wordCount"], thread["commentCount"], thread["lastCommentAt"]) == (0, 0, None)
    assert before <= datetime.fromisoformat(thread["createdAt"]) <= datetime.now(UTC)
    assert thread.pop("comments") == {"totalCount": 0, "nodes": []}
    assert thread == await stored(api, thread["id"])


async def test_create_thread_with_its_first_comment(api: Api) -> None:
    created = await api(
        f"""mutation {{ createThread(input: {{title: "Looms", comment: {{
              authorName: " Ada ", message: " two  words\\n" }} }}) {{
            thread {{ {THREAD} comments(first: 5) {{ totalCount nodes {{ {COMMENT} }} }} }}
            comment {{ {COMMENT} thread {{ {THREAD} }} }} }} }}"""
    )
    thread, comment = created["thread"], created["comment"]
    assert thread.pop("comments") == {
        "totalCount": 1,
        "nodes": [{key: value for key, value in comment.items() if key != "thread"}],
    }
    assert comment["thread"] == thread == await stored(api, thread["id"])
    assert (thread["wordCount"], thread["commentCount"]) == (2, 1)
    assert thread["lastCommentAt"] == comment["createdAt"]
    assert (comment["authorName"], comment["message"]) == ("Ada", " two  words\n")
    assert (comment["wordCount"], comment["editedAt"]) == (2, None)
    await assert_exact(api, 1)


async def test_add_comment_gives_thread_with_its_new_counters(api: Api) -> None:
    id = await api.thread("Engines", "one two")
    added = await api(
        f"""mutation($i: AddCommentInput!) {{ addComment(input: $i) {{
            comment {{ {COMMENT} thread {{ id title wordCount }} }} thread {{ {THREAD} }} }} }}""",
        i={"threadId": id, "authorName": "Ada", "message": "日本語 の 文 \u2003 and more"},
    )
    comment, thread = added["comment"], added["thread"]
    assert comment["wordCount"] == 5
    assert (thread["wordCount"], thread["commentCount"]) == (7, 2)
    assert comment["thread"] == {"id": id, "title": "Engines", "wordCount": 7}
    assert thread == await stored(api, id)
    await assert_exact(api, 1)


async def test_edit_comment_sets_words_and_edited_at(api: Api) -> None:
    id = await api.thread("Engines", "one two")
    comment_id = await api.comment(id, "three four five")
    edited = await api(
        f"""mutation($i: EditCommentInput!) {{ editComment(input: $i) {{
            comment {{ {COMMENT} }} thread {{ {THREAD} }} }} }}""",
        i={"commentId": comment_id, "message": "six"},
    )
    comment = edited["comment"]
    assert (comment["message"], comment["wordCount"]) == ("six", 1)
    assert comment["editedAt"] > comment["createdAt"]
    assert (edited["thread"]["wordCount"], edited["thread"]["commentCount"]) == (3, 2)
    assert edited["thread"] == await stored(api, id)
    await assert_exact(api, 1)


async def test_move_comment_changes_both_threads(api: Api) -> None:
    source = await api.thread("Engines", "one two")
    target = await api.thread("Looms", "three four five")
    comment_id = await api.comment(source, "six seven eight nine")
    moved = await api(
        f"""mutation($i: MoveCommentInput!) {{ moveComment(input: $i) {{
            comment {{ {COMMENT} thread {{ id title wordCount }} }}
            thread {{ {THREAD} }} previousThread {{ {THREAD} }} }} }}""",
        i={"commentId": comment_id, "threadId": target},
    )
    assert moved["comment"]["thread"] == {"id": target, "title": "Looms", "wordCount": 7}
    assert moved["comment"]["editedAt"] is None
    assert (moved["thread"]["wordCount"], moved["thread"]["commentCount"]) == (7, 2)
    assert (moved["previousThread"]["wordCount"], moved["previousThread"]["commentCount"]) == (2, 1)
    assert moved["thread"] == await stored(api, target)
    assert moved["previousThread"] == await stored(api, source)
    await assert_exact(api, 2)


NOTHING_NEW = {
    "editComment": ("commentId", "message", f"thread {{ {THREAD} }} comment {{ editedAt }}"),
    "moveComment": (
        "commentId",
        "threadId",
        f"thread {{ {THREAD} }} previousThread {{ {THREAD} }}",
    ),
    "renameThread": ("threadId", "title", f"thread {{ {THREAD} }}"),
}
"""Mutations, with the fields of their keys and of what is as it was."""


@pytest.mark.parametrize("name", NOTHING_NEW)
async def test_mutation_that_changes_nothing_writes_nothing(api: Api, name: str) -> None:
    id = await api.thread("Engines", "one two")
    values = {"message": "three four five", "threadId": id, "title": "Engines "}
    values["commentId"] = await api.comment(id, values["message"])
    *fields, selection = NOTHING_NEW[name]
    before = await api.contents()
    payload = await api.do(name, selection, **{field: values[field] for field in fields})
    assert payload["thread"] == payload.get("previousThread", payload["thread"])
    assert payload["thread"] == await stored(api, id)
    assert (payload["thread"]["wordCount"], payload["thread"]["commentCount"]) == (5, 2)
    assert payload.get("comment", {"editedAt": None}) == {"editedAt": None}
    assert await api.contents() == before


async def test_delete_comment_returns_last_state(api: Api) -> None:
    id = await api.thread("Engines", "one two")
    comment_id = await api.comment(id, "three four five")
    deleted = await api(
        f"""mutation($i: DeleteCommentInput!) {{ deleteComment(input: $i) {{ deletedCommentId
            comment {{ {COMMENT} thread {{ wordCount }} }} thread {{ {THREAD} }} }} }}""",
        i={"commentId": comment_id},
    )
    assert deleted["deletedCommentId"] == deleted["comment"]["id"] == comment_id
    assert deleted["comment"]["message"] == "three four five"
    assert deleted["comment"]["thread"] == {"wordCount": 2}
    assert (deleted["thread"]["wordCount"], deleted["thread"]["commentCount"]) == (2, 1)
    assert deleted["thread"] == await stored(api, id)
    assert await messages(api) == ["one two"]
    await assert_exact(api, 1)


async def test_rename_thread_sets_updated_at(api: Api) -> None:
    id = await api.thread("Engines", "one two", "three")
    before = await stored(api, id)
    renamed = await api(
        f"""mutation($i: RenameThreadInput!) {{ renameThread(input: $i) {{
            thread {{ {THREAD} }} }} }}""",
        i={"threadId": id, "title": " Looms "},
    )
    thread = renamed["thread"]
    assert thread == await stored(api, id)
    assert thread["updatedAt"] > before["updatedAt"]
    assert thread == {**before, "title": "Looms", "updatedAt": thread["updatedAt"]}
    await assert_exact(api, 1)


async def test_delete_thread_deletes_its_comments(api: Api) -> None:
    id = await api.thread("Engines", "one two", "three")
    other = await api.thread("Looms", "four five", "six seven", "eight")
    before = await stored(api, id)
    deleted = await api(
        f"""mutation($i: DeleteThreadInput!) {{ deleteThread(input: $i) {{
            deletedThreadId thread {{ {THREAD} comments(first: 5) {{ nodes {{ id }} }} }} }} }}""",
        i={"threadId": id},
    )
    assert deleted["deletedThreadId"] == id
    assert deleted["thread"].pop("comments") == {"nodes": []}
    assert deleted["thread"] == before
    assert await stored(api, id) is None
    assert await messages(api) == ["eight", "four five", "six seven"]
    assert (await stored(api, other))["wordCount"] == 5
    await assert_exact(api, 1)


async def test_mutations_of_one_request_run_in_order(api: Api) -> None:
    id = await api.thread("Engines", "one two")
    answer = await api(
        """mutation($id: ID!) {
          a: addComment(input: {threadId: $id, authorName: "Ada", message: "three"}) { ...T }
          renameThread(input: {threadId: $id, title: "Looms"}) { thread { title } }
          b: addComment(input: {threadId: $id, authorName: "Ada", message: "four five"}) { ...T }
        }
        fragment T on AddCommentPayload {
          thread { title wordCount comments(last: 2) { nodes { message } } }
        }""",
        id=id,
    )
    assert answer["a"]["thread"] == {
        "title": "Engines",
        "wordCount": 3,
        "comments": {"nodes": [{"message": "one two"}, {"message": "three"}]},
    }
    assert answer["b"]["thread"] == {
        "title": "Looms",
        "wordCount": 5,
        "comments": {"nodes": [{"message": "three"}, {"message": "four five"}]},
    }


async def test_rejected_mutation_keeps_others_of_its_request(api: Api) -> None:
    id = await api.thread("Engines", "one two")
    answer = await api(
        """mutation($id: ID!) {
          a: addComment(input: {threadId: $id, authorName: "Ada", message: "three"}) { ...P }
          b: addComment(input: {threadId: $id, authorName: "Ada", message: " "}) { ...P }
          c: addComment(input: {threadId: $id, authorName: "Ada", message: "four five"}) { ...P }
        }
        fragment P on AddCommentPayload { thread { wordCount } userErrors { field code } }""",
        id=id,
    )
    assert answer == {
        "a": {"thread": {"wordCount": 3}, "userErrors": []},
        "b": {"thread": None, "userErrors": [{"field": "message", "code": "BLANK"}]},
        "c": {"thread": {"wordCount": 5}, "userErrors": []},
    }
    await assert_exact(api, 1)


async def test_rejected_mutation_of_bad_id_keeps_others(api: Api) -> None:
    id = await api.thread("Engines", "one two")
    answer = await api.post(
        """mutation($id: ID!) {
          a: renameThread(input: {threadId: $id, title: "Looms"}) { thread { title } }
          b: renameThread(input: {threadId: "x", title: "Mills"}) { thread { title } }
          c: addComment(input: {threadId: $id, authorName: "Ada", message: "three"}) {
            thread { wordCount } } }""",
        id=id,
    )
    assert answer["data"] == {
        "a": {"thread": {"title": "Looms"}},
        "b": {"thread": None},
        "c": {"thread": {"wordCount": 3}},
    }


async def test_every_payload_gives_back_clients_id(api: Api) -> None:
    """As Relay's input object mutations specification had it; here it is optional."""
    one, other = await api.thread("Engines"), await api.thread("Looms")
    comment = await api.comment(one)
    inputs: dict[str, dict[str, Any]] = {
        "createThread": {"title": "Mills"},
        "renameThread": {"threadId": one, "title": "Mills"},
        "addComment": {"threadId": one, "authorName": "Ada", "message": "one"},
        "editComment": {"commentId": comment, "message": "two"},
        "moveComment": {"commentId": comment, "threadId": other},
        "deleteComment": {"commentId": comment},
        "deleteThread": {"threadId": other},
    }
    for name, input in inputs.items():
        query = f"""mutation($i: {name[0].upper()}{name[1:]}Input!) {{ {name}(input: $i) {{
            clientMutationId userErrors {{ code }} }} }}"""
        sent = {**input, "clientMutationId": f"my {name}"}
        assert await api(query, i=sent) == {"clientMutationId": f"my {name}", "userErrors": []}
    query = """mutation { createThread(input: {title: "Mills"}) { clientMutationId } }"""
    assert await api(query) == {"clientMutationId": None}


EDGE = "%s(orderBy: {field: %s, direction: %s}) { cursor node { id } }"


async def edges(api: Api, query: str, **variables: Any) -> Any:
    """Return the edges of the only connection that a query asks for."""
    data = await api(query, **variables)
    while "edges" not in data:
        (data,) = data.values()
    return data["edges"]


async def test_new_thread_edge_equals_edge_in_lists(api: Api) -> None:
    orders = list(product([field for field, down in THREADS if down], ("ASC", "DESC")))
    selection = " ".join(
        f"e{number}: {EDGE % ('threadEdge', *order)}" for number, order in enumerate(orders)
    )
    for comment in ("", 'comment: {authorName: "Ada", message: "one two"}'):
        created = await api(
            f"""mutation {{ createThread(input: {{title: "Looms" {comment}}}) {{
                {selection} same: threadEdge {{ cursor }} }} }}"""
        )
        for number, (field, direction) in enumerate(orders):
            listed = await edges(
                api,
                f"""{{ threads(first: 9, orderBy: {{field: {field}, direction: {direction}}}) {{
                    edges {{ cursor node {{ id }} }} }} }}""",
            )
            assert created[f"e{number}"] in listed
        default = await edges(api, "{ threads(first: 9) { edges { cursor } } }")
        assert created["same"] in default


async def test_comment_edge_equals_edge_in_lists(api: Api) -> None:
    thread, other = await api.thread("Engines", "one"), await api.thread("Looms", "two")
    id = await api.comment(thread)
    for direction in ("ASC", "DESC"):
        edge = EDGE % ("commentEdge", "CREATED_AT", direction)
        added = await api(
            f"""mutation($id: ID!) {{ addComment(input: {{threadId: $id, authorName: "Ada",
                message: "three"}}) {{ {edge} }} }}""",
            id=thread,
        )
        moved = await api(
            f"""mutation($id: ID!, $to: ID!) {{ moveComment(input: {{
                commentId: $id, threadId: $to}}) {{ {edge} }} }}""",
            id=id,
            to=other,
        )
        query = f"""query($id: ID!) {{ thread(id: $id) {{ comments(first: 9, orderBy: {{
            field: CREATED_AT, direction: {direction}}}) {{
              edges {{ cursor node {{ id }} }} }} }} }}"""
        assert added["commentEdge"] in await edges(api, query, id=thread)
        assert moved["commentEdge"] in await edges(api, query, id=other)


async def test_new_thread_edge_has_permissions(api: Api) -> None:
    created = await api(
        """mutation { createThread(input: {title: "Looms"}) { threadEdge { node { title lockedAt
             target { key } author { id } viewerCanComment viewerCanLock } } } }"""
    )
    assert created["threadEdge"]["node"] == {
        "title": "Looms",
        "lockedAt": None,
        "target": None,
        "author": None,
        "viewerCanComment": True,
        "viewerCanLock": True,
    }
