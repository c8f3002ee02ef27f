"""Demo data: realistic scripts, sizes and times, counted by the engine."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from sqlalchemy import Row, func, select
from support.host import Host, key
from support.reply_trees import add_chain, assert_sound, read_texts

from tallied.database import Database
from tallied.errors import BadUserInput
from tallied.models import Author, Comment, ReactionTotal, Revision, Thread
from tallied.models.base import now
from tallied.models.counters import counters
from tallied.seed import count_threads, data, seed, tombstones

REVISIONS = (Revision.number, Revision.comment_id, Revision.message)


async def rows(database: Database, *columns: Any) -> list[Row[Any]]:
    async with database.read() as connection:
        return list(await connection.execute(select(*columns).order_by(columns[0])))


async def drifted(database: Database) -> list[Any]:
    async with database.engine.connect() as connection:
        return await connection.run_sync(lambda sync: list(counters.verify(sync)))


async def test_some_comments_with_replies_are_deleted(database: Database) -> None:
    host = Host(database)
    thread = await host.ada.thread("Engines")
    ids = [(await add_chain(host.ada, thread, 2))[0] for _ in range(40)]
    chosen = tombstones.choose(Random(1), [key(id) for id in ids])
    assert len(chosen) == 1
    assert tombstones.choose(Random(1), []) == []
    await database.write(lambda unit: tombstones.delete_comments(unit, Random(1), chosen))
    assert len(await rows(database, Comment.id, Comment.status == "deleted")) == 80
    assert len(await read_texts(database)) == 1
    await assert_sound(database)
    await host.assert_exact()


async def test_seed_adds_requested_rows_with_exact_counters(database: Database) -> None:
    await seed(database, threads=30, comments=500, random_seed=1)

    threads = await rows(database, Thread.id, Thread.comment_count, Thread.word_count)
    messages = await rows(database, Comment.id, Comment.thread_id, Comment.message, Comment.shown)
    assert (len(threads), len(messages)) == (30, 500)
    for thread in threads:
        own = [row.message for row in messages if row.thread_id == thread.id and row.shown]
        assert thread.comment_count == len(own)
        assert thread.word_count == sum(len(message.split()) for message in own)
    assert await drifted(database) == []


async def test_people_reply_react_edit_and_flag(
    database: Database, statements: Callable[[], Any]
) -> None:
    """All of a unit are a few statements a table, whatever the number of rows."""
    with statements() as executed:
        await seed(database, threads=20, comments=900, random_seed=2)
    assert len(executed) < 60
    status = await rows(database, Comment.status, Comment.flagged, Comment.revision)
    numbers = Counter(row.status for row in status)
    assert numbers["pending"] == 2
    assert 1 <= numbers["deleted"] < 20
    assert sum(row.flagged for row in status) == 3
    assert sum(row.revision > 1 for row in status) >= 9
    depths = Counter(row.depth for row in await rows(database, Comment.depth))
    assert {*depths} == {0, 1, 2, 3, 4}
    totals = await rows(database, ReactionTotal.count)
    assert len(totals) > 20
    assert len(await rows(database, Author.id)) == 40
    queue = await Host(database).moderator("{ moderationQueue { totalCount nodes { message } } }")
    assert queue["totalCount"] == 5
    messages = {row.comment_id: row.message for row in await rows(database, *REVISIONS)}
    for id, message in await rows(database, Comment.id, Comment.message):
        assert messages.get(id, message) == message
    assert await drifted(database) == []
    await assert_sound(database)


async def test_sizes_are_skewed(database: Database) -> None:
    await seed(database, threads=100, comments=1000, random_seed=3)
    sizes = sorted(row.comment_count for row in await rows(database, Thread.comment_count))
    assert sizes[:10] == [0] * 10
    assert sizes[-1] > 50, "the hottest thread has more than five times the mean"


async def test_titles_are_in_many_scripts(database: Database) -> None:
    await seed(database, threads=60, comments=600, random_seed=4)
    texts = [row.message for row in await rows(database, Comment.message)]
    scripts = {
        unicodedata.name(character, "").split()[0]
        for text in texts
        for character in text
        if character.isalpha()
    }
    assert {"LATIN", "CYRILLIC", "CJK", "ARABIC"} <= scripts
    assert any(ord(character) >= 0x1F300 for text in texts for character in text), "emoji"
    authors = {row.author_name for row in await rows(database, Comment.author_name)} - {None}
    assert {"LATIN", "CYRILLIC", "CJK", "ARABIC"} <= {
        unicodedata.name(name[0]).split()[0] for name in authors
    }


async def test_times_lie_in_past_in_order_and_keys_sort_by_them(database: Database) -> None:
    await seed(database, threads=40, comments=400, random_seed=5)
    result = await rows(database, Comment.id, Comment.created_at, Comment.thread_id)
    opened = {row.id: row.created_at for row in await rows(database, Thread.id, Thread.created_at)}
    assert all(opened[row.thread_id] <= row.created_at <= now() for row in result)
    milliseconds = [int(row.created_at.timestamp() * 1000) for row in result]
    assert milliseconds == sorted(milliseconds)
    assert max(opened.values()) - min(opened.values()) > data.AGE / 2


async def test_same_number_gives_same_texts(database: Database) -> None:
    await seed(database, threads=5, comments=50, random_seed=6)
    first = Counter(await rows(database, Comment.message, Comment.author_name))
    await seed(database, threads=5, comments=50, random_seed=6)
    both = Counter(await rows(database, Comment.message, Comment.author_name))
    assert both == first + first


async def test_seeding_adds_to_existing_rows(database: Database) -> None:
    assert await count_threads(database) == 0
    await seed(database, threads=4, comments=30, random_seed=7)
    assert await count_threads(database)
    before = await rows(database, Thread.id, Thread.title, Thread.word_count)
    await seed(database, threads=3, comments=20, random_seed=8)
    after = await rows(database, Thread.id, Thread.title, Thread.word_count)
    assert set(before) < set(after)
    assert len(after) == 7
    assert await drifted(database) == []


async def test_interrupted_seeding_leaves_exact_counters(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Units end in the middle of threads here, and the run ends after the third."""
    monkeypatch.setattr(data, "UNIT", 37)
    calls: list[tuple[int, int]] = []

    def interrupt(done: int, total: int) -> None:
        calls.append((done, total))
        if len(calls) == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        await seed(database, threads=10, comments=300, random_seed=9, progress=interrupt)
    assert calls == [(37, 310), (74, 310), (111, 310)]
    async with database.read() as connection:
        written = await connection.scalar(select(func.count()).select_from(Comment))
        assert written == 111 - await connection.scalar(select(func.count()).select_from(Thread))
    assert await drifted(database) == []


async def test_comments_need_thread(database: Database) -> None:
    with pytest.raises(BadUserInput, match="at least one thread"):
        await seed(database, threads=0, comments=5)
    assert await count_threads(database) == 0


async def test_seeding_at_once_leaves_nothing_when_interrupted(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "UNIT", 37)

    def interrupt(done: int, total: int) -> None:
        if done > 100:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        await seed(database, threads=10, comments=300, at_once=True, progress=interrupt)
    assert await rows(database, Comment.id) == []
    assert await count_threads(database) == 0
    await seed(database, threads=10, comments=300, random_seed=9, at_once=True)
    assert await count_threads(database) == 10
    assert len(await rows(database, Comment.id)) == 300
    assert await drifted(database) == []
