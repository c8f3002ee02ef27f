"""Filters: their rows, totals, pages and errors."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select
from sqlalchemy.orm import Session
from support.api import Api
from support.rows import store

from tallied.database import Database, UnitOfWork
from tallied.models import Comment, Thread

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
TITLES = (
    "Straße",
    "STRASSE",
    "Über den Wolken",
    "über",
    "ПРИВЕТ мир",
    "100% sure",
    "a_b",
    "a/b",
    "\uff37\uff49\uff44\uff45",
)
AUTHORS = ("Ada", "Grace", "ada")


@pytest.fixture
async def api(database: Database) -> Api:
    """Threads of growing size and age, whose comments take turns in authors and days."""

    for number, title in enumerate(TITLES):
        begun = START + timedelta(days=number)
        comments = [
            Comment(
                author_name=AUTHORS[index % 3],
                message=f"comment {index}",
                created_at=begun + timedelta(days=index),
            )
            for index in range(number)
        ]
        await store(database, Thread(title=title, created_at=begun, comments=comments))
    return Api(database)


THREADS = """query($by: ThreadFilter) { threads(first: 100, filterBy: $by) {
  totalCount nodes { title } } }"""


async def titles(api: Api, **by: Any) -> set[str]:
    """Return the titles of the threads that a filter lets through, which are as many as it says."""
    page = await api(THREADS, by=by)
    assert page["totalCount"] == len(page["nodes"])
    return {node["title"] for node in page["nodes"]}


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("strasse", {"Straße", "STRASSE"}),
        ("STRAßE", {"Straße", "STRASSE"}),
        ("üBER", {"Über den Wolken", "über"}),
        ("u\u0308ber", {"Über den Wolken", "über"}),
        ("привет", {"ПРИВЕТ мир"}),
        ("wide", {"\uff37\uff49\uff44\uff45"}),
        ("0% s", {"100% sure"}),
        ("%", {"100% sure"}),
        ("_", {"a_b"}),
        ("a/b", {"a/b"}),
        (" den ", {"Über den Wolken"}),
        ("nothing like it", set()),
    ],
)
async def test_title_filter_finds_text(api: Api, text: str, result: set[str]) -> None:
    assert await titles(api, titleContains=text) == result


async def test_renamed_thread_is_found_by_its_new_title(api: Api) -> None:
    id = await api.thread("Öfen")
    assert await titles(api, titleContains="öfen") == {"Öfen"}
    await api(
        'mutation($id: ID!) { renameThread(input: {threadId: $id, title: "Äpfel"}) '
        "{ thread { id } } }",
        id=id,
    )
    assert await titles(api, titleContains="ÄPFEL") == {"Äpfel"}
    assert await titles(api, titleContains="öfen") == set()


async def test_titles_are_folded_however_thread_is_written(database: Database) -> None:
    async def fill(unit: UnitOfWork) -> None:
        def write(session: Session) -> None:
            session.add(Thread(title="EINS"))
            session.execute(insert(Thread), [{"title": "ZWEI"}, {"title": "DREI"}])
            session.execute(insert(Thread).values(title="VIER"))

        await unit.session.run_sync(write)

    await database.write(fill)
    async with database.read() as connection:
        await connection.execute(insert(Thread.__table__), [{"title": "FÜNF"}, {"title": "SECHS"}])
        folded = await connection.scalars(select(Thread.title_folded))
        assert set(folded) == {"eins", "zwei", "drei", "vier", "fünf", "sechs"}


async def test_activity_filter_finds_recent_threads(api: Api) -> None:
    # The last activity of the n-th thread is on day 2n - 1, and of the first on day 0.
    for day, count in ((0, 9), (1, 8), (2, 7), (15, 1), (16, 0)):
        since = START + timedelta(days=day)
        assert len(await titles(api, activeSince=since.isoformat())) == count
        later = since + timedelta(microseconds=1)
        expected = {0: 8, 1: 7, 2: 7, 15: 0, 16: 0}[day]
        assert len(await titles(api, activeSince=later.isoformat())) == expected


async def test_comment_count_filter_finds_large_threads(api: Api) -> None:
    for least in (0, 1, 5, 8, 9, 2**31 - 1):
        assert len(await titles(api, minCommentCount=least)) == max(0, len(TITLES) - least)


async def test_conditions_are_combined(api: Api) -> None:
    by = {"titleContains": "b", "minCommentCount": 3}
    assert await titles(api, **by) == {"über", "a_b", "a/b"}
    since = (START + timedelta(days=12)).isoformat()
    assert await titles(api, **by, activeSince=since) == {"a/b"}


async def test_no_condition_is_no_filter(api: Api) -> None:
    for by in (None, {}, {"titleContains": None, "activeSince": None, "minCommentCount": None}):
        assert (await api(THREADS, by=by))["totalCount"] == len(TITLES)


COMMENTS = """query($by: CommentFilter, $first: Int, $last: Int, $after: String, $before: String) {
  threads(first: 100) { nodes { commentCount
    comments(filterBy: $by, first: $first, last: $last, after: $after, before: $before) {
      totalCount nodes { authorName message createdAt }
      pageInfo { startCursor endCursor hasNextPage hasPreviousPage } } } } }"""


async def test_comment_filter_finds_author_and_time(api: Api) -> None:
    since = START + timedelta(days=7)
    input: tuple[dict[str, Any], ...] = (
        {"authorName": "Ada"},
        {"authorName": " Grace "},
        {"authorName": "nobody"},
        {"since": since.isoformat()},
        {"authorName": "ada", "since": since.isoformat()},
    )
    everything = (await api(COMMENTS, first=100))["nodes"]
    for by in input:
        for node, every in zip(
            (await api(COMMENTS, by=by, first=100))["nodes"], everything, strict=True
        ):
            expected = [
                comment
                for comment in every["comments"]["nodes"]
                if by.get("authorName", comment["authorName"]).strip() == comment["authorName"]
                and ("since" not in by or datetime.fromisoformat(comment["createdAt"]) >= since)
            ]
            assert node["comments"]["nodes"] == expected
            assert node["comments"]["totalCount"] == len(expected)
            assert node["commentCount"] == len(every["comments"]["nodes"])


async def test_filtered_pages_can_be_walked_both_ways(api: Api) -> None:
    query = """query($by: ThreadFilter, $first: Int, $last: Int, $after: String, $before: String) {
      threads(filterBy: $by, first: $first, last: $last, after: $after, before: $before) {
        totalCount nodes { title }
        pageInfo { startCursor endCursor hasNextPage hasPreviousPage } } }"""
    by = {"minCommentCount": 2}
    everything = [node["title"] for node in (await api(query, by=by, first=100))["nodes"]]
    assert len(everything) == 7
    for size, backward in itertools.product((1, 3, 7), (False, True)):
        walked: list[str] = []
        place: dict[str, str] = {}
        while True:
            page = await api(query, by=by, **{"last" if backward else "first": size}, **place)
            result = [node["title"] for node in page["nodes"]]
            info = page["pageInfo"]
            assert page["totalCount"] == 7
            assert info["hasNextPage" if backward else "hasPreviousPage"] == bool(walked)
            walked = result + walked if backward else walked + result
            if not info["hasPreviousPage" if backward else "hasNextPage"]:
                break
            place = {"before": info["startCursor"]} if backward else {"after": info["endCursor"]}
        assert walked == everything


async def test_page_info_of_filtered_page_is_filtered(api: Api) -> None:
    by = {"authorName": "Ada"}
    page = (await api(COMMENTS, by=by, first=1))["nodes"][0]["comments"]
    assert page["totalCount"] == 3
    assert page["pageInfo"]["hasNextPage"] is True
    after = page["pageInfo"]["endCursor"]
    remainder = (await api(COMMENTS, by=by, first=2, after=after))["nodes"][0]["comments"]
    assert [node["message"] for node in remainder["nodes"]] == ["comment 3", "comment 6"]
    assert remainder["pageInfo"]["hasPreviousPage"] is True
    assert remainder["pageInfo"]["hasNextPage"] is False
    # Before that cursor stands no comment of Grace's.
    others = (await api(COMMENTS, by={"authorName": "Grace"}, first=9, after=after))["nodes"][0]
    assert others["comments"]["pageInfo"]["hasPreviousPage"] is False


BAD: list[tuple[str, dict[str, Any], str | None]] = [
    ("ThreadFilter", {"titleContains": "x" * 201}, "filterBy.titleContains"),
    ("ThreadFilter", {"titleContains": "a\0b"}, "filterBy.titleContains"),
    ("ThreadFilter", {"minCommentCount": -1}, "filterBy.minCommentCount"),
    ("ThreadFilter", {"minCommentCount": 2**31}, None),
    ("ThreadFilter", {"minCommentCount": "1"}, None),
    ("ThreadFilter", {"title": "x"}, None),
    ("CommentFilter", {"authorName": "\0"}, "filterBy.authorName"),
    ("CommentFilter", {"authorName": "x" * 101}, "filterBy.authorName"),
    *(
        (name, {field: moment}, None)
        for name, field in (("ThreadFilter", "activeSince"), ("CommentFilter", "since"))
        for moment in (
            "", "yesterday", "2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z",
            "2026-01-01T25:00:00Z", "2026-01-01T00:00:60Z", "20260101T000000Z",
            "2026-01-01T00:00:00+25:00", "0001-01-01T00:00:00+14:00", "\uff12026-01-01T00:00:00Z",
            "2026-01-01T00:00:00Z\n", 1767225600, True, [], {},
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_unusable_condition_is_refused(api: Api) -> None:
    for name, by, field in BAD:
        query = (
            f"query($by: {name}) {{ "
            + {
                "ThreadFilter": "threads(first: 1, filterBy: $by) { totalCount } }",
                "CommentFilter": "threads(first: 1) { nodes { comments(first: 1, filterBy: $by) "
                "{ totalCount } } } }",
            }[name]
        )
        error = await api.error(query, by=by)
        assert (error["code"], error.get("field")) == ("BAD_USER_INPUT", field), by
        assert 10 < len(error["message"]) < 200
        if field:
            assert error["message"].startswith(field)


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_date_times_are_read_as_rfc_3339(api: Api) -> None:
    """The last activity of all is on 2026-01-16, at noon in UTC."""
    for moment in (
        "2026-01-16T12:00:00Z",
        "2026-01-16t12:00:00z",
        "2026-01-16T14:00:00+02:00",
        "2026-01-16T02:30:00.000-09:30",
        "2026-01-16T12:00:00.0000000Z",
    ):
        assert len(await titles(api, activeSince=moment)) == 1, moment
        query = f'{{ threads(first: 9, filterBy: {{activeSince: "{moment}"}}) {{ totalCount }} }}'
        assert await api(query) == {"totalCount": 1}
    error = await api.error('{ threads(first: 9, filterBy: {activeSince: "now"}) { totalCount } }')
    assert error["code"] == "BAD_USER_INPUT"
    assert "DateTime" in error["message"]


async def test_nodes_are_fetched_by_their_ids_in_their_order(api: Api) -> None:
    thread = await api.thread("Engines")
    comment = await api.comment(thread, "one two")
    deleted = await api.comment(thread, "three")
    await api(
        "mutation($id: ID!) { deleteComment(input: {commentId: $id}) { deletedCommentId } }",
        id=deleted,
    )
    query = """query($ids: [ID!]!) { nodes(ids: $ids) { id __typename
      ... on Thread { title comments(first: 5) { nodes { message } } }
      ... on Comment { message thread { title } } } }"""
    expected = {
        thread: {
            "id": thread,
            "__typename": "Thread",
            "title": "Engines",
            "comments": {"nodes": [{"message": "one two"}]},
        },
        comment: {
            "id": comment,
            "__typename": "Comment",
            "message": "one two",
            "thread": {"title": "Engines"},
        },
        deleted: None,
    }
    for ids in ([], [thread], [comment, deleted, thread, comment]):
        assert await api(query, ids=ids) == [expected[id] for id in ids]
    error = await api.error(query, ids=[thread] * 101)
    assert (error["code"], error["field"]) == ("BAD_USER_INPUT", "ids")
