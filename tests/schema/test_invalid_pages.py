"""Bad sizes, cursors and orders of pages: one clear sentence, a stable code, nothing changed."""

from __future__ import annotations

import base64
import itertools
from typing import Any

import orjson
import pytest
from support.api import Api
from support.bad_input import UNKNOWN, Bad

THREADS = """query($first: Int, $last: Int, $after: String, $before: String, $by: ThreadOrder) {
  threads(first: $first, last: $last, after: $after, before: $before, orderBy: $by) {
    edges { cursor } } }"""
COMMENTS = """query($id: ID!, $first: Int, $last: Int, $after: String, $by: CommentOrder) {
  thread(id: $id) { comments(first: $first, last: $last, after: $after, orderBy: $by) {
    edges { cursor } } } }"""


@pytest.fixture
async def bad(api: Api) -> Bad:
    return await Bad(api).begin()


BAD_PAGING: list[tuple[dict[str, Any], str]] = [
    ({"first": 2, "last": 2}, "last"),
    ({"first": 0}, "first"),
    ({"first": -1}, "first"),
    ({"first": 101}, "first"),
    ({"last": 0}, "last"),
    ({"last": 101}, "last"),
    ({"first": 2**31 - 1}, "first"),
]


async def test_page_of_no_possible_size_is_refused(bad: Bad) -> None:
    for paging, field in BAD_PAGING:
        message = await bad.refused("BAD_USER_INPUT", field, THREADS, **paging)
        assert "first" in message or "last" in message
        await bad.refused("BAD_USER_INPUT", field, COMMENTS, id=bad.thread, **paging)


async def test_size_that_is_no_whole_number_is_refused(bad: Bad) -> None:
    for size in ("10", 1.5, True, [1], {"a": 1}, 2**31, 1e300):
        await bad.refused("BAD_USER_INPUT", None, THREADS, first=size)
    for literal in ('"10"', "1.5", "true", "{a: 1}", "2147483648", "TEN"):
        query = f"{{ threads(first: {literal}) {{ totalCount }} }}"
        message = await bad.refused("BAD_USER_INPUT", "first", query)
        assert message.startswith("Argument 'first' has invalid value: Int cannot represent")


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_literal_that_cannot_be_read_has_its_place(api: Api) -> None:
    """Those of our own scalars, too, whose errors know no place."""
    before = "{ threads(first: 1, filterBy: "
    for condition in ('activeSince: "x"', "minCommentCount: true", "titleContains: 1"):
        answer = await api.post(before + "{" + condition + "}) { totalCount } }")
        (error,) = answer["errors"]
        assert error["message"].startswith("Argument 'filterBy' has invalid value: ")
        (place,) = error["locations"]
        assert place["line"] == 1
        assert place["column"] > len(before)


async def test_largest_and_smallest_page_are_given(bad: Bad) -> None:
    for paging in ({"first": 1}, {"first": 100}, {"last": 1}, {"last": 100}):
        assert len((await bad.api(THREADS, **paging))["edges"]) == 1


async def test_bad_size_below_many_parents_is_one_error(bad: Bad) -> None:
    await bad.api.thread("Looms")
    query = "{ threads(first: 2) { nodes { comments(first: 500) { totalCount } } } }"
    answer = await bad.api.post(query)
    assert answer["data"] == {"threads": None}
    (error,) = answer["errors"]
    assert error["message"] == "first must be from 1 to 100, not 500."


async def test_cursor_of_another_order_is_refused(bad: Bad) -> None:
    (edge,) = (await bad.api(THREADS, first=1))["edges"]
    cursor: str = edge["cursor"]
    oldest_first = {"field": "LAST_COMMENT_AT", "direction": "ASC"}
    by_words = {"field": "WORD_COUNT", "direction": "DESC"}
    for field in ("after", "before"):
        assert await bad.api(THREADS, first=1, **{field: cursor}) == {"edges": []}
        for order in (oldest_first, by_words):
            message = await bad.refused(
                "BAD_USER_INPUT", field, THREADS, first=1, by=order, **{field: cursor}
            )
            assert message == (
                f"{field} is not a cursor of this order; take one from a page with the same "
                "orderBy, or leave it out."
            )
    await bad.refused("BAD_USER_INPUT", "after", COMMENTS, id=bad.thread, first=1, after=cursor)


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


async def test_malformed_cursor_is_refused(bad: Bad) -> None:
    for (by, text), name in itertools.product(MALFORMED_CURSORS, ("after", "before")):
        _, field, direction = by.split(".")
        order = {"field": field, "direction": direction}
        await bad.refused("BAD_USER_INPUT", name, THREADS, first=1, by=order, **{name: text})


async def test_cursor_from_edge_of_world_works(bad: Bad) -> None:
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
        result = [
            len((await bad.api(THREADS, first=1, by=order, **{name: cursor(by, key, id)}))["edges"])
            for name in ("after", "before")
        ]
        assert sorted(result) == [0, 1]


async def test_unknown_sort_is_refused(bad: Bad) -> None:
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
