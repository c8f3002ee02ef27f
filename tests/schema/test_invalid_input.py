"""Bad input: one clear sentence, a stable code, and nothing changed."""

from __future__ import annotations

import base64
import itertools
from uuid import UUID

import pytest
from support.api import ERRORS, Api, mutation
from support.bad_input import UNKNOWN, Bad

from tallied.error_codes import make_extensions
from tallied.errors import InvalidText, Rejected
from tallied.resolvers.validation import clean_author_name, clean_message, clean_title
from tallied.schema.ids import encode_id
from tallied.schema.payloads import UserErrorCode

ADD = mutation("addComment", f"comment {{ id }} commentEdge {{ cursor }} thread {{ id }} {ERRORS}")
CREATE = mutation(
    "createThread", f"thread {{ id }} threadEdge {{ cursor }} comment {{ id }} {ERRORS}"
)
EDIT = mutation("editComment", f"comment {{ id }} thread {{ id }} {ERRORS}")
RENAME = mutation("renameThread", f"thread {{ id }} {ERRORS}")


@pytest.fixture
async def bad(api: Api) -> Bad:
    return await Bad(api).begin()


def global_id(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


MALFORMED = [
    "",
    "x",
    "1",
    "\0",
    "é" * 20,
    global_id("Thread"),
    global_id("Thread:"),
    global_id("Thread:7"),
    global_id(f"Thread:{{{UNKNOWN}}}"),
    global_id(f"Thread:{UNKNOWN.upper()}"),
    global_id(f"Person:{UNKNOWN}"),
    global_id(f"Comment:{UNKNOWN}").rstrip("=")[:-1],
    "VGhyZWFk OjAx",
    "A" * 100_000,
]


@pytest.mark.slow
async def test_malformed_id_is_refused_in_query(bad: Bad) -> None:
    for id, field in itertools.product(MALFORMED, ("thread", "comment", "author", "node")):
        query = f"query($id: ID!) {{ {field}(id: $id) {{ id }} }}"
        await bad.refused("BAD_USER_INPUT", "id", query, id=id)


@pytest.mark.slow
async def test_bad_id_in_mutation_is_not_found(bad: Bad) -> None:
    text = {"authorName": "Ada", "message": "seven"}
    for change, field, remainder in (
        ("addComment", "threadId", text),
        ("renameThread", "threadId", {"title": "Looms"}),
        ("lockThread", "threadId", {}),
        ("unlockThread", "threadId", {}),
        ("deleteThread", "threadId", {}),
        ("editComment", "commentId", {"message": "seven"}),
        ("deleteComment", "commentId", {}),
        ("restoreComment", "commentId", {}),
        ("moveComment", "commentId", {"threadId": bad.thread}),
        ("moveComment", "threadId", {"commentId": bad.comment}),
        ("deleteAuthor", "authorId", {}),
    ):
        kind = field.removesuffix("Id")
        other = bad.comment if kind == "thread" else bad.thread
        unknown = encode_id(kind.capitalize(), UUID(UNKNOWN))
        for id in (*MALFORMED, unknown, other):
            message = await bad.rejected(
                "NOT_FOUND", field, mutation(change), i={field: id, **remainder}
            )
            assert message == f"There is no such {kind}; it may have been deleted."


@pytest.mark.slow
async def test_id_of_another_type_is_refused(bad: Bad) -> None:
    query = "query($id: ID!) { thread(id: $id) { id } }"
    message = await bad.refused("BAD_USER_INPUT", "id", query, id=bad.comment)
    assert message == ("id is not the id of a thread; pass an id that this API has handed out.")
    query = "query($id: ID!) { comment(id: $id) { id } }"
    await bad.refused("BAD_USER_INPUT", "id", query, id=bad.thread)


async def test_id_that_is_no_text_is_refused(bad: Bad) -> None:
    for id in (1.5, True, [], {}, None):
        query = "query($id: ID!) { thread(id: $id) { id } }"
        await bad.refused("BAD_USER_INPUT", None, query, id=id)


async def test_number_that_is_not_whole_is_refused(bad: Bad) -> None:
    queries = (
        """query($t: ID!, $n: SafeInt!) { thread(id: $t) {
             commentsSince(seq: $n) { nodes { id } } } }""",
        """mutation($t: ID!, $n: SafeInt) { markRead(input: { threadId: $t, upTo: $n }) {
             lastReadSeq } }""",
    )
    for number in ("1", "", 1.5, 1e300, True, [[1]], {}, 2**53, -(2**53), 2**64):
        for query in queries:
            await bad.refused("BAD_USER_INPUT", None, query, t=bad.thread, n=number)
    for literal in ('"1"', "1.5", "true", "ONE", "{}", str(2**64)):
        field = f"commentsSince(seq: {literal}) {{ totalCount }}"
        query = f"query($t: ID!) {{ thread(id: $t) {{ {field} }} }}"
        await bad.refused("BAD_USER_INPUT", "seq", query, t=bad.thread)
    for number in (-1, 2.0, 2**53 - 1):
        assert await bad.api(queries[0], t=bad.thread, n=number)


async def test_missing_object_is_null_in_query(bad: Bad) -> None:
    thread, comment = (encode_id(name, UUID(UNKNOWN)) for name in ("Thread", "Comment"))
    answer = await bad.api(
        """query($t: ID!, $c: ID!) { thread(id: $t) { title comments(first: 1) { totalCount } }
             comment(id: $c) { message thread { title } } a: node(id: $t) { id }
             b: node(id: $c) { id } }""",
        t=thread,
        c=comment,
    )
    assert answer == {"thread": None, "comment": None, "a": None, "b": None}


def bad_texts(longest: int) -> list[tuple[str, str, str]]:
    """Return texts that cannot be stored, the code, and the message."""
    blank = f"This is empty; write 1 to {longest} characters."
    long = f"This has {longest + 1} characters; shorten it to at most {longest}."
    nul = "This has a NUL character (U+0000), which cannot be stored; remove it."
    return [
        ("", "BLANK", blank),
        ("\n\t \u3000", "BLANK", blank),
        ("x" * (longest + 1), "TOO_LONG", long),
        ("🙂" * (longest + 1), "TOO_LONG", long),
        ("one\0two", "INVALID_CHARACTERS", nul),
    ]


async def test_bad_texts_are_rejected(bad: Bad) -> None:
    thread, comment = {"threadId": bad.thread}, {"commentId": bad.comment}
    begun = {"title": "Looms"}
    for longest, query, path, remainder in (
        (10_000, ADD, "message", {**thread, "authorName": "Ada"}),
        (10_000, EDIT, "message", comment),
        (10_000, CREATE, "comment.message", {**begun, "comment": {"authorName": "Ada"}}),
        (200, CREATE, "title", {}),
        (200, RENAME, "title", thread),
        (100, ADD, "authorName", {**thread, "message": "seven"}),
        (100, CREATE, "comment.authorName", {**begun, "comment": {"message": "seven"}}),
    ):
        for text, code, sentence in bad_texts(longest):
            field = path.removeprefix("comment.")
            if path == field:
                input = {**remainder, field: text}
            else:
                input = {**remainder, "comment": {**remainder["comment"], field: text}}
            assert await bad.rejected(code, path, query, i=input) == sentence


async def test_all_mistakes_of_input_are_reported_together(bad: Bad) -> None:
    values = {"title": " ", "comment": {"authorName": "x" * 101, "message": "\0"}}
    errors = await bad.api.rejected(CREATE, i=values)
    assert [(error["field"], error["code"]) for error in errors] == [
        ("title", "BLANK"),
        ("comment.authorName", "TOO_LONG"),
        ("comment.message", "INVALID_CHARACTERS"),
    ]
    assert await bad.api.contents() == bad.before


async def test_rejected_mutation_gives_back_clients_id(bad: Bad) -> None:
    query = RENAME.replace("thread { id }", "thread { id } clientMutationId")
    values = {"threadId": bad.thread, "title": "", "clientMutationId": "7"}
    payload = await bad.api(query, i=values)
    assert payload["clientMutationId"] == "7"
    assert [error["code"] for error in payload["userErrors"]] == ["BLANK"]


def test_every_code_of_rejection_is_in_schema() -> None:
    """Each must be, or telling of it would fail."""

    def codes(error: type[Rejected]) -> set[str]:
        result = {error.code} if "code" in vars(error) else set()
        return result.union(*map(codes, error.__subclasses__()))

    reply = {code for _, code, _ in bad_texts(5)} | codes(Rejected)
    assert reply == {code.value for code in UserErrorCode}


def test_half_surrogate_pair_is_refused() -> None:
    for check in (clean_title, clean_author_name, clean_message):
        with pytest.raises(InvalidText, match="half a surrogate pair"):
            check("one \ud83d two", "text")


async def test_longest_texts_are_stored_unchanged(api: Api) -> None:
    title, name, message = "🙂" * 200, "字" * 100, "\u2003a🙂" * 3_333 + "\n"
    created = await api(
        """mutation($i: CreateThreadInput!) { createThread(input: $i) {
             thread { id title } comment { authorName message wordCount } } }""",
        i={"title": f" {title} ", "comment": {"authorName": f" {name} ", "message": message}},
    )
    assert created["thread"]["title"] == title
    assert created["comment"] == {"authorName": name, "message": message, "wordCount": 3_333}
    read = "query($id: ID!) { thread(id: $id) { comments(first: 1) { nodes { message } } } }"
    thread = await api(read, id=created["thread"]["id"])
    assert thread == {"comments": {"nodes": [{"message": message}]}}


async def test_inputs_of_wrong_shape_are_refused(bad: Bad) -> None:
    for values in (
        None,
        7,
        "text",
        [],
        {},
        {"title": None},
        {"title": 7},
        {"title": ["x"]},
        {"title": "x", "comment": {"authorName": "Ada"}},
        {"title": "x", "comment": {"authorName": "Ada", "message": None}},
        {"title": "x", "unknown": 1},
    ):
        await bad.refused("BAD_USER_INPUT", None, CREATE, i=values)


async def test_missing_input_is_refused(bad: Bad) -> None:
    await bad.refused("BAD_USER_INPUT", None, CREATE)
    answer = await bad.api.post("mutation { createThread { thread { id } } }")
    (error,) = answer["errors"]
    assert error["extensions"] == make_extensions("GRAPHQL_VALIDATION_FAILED")
    assert "data" not in answer
    query = 'query($id: ID = "x") { thread(id: $id) { id } }'
    await bad.refused("BAD_USER_INPUT", None, query, id=None)


async def test_comment_of_null_is_no_first_comment(api: Api) -> None:
    created = await api(CREATE, i={"title": "Looms", "comment": None})
    assert (created["comment"], created["userErrors"]) == (None, [])
    assert created["thread"] is not None
