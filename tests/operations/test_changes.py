"""Plans make mutations, and none is made twice when graphql-core builds the payload."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import strawberry
from sqlalchemy import select
from strawberry.extensions import FieldExtension
from support.plans import PlannedApi
from support.rows import fetch

from tallied.auth.viewer import Viewer
from tallied.database import Database, UnitOfWork
from tallied.errors import Unavailable, Vetoed
from tallied.execution.requested_fields import Info
from tallied.host.access import HostRules
from tallied.host.hooks import Event, Hooks
from tallied.host.policy import CommentContext, Policy
from tallied.models import Comment
from tallied.schema.build import merge_schemas
from tallied.schema.ids import decode_id
from tallied.schema.mutations import Mutation as TalliedMutation

pytestmark = pytest.mark.sqlite

CREATE = "mutation($input: CreateThreadInput!) { createThread(input: $input) { thread { id } } }"
ADD = """mutation($input: AddCommentInput!) { addComment(input: $input) {
  comment { id message authorName viewerCanEdit } thread { commentCount title }
  commentEdge { cursor } isDuplicate clientMutationId userErrors { code field } } }"""
COUNT = "query($id: ID!) { thread(id: $id) { commentCount } }"


async def new_thread(api: PlannedApi) -> str:
    answer = await api(CREATE, input={"title": "Engines"})
    id: str = answer["data"]["createThread"]["thread"]["id"]
    return id


def comment(thread_id: str, **values: Any) -> dict[str, Any]:
    return {"threadId": thread_id, "message": "Brass", "authorName": "Ada", **values}


async def count(api: PlannedApi, id: str) -> int:
    answer = await api.by_core(COUNT, id=id)
    number: int = answer["data"]["thread"]["commentCount"]
    return number


async def test_mutation_is_made_by_plan(database: Database) -> None:
    api = PlannedApi(database)
    id = await new_thread(api)
    payload = (await api(ADD, input=comment(id, clientMutationId="7")))["data"]["addComment"]
    assert payload["comment"] | {"id": None} == {
        "id": None,
        "message": "Brass",
        "authorName": "Ada",
        "viewerCanEdit": True,
    }
    assert payload["thread"] == {"commentCount": 1, "title": "Engines"}
    assert payload["clientMutationId"] == "7"
    assert payload["userErrors"] == []
    assert api.counts.executed == 2
    assert not api.counts.guarded


async def test_response_tells_that_mutation_is_compiled(database: Database) -> None:
    api = PlannedApi(database, environment="development")
    answer = await api(CREATE, input={"title": "Engines"})
    assert answer["extensions"]["compiled"] is True


LITERAL = """mutation($id: ID!, $message: String!, $name: String) {
  addComment(input: {threadId: $id, message: $message, authorName: $name}) {
    thread { commentCount } } }"""


async def test_input_of_variables_is_read_by_plan(database: Database) -> None:
    api = PlannedApi(database)
    id = await new_thread(api)
    answer = await api(LITERAL, id=id, message="Brass", name="Ada")
    assert answer["data"]["addComment"]["thread"] == {"commentCount": 1}
    answer = await api(LITERAL, id=id, message="Brass")
    assert answer["data"]["addComment"]["thread"] is None
    assert api.counts.guarded == {"rejected change": 1}


BAD_INPUTS: list[tuple[dict[str, Any], str]] = [
    ({"message": ""}, "rejected change"),
    ({"authorName": None}, "rejected change"),
    ({"threadId": "x"}, "input"),
    ({"message": None}, "variables"),
    ({"message": 7}, "variables"),
    ({"colour": "red"}, "variables"),
]
"""Values of an input, and the reason for which graphql-core answers."""


@pytest.mark.parametrize(("values", "reason"), BAD_INPUTS)
async def test_rejected_input_is_answered_by_graphql_core(
    database: Database, values: dict[str, Any], reason: str
) -> None:
    api = PlannedApi(database)
    input = comment(await new_thread(api), **values)
    answer = await api(ADD, input=input)
    assert answer == await api.by_core(ADD, input=input)
    assert api.counts.guarded == {reason: 1}
    assert await fetch(database, select(Comment.id)) == []


class Late(Policy):
    """A policy that cannot decide about a comment which is there."""

    def may_edit(self, viewer: Viewer | None, comment: CommentContext) -> bool:
        raise RuntimeError("The policy is out of order.")


async def test_failure_after_change_does_not_repeat_it(database: Database) -> None:
    api = PlannedApi(database, HostRules(policy=Late(), guests="write"))
    id = await new_thread(api)
    answer = await api(ADD, Viewer("7", "Ada"), input={"threadId": id, "message": "Brass"})
    (error,) = answer["errors"]
    assert error["path"] == ["addComment", "comment", "viewerCanEdit"]
    assert api.counts.failed == {"RuntimeError": 1}
    assert await count(api, id) == 1


async def test_failed_read_after_change_is_error_of_field(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = """mutation($input: EditCommentInput!) { editComment(input: $input) {
      comment { message } thread { title commentCount } } }"""
    api = PlannedApi(database)
    id = await new_thread(api)
    added = await api(ADD, input=comment(id))
    comment_id = added["data"]["addComment"]["comment"]["id"]
    await api.compile(query)

    async def fail(*_: Any) -> Any:
        raise Unavailable("The database is away.")

    monkeypatch.setattr(database, "fetch", fail)
    input = {"commentId": comment_id, "message": "Iron"}
    answer = await api.send(query, input=input)
    monkeypatch.undo()
    assert {tuple(error["path"]) for error in answer["errors"]} == {
        ("editComment", "thread", "title")
    }
    edited = await api.by_core("query($id: ID!) { comment(id: $id) { message } }", id=comment_id)
    assert edited["data"]["comment"] == {"message": "Iron"}


async def test_columns_that_change_lacks_are_read(database: Database) -> None:
    query = """mutation($input: EditCommentInput!) { editComment(input: $input) {
      comment { thread { title } } thread { title wordCount comments { nodes { message } } } } }"""
    api = PlannedApi(database)
    id = await new_thread(api)
    added = await api(ADD, input=comment(id))
    input = {"commentId": added["data"]["addComment"]["comment"]["id"], "message": "Iron wheels"}
    payload = (await api(query, input=input))["data"]["editComment"]
    assert payload["comment"] == {"thread": {"title": "Engines"}}
    nodes = [{"message": "Iron wheels"}]
    assert payload["thread"] == {"title": "Engines", "wordCount": 2, "comments": {"nodes": nodes}}
    assert api.counts.executed == 3


async def test_row_deleted_since_is_answered_by_graphql_core(database: Database) -> None:
    query = """mutation($input: DeleteCommentInput!) { deleteComment(input: $input) {
      deletedCommentId comment { message thread { title } } } }"""
    api = PlannedApi(database)
    id = await new_thread(api)
    added = await api(ADD, input=comment(id))
    input = {"commentId": added["data"]["addComment"]["comment"]["id"]}
    payload = (await api(query, input=input))["data"]["deleteComment"]
    assert payload["deletedCommentId"] == input["commentId"]
    assert payload["comment"] == {"message": "Brass", "thread": {"title": "Engines"}}
    assert api.counts.guarded == {"changed row": 1}
    assert await count(api, id) == 0


class Counting(Hooks):
    """Hooks that count, and may veto."""

    def __init__(self) -> None:
        self.before: list[Event] = []
        self.after: list[Event] = []
        self.vetoes = False

    async def before_add_comment(self, event: Event, unit: UnitOfWork) -> None:
        self.before.append(event)
        if self.vetoes:
            raise Vetoed("Not now.")

    async def after_add_comment(self, event: Event) -> None:
        self.after.append(event)


@pytest.mark.parametrize("vetoes", [False, True])
async def test_hooks_of_planned_change_run_once(database: Database, vetoes: bool) -> None:
    hooks = Counting()
    hooks.vetoes = vetoes
    api = PlannedApi(database, HostRules(hooks=(hooks,), guests="moderate"))
    id = await new_thread(api)
    payload = (await api(ADD, input=comment(id)))["data"]["addComment"]
    assert len(payload["userErrors"]) == vetoes
    assert len(hooks.before) == 1
    assert len(hooks.after) == 1 - vetoes
    assert await count(api, id) == 1 - vetoes


async def test_author_of_first_comment_is_known_to_payload(database: Database) -> None:
    """The permissions of the payload are those of the author that the mutation has written."""
    query = """mutation($input: AddCommentInput!) { addComment(input: $input) {
      comment { author { name commentCount } viewerCanDelete } } }"""
    api = PlannedApi(database)
    id = await new_thread(api)
    ada = Viewer("7", "Ada")
    payload = (await api(query, ada, input={"threadId": id, "message": "Brass"}))["data"]
    assert payload["addComment"]["comment"] == {
        "author": {"name": "Ada", "commentCount": 1},
        "viewerCanDelete": True,
    }
    assert api.counts.executed == 2


async def test_several_mutations_are_left_to_graphql_core(database: Database) -> None:
    api = PlannedApi(database)
    query = """mutation($input: CreateThreadInput!) {
      a: createThread(input: $input) { thread { title } }
      b: createThread(input: $input) { thread { title } } }"""
    for _ in range(2):
        data = (await api(query, input={"title": "Engines"}))["data"]
        assert data == {key: {"thread": {"title": "Engines"}} for key in "ab"}
    assert api.counts.unsupported == {"several mutations": 1}


class Shouting(FieldExtension):
    async def resolve_async(self, next_: Any, source: Any, info: Info, **arguments: Any) -> Any:
        return await next_(source, info, **arguments)


def _with_extension() -> Any:
    @strawberry.type
    class Mutation(TalliedMutation):
        @strawberry.mutation(extensions=[Shouting()])
        async def shout(self) -> str:
            return "loud"

    return Mutation


def _with_replacement() -> Any:
    @strawberry.type
    class Mutation(TalliedMutation):
        @strawberry.mutation
        async def lock_thread(self) -> str:
            return "the host's"

    return Mutation


@pytest.mark.parametrize(
    ("mutation", "query", "reason"),
    [
        (_with_extension, "mutation { shout }", "Mutation.shout"),
        (_with_replacement, "mutation { lockThread }", "Mutation.lockThread"),
    ],
)
async def test_hosts_mutation_is_left_to_graphql_core(
    database: Database, mutation: Callable[[], Any], query: str, reason: str
) -> None:
    api = PlannedApi(database, schema=merge_schemas(mutation=mutation()))
    for _ in range(2):
        assert "errors" not in await api(query)
    assert api.counts.unsupported == {reason: 1}
    await new_thread(api)
    assert api.counts.executed == 1


async def test_planned_change_writes_one_row(database: Database) -> None:
    api = PlannedApi(database)
    id = await new_thread(api)
    answer = await api(ADD, input=comment(id))
    key = decode_id(answer["data"]["addComment"]["comment"]["id"], "id", "Comment")[1]
    rows = await fetch(database, select(Comment.id))
    assert [row.id for row in rows] == [key]


VIEWER = """mutation($input: AddCommentInput!) { addComment(input: $input) {
  viewer { name author { commentCount wordCount } } userErrors { code } } }"""


async def test_payload_has_viewer_with_new_counters(
    database: Database, statements: Callable[[], Any]
) -> None:
    api, ada = PlannedApi(database), Viewer("ada", "Ada")
    id = await new_thread(api)
    numbers = []
    for message in (" ", "Brass gears", "Steam"):
        input = {"threadId": id, "message": message}
        numbers.append((await api(VIEWER, ada, input=input))["data"]["addComment"]["viewer"])
    assert numbers == [
        {"name": "Ada", "author": None},
        {"name": "Ada", "author": {"commentCount": 1, "wordCount": 2}},
        {"name": "Ada", "author": {"commentCount": 2, "wordCount": 3}},
    ]
    with statements() as without:
        await api(VIEWER.replace("author {", "author @skip(if: true) {"), ada, input=input)
    with statements() as executed:
        await api(VIEWER, ada, input=input)
    assert len(executed) == len(without) + 2  # the author's key, and the author
    by_core = await api.by_core(VIEWER, ada, input={"threadId": id, "message": "Coal"})
    assert by_core["data"]["addComment"]["viewer"]["author"]["commentCount"] == 5
    guest = await api(VIEWER, input=comment(id))
    assert guest["data"]["addComment"]["viewer"] is None
    assert api.counts.executed == 6
