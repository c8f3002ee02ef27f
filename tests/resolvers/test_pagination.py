"""Pages against an oracle: Relay's algorithm over the whole list in memory."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from support.api import Api
from support.rows import fetch, store

from tallied.database import Database
from tallied.models import Comment, Thread
from tallied.resolvers.pagination.arguments import PageArguments, RequestedFields, RowPage, Window
from tallied.resolvers.pagination.cursors import Order, Position
from tallied.resolvers.pagination.keyset import read_page
from tallied.resolvers.pagination.orders import COMMENTS, THREADS
from tallied.resolvers.queries import read_comment_pages

EVERYTHING = RequestedFields(frozenset(), cursors=True, has_previous=True, has_next=True)
START = datetime(2026, 1, 1, tzinfo=UTC)
SIZES = (0, 7, 1, 4, 0, 2, 4)
"""How many comments each thread has: several times the same, so that the key decides."""


class Expected(NamedTuple):
    ids: list[UUID]
    has_previous: bool
    has_next: bool


def oracle(rows: Sequence[Position], which: Window) -> Expected:
    """Return a page by sections 4.3 and 4.4 of the Relay cursor connections specification."""
    rows = sorted(rows, reverse=which.order.descending)

    def comes_before(one: Position, other: Position) -> bool:
        return one > other if which.order.descending else one < other

    before_it = [row for row in rows if which.after and not comes_before(which.after, row)]
    after_it = [row for row in rows if which.before and not comes_before(row, which.before)]
    edges = [row for row in rows if row not in before_it and row not in after_it]
    visible = edges[-which.size :] if which.backward else edges[: which.size]
    more = len(edges) > which.size
    return Expected(
        [row.id for row in visible],
        has_previous=(more and which.backward) or bool(before_it),
        has_next=(more and not which.backward) or bool(after_it),
    )


@pytest.fixture
def sample(request: pytest.FixtureRequest) -> Callable[[Iterable[Window]], Sequence[Window]]:
    """Choose a fifth of the windows, the same in every run; all of them with --exhaustive."""
    if request.config.getoption("exhaustive"):
        return list
    chance = random.Random(request.node.name)

    def choose(windows: Iterable[Window]) -> Sequence[Window]:
        result = list(windows)
        return chance.sample(result, len(result) // 5)

    return choose


def windows(order: Order, rows: Sequence[Position], sizes: Sequence[int]) -> Iterator[Window]:
    """Return every window of these sizes with every pair of cursors, some of rows that are gone."""
    deleted = [position for position in rows if position.id.int % 3 == 0]
    places = [
        None,
        *rows,
        *(Position(place.key, UUID(int=place.id.int - 1)) for place in deleted[:2]),
    ]
    for after, before, size, backward in itertools.product(places, places, sizes, (False, True)):
        yield Window(order, size, backward, after, before)


def observed(page: RowPage, order: Order) -> Expected:
    assert [order.decode(cursor, "after").id for cursor in page.cursors] == [
        row["id"] for row in page.rows
    ]
    return Expected([row["id"] for row in page.rows], page.has_previous, page.has_next)


@pytest.fixture
async def filled(database: Database) -> Database:
    """Threads of various sizes; some rows were made at the same moment."""

    for number, size in enumerate(SIZES):
        begun = START + timedelta(hours=number // 2)
        comments = [
            Comment(
                author_name="Ada",
                message="one two " * (1 + index % 2),
                created_at=begun + timedelta(minutes=index // 2),
            )
            for index in range(size)
        ]
        thread = Thread(title=f"Thread {number}", created_at=begun, comments=comments)
        await store(database, thread)
    return database


async def positions(database: Database, order: Order) -> list[tuple[UUID, Position]]:
    """Return the position of every row in an order, with the id of its thread."""
    entity = order.entity
    parent = entity.thread_id if entity is Comment else entity.id
    rows = await fetch(database, select(parent, order.expression(entity), entity.id))
    return [(parent, Position(key, id)) for parent, key, id in rows]


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", sorted({name for name, _ in THREADS}))
async def test_page_of_threads_equals_oracle(filled: Database, name: str, sample: Any) -> None:
    for descending in (False, True):
        order = THREADS[name, descending]
        rows = [position for _, position in await positions(filled, order)]
        assert len(rows) == len(SIZES)
        async with filled.rows() as reader:
            for which in sample(windows(order, rows, (1, 3))):
                page = await read_page(reader, which, EVERYTHING)
                assert observed(page, order) == oracle(rows, which), which


@pytest.mark.slow
@pytest.mark.parametrize("descending", [False, True])
async def test_pages_of_comments_equal_oracle(
    filled: Database, descending: bool, sample: Any
) -> None:
    order = COMMENTS["CREATED_AT", descending]
    rows = await positions(filled, order)
    assert len(rows) == sum(SIZES)
    threads = [id for id, _ in await positions(filled, THREADS["CREATED_AT", False])]
    async with filled.rows() as reader:
        places = [position for _, position in rows[::3]]
        for which in sample(windows(order, places, (1, 3, 100))):
            pages = await read_comment_pages(reader, threads, which, EVERYTHING)
            assert pages.keys() == set(threads)
            for id, page in pages.items():
                mine = [position for parent, position in rows if parent == id]
                assert observed(page, order) == oracle(mine, which), which


async def test_pages_of_deleted_threads_are_left_out(filled: Database) -> None:
    order = COMMENTS["CREATED_AT", False]
    (id, _), *_ = await positions(filled, THREADS["COMMENT_COUNT", True])
    async with filled.rows() as reader:
        pages = await read_comment_pages(
            reader, [id, UUID(int=7)], PageArguments(first=3).window(order, 100), EVERYTHING
        )
    assert pages.keys() == {id}


PAGE = """query($first: Int, $last: Int, $after: String, $before: String, $by: ThreadOrder) {
  threads(first: $first, last: $last, after: $after, before: $before, orderBy: $by) {
    totalCount nodes { id } edges { cursor node { id title } }
    pageInfo { startCursor endCursor hasNextPage hasPreviousPage } } }"""


async def walk(api: Api, size: int, by: dict[str, str], backward: bool) -> list[str]:
    """Return every title, page by page from one end to the other, in the order asked for."""
    titles: list[str] = []
    paging: dict[str, Any] = {"last" if backward else "first": size}
    for _ in range(100):
        page = await api(PAGE, by=by, **paging)
        info, edges = page["pageInfo"], page["edges"]
        result = [edge["node"]["title"] for edge in edges]
        assert page["totalCount"] == len(SIZES)
        assert [node["id"] for node in page["nodes"]] == [edge["node"]["id"] for edge in edges]
        assert (info["startCursor"], info["endCursor"]) == (
            (edges[0]["cursor"], edges[-1]["cursor"]) if edges else (None, None)
        )
        behind, ahead = info["hasPreviousPage"], info["hasNextPage"]
        assert (ahead if backward else behind) == bool(titles)
        titles = result + titles if backward else titles + result
        if not (behind if backward else ahead):
            return titles
        paging["before" if backward else "after"] = info["startCursor" if backward else "endCursor"]
    raise AssertionError("the walk does not end")


@pytest.mark.slow
async def test_walk_sees_every_thread_once_in_both_directions(filled: Database) -> None:
    api = Api(filled)
    for (name, descending), order in THREADS.items():
        by = {"field": name, "direction": "DESC" if descending else "ASC"}
        rows = sorted((p for _, p in await positions(filled, order)), reverse=descending)
        everything = await walk(api, 100, by, backward=False)
        assert len(everything) == len(set(everything)) == len(rows)
        for size, backward in itertools.product((1, 3, len(SIZES)), (False, True)):
            assert await walk(api, size, by, backward) == everything


async def test_walk_continues_after_deleted_row(filled: Database) -> None:
    api = Api(filled)
    by = {"field": "CREATED_AT", "direction": "ASC"}
    everything = [edge["node"] for edge in (await api(PAGE, by=by, first=100))["edges"]]
    page = await api(PAGE, by=by, first=3)
    deleted = page["edges"][-1]["node"]
    await api(
        "mutation($id: ID!) { deleteThread(input: {threadId: $id}) { deletedThreadId } }",
        id=deleted["id"],
    )
    remainder = await api(PAGE, by=by, first=100, after=page["pageInfo"]["endCursor"])
    assert [edge["node"] for edge in remainder["edges"]] == everything[3:]
    assert remainder["pageInfo"]["hasPreviousPage"] is True


async def test_empty_page_has_page_info(filled: Database) -> None:
    api = Api(filled)
    cursor = (await api(PAGE, first=100))["pageInfo"]["endCursor"]
    page = await api(PAGE, first=5, after=cursor)
    assert page == {
        "totalCount": len(SIZES),
        "nodes": [],
        "edges": [],
        "pageInfo": {
            "startCursor": None,
            "endCursor": None,
            "hasNextPage": False,
            "hasPreviousPage": True,
        },
    }


async def test_default_orders_are_recent_threads_and_old_comments(filled: Database) -> None:
    api = Api(filled)
    order = THREADS["LAST_COMMENT_AT", True]
    expected = sorted((p for _, p in await positions(filled, order)), reverse=True)
    query = """{ threads(first: 100) { nodes { title lastCommentAt createdAt
                   comments(first: 100) { nodes { createdAt id } } } }
                 same: threads(first: 100, orderBy: null) { nodes { title } } }"""
    answer = await api(query)
    threads = answer["threads"]["nodes"]
    assert [node["title"] for node in answer["same"]["nodes"]] == [t["title"] for t in threads]
    times = [thread["lastCommentAt"] or thread["createdAt"] for thread in threads]
    assert [datetime.fromisoformat(time) for time in times] == [p.key for p in expected]
    for thread in threads:
        created = [comment["createdAt"] for comment in thread["comments"]["nodes"]]
        assert created == sorted(created)


async def test_nested_pages_can_be_walked_under_aliases(filled: Database) -> None:
    api = Api(filled)
    query = """query($after: String, $before: String) { threads(first: 100) { nodes {
        title commentCount
        all: comments(first: 100) { totalCount edges { cursor node { id } } }
        from: comments(first: 2, after: $after) { nodes { id } pageInfo { hasPreviousPage } }
        to: comments(last: 2, before: $before) { nodes { id } pageInfo { hasNextPage } } } } }"""
    largest = max((await api(query))["nodes"], key=lambda node: node["commentCount"])
    edges = largest["all"]["edges"]
    assert largest["all"]["totalCount"] == largest["commentCount"] == len(edges) == max(SIZES)
    answer = await api(query, after=edges[1]["cursor"], before=edges[5]["cursor"])
    (same,) = [node for node in answer["nodes"] if node["title"] == largest["title"]]
    assert same["from"]["nodes"] == [edge["node"] for edge in edges[2:4]]
    assert same["to"]["nodes"] == [edge["node"] for edge in edges[3:5]]
    assert same["from"]["pageInfo"] == {"hasPreviousPage": True}
    assert same["to"]["pageInfo"] == {"hasNextPage": True}


@settings(max_examples=60, deadline=None)
@given(
    keys=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), unique=True, max_size=12),
    size=st.integers(1, 5),
    backward=st.booleans(),
    descending=st.booleans(),
    after=st.none() | st.tuples(st.integers(0, 3), st.integers(0, 9)),
    before=st.none() | st.tuples(st.integers(0, 3), st.integers(0, 9)),
)
def test_oracle_agrees_with_slices(**case: Any) -> None:
    """The oracle itself, against the plainest reading: a list, cut at two places."""
    rows = sorted((Position(k, UUID(int=i)) for k, i in case["keys"]), reverse=case["descending"])
    ends = {
        name: case[name] and Position(case[name][0], UUID(int=case[name][1]))
        for name in ("after", "before")
    }
    which = Window(
        THREADS["WORD_COUNT", case["descending"]], case["size"], case["backward"], **ends
    )
    sign = -1 if case["descending"] else 1

    def place(position: Position) -> tuple[int, int]:
        return sign * position.key, sign * position.id.int

    low = sum(place(row) <= place(which.after) for row in rows) if which.after else 0
    high = sum(place(row) < place(which.before) for row in rows) if which.before else len(rows)
    cut = rows[low:high] if low <= high else []
    visible = cut[-which.size :] if which.backward else cut[: which.size]
    assert oracle(rows, which).ids == [row.id for row in visible]
