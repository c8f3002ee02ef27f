"""Totals, and filters without an index, which read so many rows at most, on both paths."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.plans import PlannedApi

from tallied.database import Database, UnitOfWork
from tallied.models import Comment, Thread
from tallied.resolvers.pagination import statements

START = datetime(2026, 1, 1, tzinfo=UTC)
TITLES = ["alpha xy", "beta", "gamma", "delta xy", "epsilon", "zeta", "eta xy", "theta"]
SEARCH = """query($first: Int, $last: Int, $after: String, $before: String, $by: ThreadFilter) {
  threads(first: $first, last: $last, after: $after, before: $before, filterBy: $by,
    orderBy: {field: CREATED_AT, direction: ASC}) { totalCount edges { cursor node { title } }
    pageInfo { hasPreviousPage hasNextPage } } }"""
TOTALS = """query($by: ThreadFilter, $of: CommentFilter) { threads(filterBy: $by) { totalCount
  nodes { comments { totalCount } filtered: comments(filterBy: $of) { totalCount } } } }"""


async def fill(database: Database) -> None:
    """Write the threads, each with three comments."""
    threads = [
        Thread(
            title=title,
            created_at=START + timedelta(hours=hour),
            comments=[Comment(author_name=name, message="x") for name in ("Ada", "Ada", "Bob")],
        )
        for hour, title in enumerate(TITLES)
    ]

    async def work(unit: UnitOfWork) -> None:
        unit.session.add_all(threads)

    await database.write(work)


async def ask(database: Database, query: str, **variables: Any) -> Any:
    """Return the list of threads, which is the same on both paths."""
    api = PlannedApi(database)
    answer = await api(query, **variables)
    assert answer == await api.by_core(query, **variables)
    assert api.counts.executed == 1
    return answer["data"]["threads"]


def titles(page: Any) -> list[str]:
    """Return the titles of a page."""
    return [edge["node"]["title"] for edge in page["edges"]]


@pytest.mark.parametrize(
    ("by", "of", "totals"),
    [
        (None, None, (2, 3, 3)),
        ({"minCommentCount": 1}, {"authorName": "Ada"}, (2, 3, 2)),
        ({"titleContains": "gamma"}, {"since": "2026-01-01T00:00:00Z"}, (1, 3, 2)),
        ({"titleContains": "xy"}, {"authorName": "Bob"}, (2, 3, 1)),
        ({"titleContains": "none"}, {"authorName": "Eve"}, (0, 0, 0)),
    ],
)
async def test_totals_are_counted_to_a_bound(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    by: Any,
    of: Any,
    totals: tuple[int, int, int],
) -> None:
    await fill(database)
    monkeypatch.setattr(statements, "MAX_COUNT", 2)
    page = await ask(database, TOTALS, by=by, of=of)
    assert page["totalCount"] == totals[0]
    for node in page["nodes"]:
        numbers = node["comments"]["totalCount"], node["filtered"]["totalCount"]
        assert numbers == totals[1:]


async def test_short_text_is_found_in_next_threads(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(database)
    monkeypatch.setattr(statements, "MAX_SEARCHED", 4)
    page = await ask(database, SEARCH, by={"titleContains": "XY"})
    assert titles(page) == ["alpha xy", "delta xy"]
    assert page["totalCount"] == 2
    assert page["pageInfo"] == {"hasPreviousPage": False, "hasNextPage": False}
    after = page["edges"][-1]["cursor"]
    page = await ask(database, SEARCH, by={"titleContains": "XY"}, after=after)
    assert titles(page) == ["eta xy"]
    assert page["pageInfo"]["hasPreviousPage"]
    before = page["edges"][0]["cursor"]
    page = await ask(database, SEARCH, by={"titleContains": "XY"}, last=1, before=before)
    assert titles(page) == ["delta xy"]
    assert page["pageInfo"] == {"hasPreviousPage": False, "hasNextPage": True}
    first = await ask(database, SEARCH, by={"titleContains": "XY"}, first=1)
    assert first["pageInfo"]["hasNextPage"]


@pytest.mark.parametrize("text", ["eta", "a x", "xy"])
async def test_only_text_without_trigram_is_bounded(
    database: Database, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    await fill(database)
    monkeypatch.setattr(statements, "MAX_SEARCHED", 3)
    expected = [title for title in TITLES if text in title]
    page = await ask(database, SEARCH, by={"titleContains": text})
    assert titles(page) == (expected if text == "eta" else expected[:1])


async def test_search_meets_other_conditions(database: Database) -> None:
    await fill(database)
    moment = (START + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    by = {"titleContains": "xy", "activeSince": moment, "minCommentCount": 3}
    assert titles(await ask(database, SEARCH, by=by)) == ["alpha xy", "delta xy", "eta xy"]
    by["minCommentCount"] = 4
    assert titles(await ask(database, SEARCH, by=by)) == []
