"""Bad input: one clear sentence, a stable code, and nothing changed."""

from __future__ import annotations

import base64
import itertools
import logging
import re
from typing import Any
from uuid import UUID

import orjson
import pytest
from support.api import Api

from tallied.errors import InvalidText, Rejected
from tallied.resolvers.validation import clean_author_name, clean_message, clean_title
from tallied.schema.ids import encode_id
from tallied.schema.payloads import UserErrorCode


def mutation(name: str, asked: str) -> str:
    """A mutation with its input in ``$i``, which also asks for its user errors."""
    type_name = f"{name[0].upper()}{name[1:]}Input"
    return f"""mutation($i: {type_name}!) {{ {name}(input: $i) {{
        {asked} userErrors {{ message field code }} }} }}"""


ADD = mutation("addComment", "comment { id } commentEdge { cursor } thread { id }")
CREATE = mutation("createThread", "thread { id } threadEdge { cursor } comment { id }")
EDIT = mutation("editComment", "comment { id } thread { id }")
MOVE = mutation(
    "moveComment", "comment { id } commentEdge { cursor } thread { id } previousThread { id }"
)
DELETE = mutation("deleteComment", "comment { id } deletedCommentId thread { id }")
RENAME = mutation("renameThread", "thread { id }")
DELETE_THREAD = mutation("deleteThread", "thread { id } deletedThreadId")
THREADS = """query($first: Int, $last: Int, $after: String, $before: String, $by: ThreadOrder) {
  threads(first: $first, last: $last, after: $after, before: $before, orderBy: $by) {
    edges { cursor } } }"""
COMMENTS = """query($id: ID!, $first: Int, $last: Int, $after: String, $by: CommentOrder) {
  thread(id: $id) { comments(first: $first, last: $last, after: $after, orderBy: $by) {
    edges { cursor } } } }"""

UNKNOWN = "019e0000-0000-7000-8000-000000000000"


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


class Bad:
    """A thread with comments, and the check that a refusal has left everything as it was."""

    def __init__(self, api: Api) -> None:
        self.api = api

    async def begin(self) -> None:
        self.thread = await self.api.thread("Engines", "one two", "three four five")
        self.comment = await self.api.comment(self.thread, "six")
        self.before = await self.api.contents()

    async def refused(self, code: str, field: str | None, query: str, **variables: Any) -> str:
        """The sentence with which a request is refused."""
        error = await self.api.error(query, **variables)
        assert (error["code"], error.get("field")) == (code, field), error
        assert await self.api.contents() == self.before
        message: str = error["message"]
        assert_clear(message)
        return message

    async def rejected(self, code: str, field: str, query: str, **variables: Any) -> str:
        """The sentence of the one user error of a mutation."""
        (error,) = await self.api.rejected(query, **variables)
        assert (error["code"], error["field"]) == (code, field), error
        assert await self.api.contents() == self.before
        message: str = error["message"]
        assert_clear(message)
        return message


def assert_clear(message: str) -> None:
    """It is a sentence for a person, and speaks of nothing inside."""
    assert 10 < len(message) < 300
    for inside in ("None", "Traceback", "Error", "sqlalchemy", "asyncpg", "uuid", "base64", "{'"):
        assert inside not in message


@pytest.fixture
async def bad(api: Api) -> Bad:
    bad = Bad(api)
    await bad.begin()
    return bad


async def test_a_malformed_id_is_refused_in_a_query(bad: Bad) -> None:
    for id, field in itertools.product(MALFORMED, ("thread", "comment", "author", "node")):
        query = f"query($id: ID!) {{ {field}(id: $id) {{ id }} }}"
        await bad.refused("BAD_USER_INPUT", "id", query, id=id)


async def test_a_malformed_id_in_a_mutation_is_as_an_unknown_one(bad: Bad) -> None:
    text = {"authorName": "Ada", "message": "seven"}
    for query, field, rest in (
        (ADD, "threadId", text),
        (RENAME, "threadId", {"title": "Looms"}),
        (DELETE_THREAD, "threadId", {}),
        (EDIT, "commentId", {"message": "seven"}),
        (DELETE, "commentId", {}),
        (MOVE, "commentId", {"threadId": bad.thread}),
        (MOVE, "threadId", {"commentId": bad.comment}),
    ):
        for id in MALFORMED:
            message = await bad.rejected("NOT_FOUND", field, query, i={field: id, **rest})
            what = field.removesuffix("Id")
            assert message == f"There is no such {what}; it may have been deleted."


async def test_an_id_of_another_type_is_refused(bad: Bad) -> None:
    query = "query($id: ID!) { thread(id: $id) { id } }"
    message = await bad.refused("BAD_USER_INPUT", "id", query, id=bad.comment)
    assert message == ("id is not the id of a thread; pass an id that this API has handed out.")
    query = "query($id: ID!) { comment(id: $id) { id } }"
    await bad.refused("BAD_USER_INPUT", "id", query, id=bad.thread)
    await bad.rejected("NOT_FOUND", "commentId", DELETE, i={"commentId": bad.thread})
    await bad.rejected("NOT_FOUND", "threadId", DELETE_THREAD, i={"threadId": bad.comment})


async def test_an_id_that_is_no_text_is_refused(bad: Bad) -> None:
    for id in (1.5, True, [], {}, None):
        query = "query($id: ID!) { thread(id: $id) { id } }"
        await bad.refused("BAD_USER_INPUT", None, query, id=id)


async def test_what_is_not_there_is_null_in_a_query(bad: Bad) -> None:
    thread, comment = (encode_id(name, UUID(UNKNOWN)) for name in ("Thread", "Comment"))
    answer = await bad.api(
        """query($t: ID!, $c: ID!) { thread(id: $t) { title comments(first: 1) { totalCount } }
             comment(id: $c) { message thread { title } } a: node(id: $t) { id }
             b: node(id: $c) { id } }""",
        t=thread,
        c=comment,
    )
    assert answer == {"thread": None, "comment": None, "a": None, "b": None}


async def test_a_mutation_of_what_is_not_there_says_so(bad: Bad) -> None:
    thread, comment = (encode_id(name, UUID(UNKNOWN)) for name in ("Thread", "Comment"))
    for query, field, rest in (
        (ADD, "threadId", {"threadId": thread, "authorName": "Ada", "message": "seven"}),
        (RENAME, "threadId", {"threadId": thread, "title": "Looms"}),
        (DELETE_THREAD, "threadId", {"threadId": thread}),
        (EDIT, "commentId", {"commentId": comment, "message": "seven"}),
        (DELETE, "commentId", {"commentId": comment}),
        (MOVE, "commentId", {"commentId": comment, "threadId": bad.thread}),
        (MOVE, "threadId", {"commentId": bad.comment, "threadId": thread}),
    ):
        message = await bad.rejected("NOT_FOUND", field, query, i=rest)
        what = field.removesuffix("Id")
        assert message == f"There is no such {what}; it may have been deleted."


BAD_PAGING: list[tuple[dict[str, Any], str]] = [
    ({"first": 2, "last": 2}, "last"),
    ({"first": 0}, "first"),
    ({"first": -1}, "first"),
    ({"first": 101}, "first"),
    ({"last": 0}, "last"),
    ({"last": 101}, "last"),
    ({"first": 2**31 - 1}, "first"),
]


async def test_a_page_of_no_possible_size_is_refused(bad: Bad) -> None:
    for paging, field in BAD_PAGING:
        message = await bad.refused("BAD_USER_INPUT", field, THREADS, **paging)
        assert "first" in message or "last" in message
        await bad.refused("BAD_USER_INPUT", field, COMMENTS, id=bad.thread, **paging)


async def test_a_size_that_is_no_whole_number_is_refused(bad: Bad) -> None:
    for size in ("10", 1.5, True, [1], {"a": 1}, 2**31, 1e300):
        await bad.refused("BAD_USER_INPUT", None, THREADS, first=size)
    for literal in ('"10"', "1.5", "true", "{a: 1}", "2147483648", "TEN"):
        query = f"{{ threads(first: {literal}) {{ totalCount }} }}"
        message = await bad.refused("BAD_USER_INPUT", "first", query)
        assert message.startswith("Argument 'first' has invalid value: Int cannot represent")


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_a_literal_that_cannot_be_read_has_its_place(api: Api) -> None:
    """Those of our own scalars, too, whose errors know no place."""
    before = "{ threads(first: 1, filterBy: "
    for condition in ('activeSince: "x"', "minCommentCount: true", "titleContains: 1"):
        answer = await api.post(before + "{" + condition + "}) { totalCount } }")
        (error,) = answer["errors"]
        assert error["message"].startswith("Argument 'filterBy' has invalid value: ")
        (place,) = error["locations"]
        assert place["line"] == 1
        assert place["column"] > len(before)


async def test_the_largest_and_the_smallest_page_are_given(bad: Bad) -> None:
    for paging in ({"first": 1}, {"first": 100}, {"last": 1}, {"last": 100}):
        assert len((await bad.api(THREADS, **paging))["edges"]) == 1


async def test_a_bad_size_below_many_parents_is_told_once(bad: Bad) -> None:
    await bad.api.thread("Looms")
    query = "{ threads(first: 2) { nodes { comments(first: 500) { totalCount } } } }"
    answer = await bad.api.post(query)
    assert answer["data"] == {"threads": None}
    (error,) = answer["errors"]
    assert error["message"] == "first must be from 1 to 100, not 500."


async def test_a_cursor_of_another_order_or_of_none_is_refused(bad: Bad) -> None:
    (edge,) = (await bad.api(THREADS, first=1))["edges"]
    mine: str = edge["cursor"]
    oldest_first = {"field": "LAST_COMMENT_AT", "direction": "ASC"}
    by_words = {"field": "WORD_COUNT", "direction": "DESC"}
    for field in ("after", "before"):
        assert await bad.api(THREADS, first=1, **{field: mine}) == {"edges": []}
        for order in (oldest_first, by_words):
            message = await bad.refused(
                "BAD_USER_INPUT", field, THREADS, first=1, by=order, **{field: mine}
            )
            assert message == (
                f"{field} is not a cursor of this order; take one from a page with the same "
                "orderBy, or leave it out."
            )
    await bad.refused("BAD_USER_INPUT", "after", COMMENTS, id=bad.thread, first=1, after=mine)


def cursor(*values: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(values)).decode().rstrip("=")


WORDS = "Thread.WORD_COUNT.DESC"
RECENT = "Thread.LAST_COMMENT_AT.DESC"


MALFORMED_CURSORS = [
    (RECENT, ""),
    (RECENT, "x"),
    (RECENT, "é"),
    (RECENT, "====="),
    (RECENT, "A" * 100_000),
    (RECENT, cursor()),
    (RECENT, cursor(RECENT)),
    (RECENT, cursor(RECENT, None, UNKNOWN)),
    (RECENT, cursor(RECENT, 5, UNKNOWN)),
    (RECENT, cursor(RECENT, "yesterday", UNKNOWN)),
    (RECENT, cursor(RECENT, "2026-01-01T00:00:00", UNKNOWN)),
    (RECENT, cursor(RECENT, "0001-01-01T00:00:00+14:00", UNKNOWN)),
    (RECENT, cursor(RECENT, "2026-01-01T00:00:00Z", UNKNOWN)),
    (RECENT, cursor(RECENT, "2026-01-01T00:00:00+00:00", "7")),
    (RECENT, cursor(RECENT, "2026-01-01T00:00:00+00:00", 7)),
    (RECENT, cursor(RECENT, "2026-01-01T00:00:00+00:00", UNKNOWN, 1)),
    (RECENT, cursor(RECENT, "2026-01-01T00:00:00+00:00", UNKNOWN) + "="),
    (WORDS, cursor(WORDS, "5", UNKNOWN)),
    (WORDS, cursor(WORDS, 5.0, UNKNOWN)),
    (WORDS, cursor(WORDS, True, UNKNOWN)),
    (WORDS, cursor(WORDS, 2**63, UNKNOWN)),
    (WORDS, cursor(WORDS, 2**64 - 1, UNKNOWN)),
]


async def test_a_malformed_cursor_is_refused(bad: Bad) -> None:
    for (by, text), name in itertools.product(MALFORMED_CURSORS, ("after", "before")):
        _, field, direction = by.split(".")
        order = {"field": field, "direction": direction}
        await bad.refused("BAD_USER_INPUT", name, THREADS, first=1, by=order, **{name: text})


async def test_a_cursor_from_the_edge_of_the_world_works(bad: Bad) -> None:
    keys = [
        (RECENT, "0001-01-01T00:00:00+00:00"),
        (RECENT, "9999-12-31T23:59:59.999999+00:00"),
        (WORDS, -(2**63)),
        (WORDS, 2**63 - 1),
    ]
    ids = ("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff")
    for (by, key), id in itertools.product(keys, ids):
        _, field, direction = by.split(".")
        order = {"field": field, "direction": direction}
        found = [
            len((await bad.api(THREADS, first=1, by=order, **{name: cursor(by, key, id)}))["edges"])
            for name in ("after", "before")
        ]
        assert sorted(found) == [0, 1]


async def test_an_unknown_sort_is_refused(bad: Bad) -> None:
    for order in (
        {"field": "RANDOM", "direction": "ASC"},
        {"field": "title", "direction": "ASC"},
        {"field": "CREATED_AT", "direction": "UP"},
        {"field": "CREATED_AT"},
        {"field": None, "direction": "ASC"},
        {"field": "CREATED_AT", "direction": "ASC", "nulls": "LAST"},
        "CREATED_AT",
        7,
    ):
        await bad.refused("BAD_USER_INPUT", None, THREADS, first=1, by=order)
        await bad.refused("BAD_USER_INPUT", None, COMMENTS, id=bad.thread, first=1, by=order)
    for literal in ("{field: RANDOM, direction: ASC}", "{field: CREATED_AT}", "CREATED_AT"):
        query = f"{{ threads(first: 1, orderBy: {literal}) {{ totalCount }} }}"
        await bad.refused("BAD_USER_INPUT", "orderBy", query)


def bad_texts(longest: int) -> list[tuple[str, str, str]]:
    """Texts that cannot be stored, the code, and what is said of them."""
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


async def test_a_message_that_cannot_be_stored_is_rejected(bad: Bad) -> None:
    for text, code, says in bad_texts(10_000):
        given = {"authorName": "Ada", "message": text}
        for query, input, field in (
            (ADD, {"threadId": bad.thread, **given}, "message"),
            (EDIT, {"commentId": bad.comment, "message": text}, "message"),
            (CREATE, {"title": "Looms", "comment": given}, "comment.message"),
        ):
            assert await bad.rejected(code, field, query, i=input) == says


async def test_a_title_that_cannot_be_stored_is_rejected(bad: Bad) -> None:
    for text, code, says in bad_texts(200):
        for query, input in (
            (CREATE, {"title": text}),
            (RENAME, {"threadId": bad.thread, "title": text}),
        ):
            assert await bad.rejected(code, "title", query, i=input) == says


async def test_an_author_name_that_cannot_be_stored_is_rejected(bad: Bad) -> None:
    for text, code, says in bad_texts(100):
        given = {"authorName": text, "message": "seven"}
        for query, input, field in (
            (ADD, {"threadId": bad.thread, **given}, "authorName"),
            (CREATE, {"title": "Looms", "comment": given}, "comment.authorName"),
        ):
            assert await bad.rejected(code, field, query, i=input) == says


async def test_all_that_is_wrong_with_an_input_is_told_at_once(bad: Bad) -> None:
    given = {"title": " ", "comment": {"authorName": "x" * 101, "message": "\0"}}
    errors = await bad.api.rejected(CREATE, i=given)
    assert [(error["field"], error["code"]) for error in errors] == [
        ("title", "BLANK"),
        ("comment.authorName", "TOO_LONG"),
        ("comment.message", "INVALID_CHARACTERS"),
    ]
    assert await bad.api.contents() == bad.before


async def test_a_rejected_mutation_gives_back_the_clients_id(bad: Bad) -> None:
    query = RENAME.replace("thread { id }", "thread { id } clientMutationId")
    given = {"threadId": bad.thread, "title": "", "clientMutationId": "7"}
    payload = await bad.api(query, i=given)
    assert payload["clientMutationId"] == "7"
    assert [error["code"] for error in payload["userErrors"]] == ["BLANK"]


def test_every_code_of_a_rejection_is_in_the_schema() -> None:
    """Each must be, or telling of it would fail."""

    def codes(error: type[Rejected]) -> set[str]:
        found = {error.code} if "code" in vars(error) else set()
        return found.union(*map(codes, error.__subclasses__()))

    told = {code for _, code, _ in bad_texts(5)} | codes(Rejected)
    assert told == {code.value for code in UserErrorCode}


def test_half_a_surrogate_pair_is_refused() -> None:
    for check in (clean_title, clean_author_name, clean_message):
        with pytest.raises(InvalidText, match="half a surrogate pair"):
            check("one \ud83d two", "text")


async def test_the_longest_texts_are_stored_as_they_are(api: Api) -> None:
    title, name, message = "🙂" * 200, "字" * 100, "\u2003a🙂" * 3_333 + "\n"
    made = await api(
        """mutation($i: CreateThreadInput!) { createThread(input: $i) {
             thread { id title } comment { authorName message wordCount } } }""",
        i={"title": f" {title} ", "comment": {"authorName": f" {name} ", "message": message}},
    )
    assert made["thread"]["title"] == title
    assert made["comment"] == {"authorName": name, "message": message, "wordCount": 3_333}
    read = "query($id: ID!) { thread(id: $id) { comments(first: 1) { nodes { message } } } }"
    thread = await api(read, id=made["thread"]["id"])
    assert thread == {"comments": {"nodes": [{"message": message}]}}


async def test_inputs_of_the_wrong_shape_are_refused(bad: Bad) -> None:
    for given in (
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
        await bad.refused("BAD_USER_INPUT", None, CREATE, i=given)


async def test_an_input_that_is_left_out_is_refused(bad: Bad) -> None:
    await bad.refused("BAD_USER_INPUT", None, CREATE)
    answer = await bad.api.post("mutation { createThread { thread { id } } }")
    (error,) = answer["errors"]
    assert error["extensions"] == {"code": "GRAPHQL_VALIDATION_FAILED"}
    assert "data" not in answer
    query = 'query($id: ID = "x") { thread(id: $id) { id } }'
    await bad.refused("BAD_USER_INPUT", None, query, id=None)


async def test_a_comment_of_null_is_no_first_comment(api: Api) -> None:
    made = await api(CREATE, i={"title": "Looms", "comment": None})
    assert (made["comment"], made["userErrors"]) == (None, [])
    assert made["thread"] is not None


async def test_a_clients_mistake_is_one_line_in_the_log(
    bad: Bad, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="tallied.api")
    await bad.refused("BAD_USER_INPUT", "id", '{ thread(id: "a\\nb") { id } }')
    (record,) = [record for record in caplog.records if record.name.startswith("tallied")]
    assert record.levelname == "INFO"
    assert record.exc_info is None
    assert re.fullmatch(r"BAD_USER_INPUT: '.*'", record.getMessage())
