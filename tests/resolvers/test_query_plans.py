"""Every query uses an index, by the plans of both databases on full tables."""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias
from uuid import UUID

import pytest
from sqlalchemy import URL, NullPool, create_engine, insert, make_url, select, text
from support.api import Api
from support.databases import new_database
from support.host import Discreet, titles
from support.query_plans import assert_by_index, executed, plan_of, rows_about, sqlite_steps
from support.rows import fetch_value

from tallied.database import Database
from tallied.host.access import HostRules
from tallied.host.targets import Target, targets_by_name
from tallied.models import Author, Comment, Thread
from tallied.models.base import new_id
from tallied.resolvers.pagination.arguments import PageArguments, RequestedFields
from tallied.resolvers.pagination.orders import COMMENTS, THREADS
from tallied.resolvers.queries import read_comment_pages
from tallied.schema.ids import encode_id

THREAD_COUNT, COMMENT_COUNT = 2_000, 12_000


def comment(thread_id: UUID, created_at: datetime) -> dict[str, Any]:
    return {
        "id": new_id(),
        "thread_id": thread_id,
        "author_name": "Ada" if created_at.second % 50 else "Grace",
        "message": "one two three",
        "word_count": 3,
        "created_at": created_at,
    }


def fill(url: URL) -> None:
    """Fill in so many rows that no database would rather read them all, with invented counters."""
    chance = random.Random(7)
    start = datetime(2026, 1, 1, tzinfo=UTC)

    def moment() -> datetime:
        return start + timedelta(seconds=chance.randrange(10**7))

    threads = [
        {
            "id": new_id(),
            "title": "A title",
            "created_at": moment(),
            "updated_at": start,
            "comment_count": chance.randrange(500),
            "word_count": chance.randrange(50_000),
            "last_comment_at": moment() if chance.random() < 0.8 else None,
        }
        for _ in range(THREAD_COUNT)
    ]
    comments = [comment(chance.choice(threads)["id"], moment()) for _ in range(COMMENT_COUNT)]
    people = [{"id": new_id(), "subject": str(n), "created_at": start} for n in range(500)]
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(insert(Thread.__table__), threads)
        connection.execute(insert(Comment.__table__), comments)
        connection.execute(insert(Author.__table__), people)
        authors, ids = ([row["id"] for row in rows] for rows in (people, threads))
        for model, rows in rows_about([row["id"] for row in comments[:6000]], ids, authors):
            connection.execute(insert(model.__table__), rows)
        connection.execute(text("ANALYZE"))
    engine.dispose()


@pytest.fixture(scope="module")
def sqlite_template(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A full file, of which each test has a copy."""
    path = tmp_path_factory.mktemp("full") / "full.db"
    shutil.copyfile(sqlite_template, path)
    fill(URL.create("sqlite", database=str(path)))
    return path


@pytest.fixture(scope="module")
def databases(postgresql: URL, postgresql_template: str) -> Iterator[SimpleNamespace]:
    """Copies of a full database, one for each test."""
    with new_database(postgresql, postgresql_template) as text:
        url = make_url(text)
        fill(url.set(drivername="postgresql+psycopg"))
        yield SimpleNamespace(database=lambda: new_database(postgresql, str(url.database)))


@pytest.fixture
def full(database: Database) -> Database:
    """A copy of the full database."""
    return database


Explain: TypeAlias = Callable[..., Awaitable[list[str]]]


@pytest.fixture(params=[0, 1], ids=["graphql-core", "compiled"])
def explain(full: Database, request: pytest.FixtureRequest) -> Explain:
    """A function that returns how the database executes each statement of a GraphQL query.

    At its second use, a query is compiled.
    """

    async def explain(query: str, rules: HostRules | None = None, **variables: Any) -> list[str]:
        api = Api(full, rules=rules)
        for _ in range(request.param):
            await api(query, **variables)
        with executed(full) as statements:
            await api(query, **variables)
        return [await plan_of(full, *item) for item in statements]

    return explain


THREADS_PAGE = """
query($first: Int, $last: Int, $after: String, $before: String, $by: ThreadOrder) {
  threads(first: $first, last: $last, after: $after, before: $before, orderBy: $by) {
    nodes { title wordCount }
    pageInfo { startCursor endCursor hasNextPage hasPreviousPage } } }"""
COMMENTS_PAGE = """
query($first: Int, $last: Int, $after: String, $before: String, $by: CommentOrder) {
  threads(first: 20) { nodes { title
    comments(first: $first, last: $last, after: $after, before: $before, orderBy: $by) {
      nodes { message thread { title } }
      pageInfo { startCursor endCursor hasNextPage hasPreviousPage } } } } }"""


def assert_in_index_order(database: Database, plan: str) -> None:
    """Assert that the page is read in the order of the index, without a sort."""
    assert "ix_tallied_thread_" in plan, plan
    assert ("TEMP B-TREE" if database.is_sqlite else "Sort") not in plan, plan


@pytest.mark.slow
async def test_pages_of_threads_use_index_of_order(full: Database, explain: Explain) -> None:
    api = Api(full)
    for name, descending in THREADS:
        by = {"field": name, "direction": "DESC" if descending else "ASC"}
        for end in ({"first": 10}, {"last": 10}):
            (plan,) = await explain(THREADS_PAGE, by=by, **end)
            assert_by_index(full, plan)
            assert_in_index_order(full, plan)
        middle = (await api(THREADS_PAGE, by=by, first=100))["pageInfo"]["endCursor"]
        for paging in (
            {"first": 10, "after": middle},
            {"last": 10, "before": middle},
            {"last": 10, "after": middle},
            {"first": 10, "before": middle},
        ):
            (plan,) = await explain(THREADS_PAGE, by=by, **paging)
            assert_by_index(full, plan)
            if full.is_sqlite:  # From the cursor on, and not from the start of the index.
                assert plan.count("SEARCH tallied_thread USING") == 2, plan


@pytest.mark.slow
async def test_pages_of_comments_use_index(full: Database, explain: Explain) -> None:
    api = Api(full)
    nodes = (await api(COMMENTS_PAGE, first=2))["nodes"]
    middle = nodes[0]["comments"]["pageInfo"]["endCursor"]
    for direction in ("ASC", "DESC"):
        by = {"field": "CREATED_AT", "direction": direction}
        if direction == "DESC":
            nodes = (await api(COMMENTS_PAGE, first=2, by=by))["nodes"]
            middle = nodes[0]["comments"]["pageInfo"]["endCursor"]
        for paging in (
            {"first": 10},
            {"last": 10},
            {"first": 10, "after": middle},
            {"last": 10, "before": middle},
        ):
            result = await explain(COMMENTS_PAGE, by=by, **paging)
            assert len(result) == 2
            # That of one author will do as well, where a thread has few comments.
            assert "ix_tallied_comment_thread_id_" in result[1]
            if full.is_sqlite:
                assert "page USING INTEGER PRIMARY KEY (rowid=?)" in result[1]
            for plan in result:
                assert_by_index(full, plan)


FILTERED = """
query($by: ThreadFilter, $order: ThreadOrder) {
  threads(first: 10, filterBy: $by, orderBy: $order) { nodes { title wordCount } } }"""


@pytest.mark.slow
async def test_filters_of_threads_use_index_of_column(full: Database, explain: Explain) -> None:
    """Where few threads are let through, and they are not in the order of the filter."""
    async with full.engine.begin() as connection:
        rare = {"id": new_id(), "title": "A needle in it", "comment_count": 10**6}
        await connection.execute(
            insert(Thread.__table__), [rare | {"last_comment_at": datetime(2030, 1, 1, tzinfo=UTC)}]
        )
        # So many that PostgreSQL would rather not read every title.
        await connection.execute(
            insert(Thread.__table__),
            [{"id": new_id(), "title": f"Thread number {n}"} for n in range(15_000)],
        )
    async with full.read() as connection:
        # As autovacuum does in time: what was inserted of late is not in a GIN index yet.
        await connection.execute(text("ANALYZE" if full.is_sqlite else "VACUUM ANALYZE"))
    order = {"field": "CREATED_AT", "direction": "ASC"}
    for by, index in (
        ({"minCommentCount": 10**6}, "ix_tallied_thread_comment_count_id"),
        ({"activeSince": "2030-01-01T00:00:00Z"}, "ix_tallied_thread_last_activity_id"),
        ({"titleContains": "NEEDLE"}, "ix_tallied_thread_title_folded"),
    ):
        page = await Api(full)(FILTERED, by=by, order=order)
        assert [node["title"] for node in page["nodes"]] == ["A needle in it"]
        if not full.is_sqlite:
            (plan,) = await explain(FILTERED, by=by, order=order)
            assert index in plan, plan
            assert "Seq Scan" not in plan, plan


async def test_short_text_is_looked_for_in_order(
    full: Database, explain: Explain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No index finds two letters; so many rows are read in the order of the list at most."""
    monkeypatch.setattr("tallied.resolvers.pagination.statements.MAX_SEARCHED", 50)
    query = """query($by: ThreadFilter) { threads(filterBy: $by, first: 10) {
      totalCount nodes { title } } }"""
    for plan in await explain(query, by={"titleContains": "zz"}):
        assert "ix_tallied_thread_last_activity_id" in plan, plan
        if not full.is_sqlite:
            assert "Seq Scan" not in plan, plan
            assert "Sort" not in plan, plan
            assert re.search("Limit.*Subquery Scan.*Limit.*Index Scan", plan, re.DOTALL), plan


async def test_totals_read_bounded_number_of_rows(full: Database) -> None:
    query = "{ threads { totalCount } }"
    with executed(full) as statements:
        page = await Api(full)(query)
    assert page["totalCount"] == THREAD_COUNT
    ((statement, parameters),) = statements
    plan = await plan_of(full, statement, parameters)
    if not full.is_sqlite:
        assert "Limit" in plan, plan
    else:
        assert "CO-ROUTINE counted" in plan, plan


async def test_filter_and_order_share_index(full: Database, explain: Explain) -> None:
    for by, field in (
        ({"minCommentCount": 400}, "COMMENT_COUNT"),
        ({"activeSince": "2026-04-01T00:00:00Z"}, "LAST_COMMENT_AT"),
    ):
        for direction in ("ASC", "DESC"):
            order = {"field": field, "direction": direction}
            (plan,) = await explain(FILTERED, by=by, order=order)
            assert_by_index(full, plan)
            assert_in_index_order(full, plan)


async def test_filters_of_comments_use_indexes(full: Database, explain: Explain) -> None:
    query = """query($by: CommentFilter) { threads(first: 20) { nodes { title
      comments(first: 10, filterBy: $by) { totalCount nodes { message } } } } }"""
    for by, index in (
        ({"authorName": "Grace"}, "ix_tallied_comment_thread_id_author_name_key_created_at_id"),
        # Either index will do; which is the better one depends on the author and the time.
        ({"authorName": "Grace", "since": "2026-04-01T00:00:00Z"}, "ix_tallied_comment_thread_id_"),
        ({"since": "2026-04-20T00:00:00Z"}, "ix_tallied_comment_thread_id_"),
    ):
        result = await explain(query, by=by)
        assert len(result) == 3
        for plan in result[1:]:
            assert index in plan, plan
            assert "Seq Scan" not in plan, plan


async def rows_read(database: Database, thread_id: UUID) -> int:
    """Return the number of rows that the database read for the last ten comments."""
    order = COMMENTS["CREATED_AT", False]
    selection = RequestedFields(frozenset({"message"}), has_previous=True)
    with executed(database) as statements:
        async with database.rows() as reader:
            which = PageArguments(last=10).window(order, 100)
            pages = await read_comment_pages(reader, [thread_id], which, selection)
            assert len(pages[thread_id].rows) == 10
    ((statement, parameters),) = statements
    if not database.is_sqlite:
        async with database.read() as connection:
            explain = "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) " + statement
            plan = str((await connection.exec_driver_sql(explain, parameters)).scalar_one())
            return max(int(float(rows)) for rows in re.findall(r"'Actual Rows': ([\d.]+)", plan))
    return sqlite_steps(database, statement, parameters)


async def test_page_costs_same_in_small_and_in_large_thread(full: Database) -> None:
    ids = {size: new_id() for size in (20, 5_000)}
    start = datetime(2026, 1, 1, tzinfo=UTC)
    async with full.engine.begin() as connection:
        await connection.execute(
            insert(Thread.__table__), [{"id": id, "title": "A title"} for id in ids.values()]
        )
        await connection.execute(
            insert(Comment.__table__),
            [
                comment(ids[size], start + timedelta(seconds=number))
                for size in ids
                for number in range(size)
            ],
        )
        await connection.execute(text("ANALYZE"))
    small, large = [await rows_read(full, id) for id in ids.values()]
    assert small >= 11
    assert large <= small * 1.1


async def test_lookups_use_primary_key(full: Database, explain: Explain) -> None:
    api = Api(full)
    nodes = (
        await api("{ threads(first: 9) { nodes { id comments(first: 1) { nodes { id } } } } }")
    )["nodes"]
    comment = next(n["comments"]["nodes"][0] for n in nodes if n["comments"]["nodes"])
    query = """query($t: ID!, $c: ID!) { thread(id: $t) { title }
                 comment(id: $c) { message thread { title } } }"""
    result = await explain(query, t=nodes[0]["id"], c=comment["id"])
    assert len(result) in (3, 2)  # A compiled query reads the comment with its thread.
    for plan in result:
        assert_by_index(full, plan)
        assert ("sqlite_autoindex_tallied" if full.is_sqlite else "pk_tallied") in plan


async def test_counts_use_index_of_targets(full: Database, explain: Explain) -> None:
    query = """query($targets: [TargetInput!]!) { counts(targets: $targets) { commentCount } }"""
    names = ("article", "film")
    rules = HostRules(targets=targets_by_name([Target(name, titles) for name in names]))
    targets = [{"type": names[number % 2], "key": str(number)} for number in range(100)]
    (plan,) = await explain(query, rules=rules, targets=targets)
    assert "uq_tallied_thread_target_type_target_id" in plan, plan
    assert "SCAN" not in plan.replace("Scan", ""), plan
    assert "Seq Scan" not in plan, plan


async def test_numbers_of_authors_use_index(full: Database, explain: Explain) -> None:
    """They are counted where a policy hides threads."""
    id = encode_id("Author", await fetch_value(full, select(Author.id).limit(1)))
    query = "query($id: ID!) { author(id: $id) { commentCount wordCount } }"
    _, plan = await explain(query, rules=HostRules(policy=Discreet()), id=id)
    # PostgreSQL counts both numbers in one LATERAL.
    reads = 2 if full.is_sqlite else 1
    assert plan.count("ix_tallied_comment_author_id_thread_id_created_at_id") == reads, plan
    assert ("TEMP B-TREE" if full.is_sqlite else "Sort") not in plan, plan
    assert "Seq Scan" not in plan, plan


async def test_mutations_use_indexes(full: Database) -> None:
    nodes = await Api(full)(
        "{ threads(first: 9) { nodes { id comments(last: 2) { nodes { id } } } } }"
    )
    (one, *comments), (other, *_), *_ = (
        [node["id"], *(comment["id"] for comment in node["comments"]["nodes"])]
        for node in nodes["nodes"]
        if len(node["comments"]["nodes"]) == 2
    )
    query = """mutation($one: ID!, $other: ID!, $a: ID!, $b: ID!) {
      addComment(input: {threadId: $one, authorName: "Ada", message: "x"}) { thread { title } }
      editComment(input: {commentId: $a, message: "y"}) { thread { title } }
      moveComment(input: {commentId: $a, threadId: $other}) { previousThread { title } }
      deleteComment(input: {commentId: $b}) { thread { title } }
      renameThread(input: {threadId: $one, title: "z"}) { thread { title } }
      deleteThread(input: {threadId: $other}) { thread { title } } }"""
    with executed(full) as statements:
        await Api(full)(query, one=one, other=other, a=comments[0], b=comments[1])
    assert {statement.split()[0] for statement, _ in statements} >= {"SELECT", "UPDATE", "DELETE"}
    for statement, parameters in statements:
        if parameters and isinstance(parameters[0], tuple):
            parameters = parameters[0]  # of a statement that is executed with many
        plan = await plan_of(full, statement, parameters)
        if full.is_sqlite:
            assert_by_index(full, plan)
        else:  # the index of replies is read whole, since there is none
            assert "Seq Scan" not in plan, plan
