"""Keys and times that stay as SQLite has them, in the spellings that there may be."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import select, text
from support.plans import PlannedApi

from tallied.database import Database, UnitOfWork
from tallied.models import Comment, Thread
from tallied.operations.errors import Guard
from tallied.operations.ids import check_stored_keys, encode_ids, encode_stored_ids, unique_keys
from tallied.schema.ids import encode_id

pytestmark = pytest.mark.sqlite

START = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)
KEYS = [UUID(int=number * 3**70) for number in range(12)]

NESTED = """{ threads { nodes { id title createdAt lastCommentAt lockedAt viewerCanDelete
  comments { edges { cursor node { id message createdAt author { id createdAt } } } } } } }"""
PLAIN = """{ threads { nodes { id createdAt lastCommentAt
  comments { nodes { id createdAt thread { id updatedAt } } } } } }"""
COUNTED = """{ threads { nodes { createdAt
  comments(filterBy: {authorName: "Ada"}) { totalCount nodes { editedAt } } } } }"""


async def fill(database: Database) -> Thread:
    """Write three threads with comments, and return the first of them."""
    threads = [
        Thread(
            title=f"Engine {number}",
            created_at=START,
            comments=[Comment(author_name="Ada", message="one two") for _ in range(2)],
        )
        for number in range(3)
    ]

    async def work(unit: UnitOfWork) -> None:
        unit.session.add_all(threads)

    await database.write(work)
    return threads[0]


async def change(database: Database, *statements: str, **values: object) -> None:
    """Change rows past SQLAlchemy's types, as a host may."""

    async def work(unit: UnitOfWork) -> None:
        await unit.session.execute(text("PRAGMA defer_foreign_keys = ON"))
        for statement in statements:
            await unit.session.execute(text(statement), values)

    await database.write(work)


@pytest.mark.parametrize("query", [NESTED, PLAIN, COUNTED])
async def test_stored_values_are_equal_to_graphql_core(database: Database, query: str) -> None:
    await fill(database)
    api = PlannedApi(database)
    assert await api(query) == await api.by_core(query)
    assert api.counts.executed == 1
    assert not api.counts.failed


@pytest.mark.parametrize(
    "time",
    [
        "2026-01-02 03:04:05",
        "2026-01-02 03:04:05.120",
        "2026-01-02T03:04:05.000001",
        "2026-01-02 03:04:05+02:00",
        "2026-01-02T03:04:05Z",
        "2026-01-02",
        "0001-01-01 00:00:00.000000",
        "9999-12-31 23:59:59.999999",
    ],
)
@pytest.mark.parametrize("query", [NESTED, PLAIN])
async def test_time_in_another_spelling_has_same_text(
    database: Database, query: str, time: str
) -> None:
    thread = await fill(database)
    statement = "UPDATE tallied_thread SET created_at = :time WHERE id = :id"
    await change(database, statement, time=time, id=thread.id.hex)
    api = PlannedApi(database)
    assert await api(query) == await api.by_core(query)
    assert api.counts.executed == 1


async def test_malformed_time_is_error_of_graphql_core(database: Database) -> None:
    thread = await fill(database)
    statement = "UPDATE tallied_thread SET created_at = 'never' WHERE id = :id"
    await change(database, statement, id=thread.id.hex)
    api = PlannedApi(database)
    answer = await api(PLAIN)
    assert answer["errors"]
    assert not api.counts.executed
    assert api.counts.failed == {"ValueError": 1}


async def test_key_in_another_spelling_is_left_to_core(database: Database) -> None:
    thread = await fill(database)
    values = {"text": str(thread.id).upper(), "id": thread.id.hex}
    await change(
        database,
        "UPDATE tallied_comment SET thread_id = :text WHERE thread_id = :id",
        "UPDATE tallied_thread SET id = :text WHERE id = :id",
        **values,
    )
    api = PlannedApi(database)
    assert await api(PLAIN) == await api.by_core(PLAIN)
    assert api.counts.guarded == {"key": 1}


async def test_values_for_functions_are_objects(database: Database) -> None:
    await fill(database)
    api = PlannedApi(database)
    query = "{ threads { nodes { id createdAt viewerCanComment viewerCanDelete } } }"
    assert await api(query) == await api.by_core(query)
    assert api.counts.executed == 1


async def test_key_is_stored_as_hexadecimal_digits(database: Database) -> None:
    thread = await fill(database)
    async with database.read() as connection:
        stored = await connection.scalar(
            select(text("id")).select_from(Thread.__table__).where(Thread.id == thread.id)
        )
    assert stored == thread.id.hex


@pytest.mark.parametrize("count", range(len(KEYS) + 1))
@pytest.mark.parametrize("type_name", ["Author", "Thread", "Comment", "ForumThread"])
def test_stored_keys_have_ids_of_objects(type_name: str, count: int) -> None:
    keys = [*KEYS[:count], *KEYS[:1]]
    expected = [encode_id(type_name, key) for key in keys]
    assert encode_stored_ids(type_name, [key.hex for key in keys]) == expected
    assert encode_ids(type_name, keys) == expected
    assert unique_keys([None, *keys]) == keys[: max(1, count)]


@pytest.mark.parametrize(
    "key",
    [
        str(KEYS[1]),
        KEYS[1].hex.upper(),
        KEYS[1].hex[1:],
        f"{KEYS[1].hex}0",
        f"{KEYS[1].hex}\n",
        "",
    ],
)
@pytest.mark.parametrize("others", [[], [KEYS[2].hex], [f"0{KEYS[2].hex}"]])
def test_malformed_stored_key_is_guard(key: str, others: list[str]) -> None:
    with pytest.raises(Guard):
        encode_stored_ids("Thread", [key, *others])
    with pytest.raises(Guard):
        check_stored_keys([*others, None, key])
