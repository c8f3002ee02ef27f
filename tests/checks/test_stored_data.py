"""Checks of stored data: orphaned threads, outdated word counts, counters that drift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from support.reply_trees import grow

from tallied.checks import Finding, check, stored_data
from tallied.database import Database, UnitOfWork
from tallied.discussion import Discussion
from tallied.host.access import HostRules
from tallied.host.targets import Target, targets_by_name
from tallied.models import Comment, Thread
from tallied.models.base import now
from tallied.resolvers.purge import purge_texts
from tallied.resolvers.withdrawal import lock_tree
from tallied.settings import Settings

SETTINGS = Settings(playground=False, environment="development", guests="write")


def rules(*targets: Target) -> HostRules:
    return HostRules(guests="write", targets=targets_by_name(targets))


async def finding_ids(
    database: Database, rules: HostRules | None = None, **options: Any
) -> list[Finding]:
    return await check(database, SETTINGS, rules, start=False, **options)


async def begin(database: Database, kind: str, ids: Sequence[str]) -> None:
    async def work(unit: UnitOfWork) -> None:
        rows = [{"title": "T", "target_type": kind, "target_id": id} for id in ids]
        await unit.session.execute(insert(Thread), rows)

    await database.write(work)


class Articles:
    """A host's articles, some of which have been deleted."""

    def __init__(self, *existing: str) -> None:
        self.existing = existing
        self.batches: list[int] = []

    async def titles(self, session: AsyncSession, ids: Sequence[str]) -> Mapping[str, str]:
        self.batches.append(len(ids))
        assert await session.scalar(text("SELECT 1")) == 1, "the session is one to ask with"
        return {id: f"Article {id}" for id in ids if id in self.existing}


async def test_threads_with_object_are_fine(database: Database) -> None:
    await begin(database, "article", ["1", "2", "3"])
    await begin(database, "page", ["1"])
    article = Target("article", Articles("1", "2", "3").titles)
    page = Target("page", Articles("1").titles)
    assert await finding_ids(database, rules(article, page)) == []
    assert await finding_ids(database) == [], "without rules, nobody knows what is registered"


async def test_threads_without_object_are_reported(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_data, "BATCH", 4)
    await begin(database, "article", [str(number) for number in range(10)])
    await begin(database, "page", ["5"])
    articles, pages = Articles("1", "4", "8"), Articles("5")
    (finding,) = await finding_ids(
        database, rules(Target("article", articles.titles), Target("page", pages.titles))
    )
    assert finding.id == "tallied.W020"
    assert finding.sentence.startswith("7 threads are about an object of the type 'article' that")
    assert finding.sentence.count(",") == 3, "three of them, and no more"
    assert articles.batches == [4, 4, 2], "a few at a time"

    named = finding.sentence.split(": ")[1].split(", ")[0]
    async with database.read() as connection:
        rows = await connection.execute(text("SELECT id FROM tallied_thread"))
        assert named.replace("-", "") in [str(id).replace("-", "") for (id,) in rows]


async def test_threads_of_unregistered_type_are_reported(database: Database) -> None:
    await begin(database, "article", ["1", "2"])
    await begin(database, "poll", ["1"])
    article = Target("article", Articles("1", "2").titles)
    (finding,) = await finding_ids(database, rules(article))
    assert finding.id == "tallied.W021"
    assert finding.sentence.startswith("1 thread is about an object of the type 'poll'")
    both = await finding_ids(database, rules())
    assert [item.id for item in both] == ["tallied.W021"] * 2


async def test_titles_that_fail_do_not_end_checks(database: Database) -> None:
    async def fail(session: AsyncSession, ids: Sequence[str]) -> Mapping[str, str]:
        raise LookupError("no such column")

    await begin(database, "article", ["1"])
    await begin(database, "poll", ["1"])
    first, second = await finding_ids(database, rules(Target("article", fail)))
    assert (first.id, second.id) == ("tallied.E021", "tallied.W021")
    assert "LookupError: no such column" in first.sentence


async def comment(database: Database, *messages: str) -> None:
    async def work(unit: UnitOfWork) -> None:
        thread = Thread(title="T", comments=[Comment(message=text) for text in messages])
        unit.session.add(thread)

    await database.write(work)


async def test_words_counted_otherwise_are_reported(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await comment(database, "one two", "three", "four five six")
    assert await finding_ids(database, deep=True) == []
    monkeypatch.setattr(Comment, "count_words", staticmethod(len))
    (finding,) = await finding_ids(database)
    assert finding.id == "tallied.W022"
    assert "3 have a word_count" in finding.sentence
    assert "--amounts" in finding.hint


async def test_failing_word_count_is_reported(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await comment(database, "one two")

    def fail(message: str) -> int:
        raise ValueError("no words")

    monkeypatch.setattr(Comment, "count_words", staticmethod(fail))
    (finding,) = await finding_ids(database)
    assert finding.id == "tallied.E023"
    assert "ValueError: no words" in finding.sentence


async def test_drift_is_found_by_deep_check_alone(database: Database) -> None:
    await comment(database, "one two", "three")
    await comment(database, "four")

    async with database.engine.begin() as connection:
        await connection.execute(update(Thread).values(word_count=Thread.word_count + 40))
        await connection.execute(
            update(Thread).where(Thread.comment_count == 2).values(comment_count=7)
        )
    assert await finding_ids(database) == []
    counts, words = await finding_ids(database, deep=True)
    assert (counts.id, words.id) == ("tallied.E022", "tallied.E022")
    assert counts.sentence.startswith("Thread.comment_count is wrong in 1 row: ")
    assert "(stored 7, true 2)" in counts.sentence
    assert words.sentence.startswith("Thread.word_count is wrong in 2 rows: ")
    assert "tallied rebuild" in words.hint


async def test_drifted_amount_names_repair_option(database: Database) -> None:
    await comment(database, "one two")
    async with database.engine.begin() as connection:
        await connection.execute(update(Comment).values(word_count=5))
    found_ids = {
        finding.sentence.split()[0]: finding for finding in await finding_ids(database, deep=True)
    }
    assert "`tallied rebuild --amounts`" in found_ids["Comment.word_count"].hint
    assert "`tallied rebuild`" in found_ids["Thread.word_count"].hint


async def test_discussion_checks_with_rules_of_host(database: Database) -> None:
    await begin(database, "article", ["1", "2"])
    settings = Settings()
    article = Target("article", Articles("1").titles)

    def ids(findings: list[Finding]) -> list[str]:
        return [finding.id for finding in findings]

    guests = Discussion(database, settings=settings, targets=[article])
    assert ids(await guests.check()) == ["tallied.W020"], "no API, and so no viewers of its own"
    guests.routes()
    assert ids(await guests.check()) == ["tallied.W003", "tallied.W020"]
    assert ids(await guests.check(start=True)) == ["tallied.W003"]
    signed_in = Discussion(database, settings=settings, get_viewer=lambda _: None)
    assert ids(await signed_in.check()) == ["tallied.W021"]
    assert ids(await signed_in.check(start=True, session_class=Session)) == ["tallied.E020"]


async def test_playground_is_checked_once_it_has_routes(database: Database) -> None:
    discussion = Discussion(
        database, settings=Settings(playground=True, secret="pZ3vQx7Lk0mWn8Rt2Yc5Uf9Hs1Jd4Ga6")
    )
    assert await discussion.check() == []
    discussion.routes()
    assert [finding.id for finding in await discussion.check()] == ["tallied.W001"]


async def test_replies_below_the_greatest_depth_are_found(database: Database) -> None:
    await grow(database, 1)
    assert await finding_ids(database, HostRules(reply_depth=4)) == []
    (finding,) = await check(database, replace(SETTINGS, reply_depth=1), start=False)
    assert finding.id == "tallied.W024"
    assert "3 comments are above the deepest, and 1 may be." in str(finding)


async def test_texts_that_nobody_purges_are_found(database: Database) -> None:
    thread = Thread(title="T")
    parent = Comment(message="one", thread_id=thread.id)
    reply = Comment(message="two", thread_id=thread.id, parent_id=parent.id, root_id=parent.id)

    async def work(unit: UnitOfWork) -> None:
        for row in (thread, parent, reply):
            unit.session.add(row)
            await unit.session.flush()
        tree = await lock_tree(unit.session, [parent.id])
        tree.delete(parent.id, "host", at=now() - timedelta(days=38))
        await tree.write()

    await database.write(work)
    (finding,) = await finding_ids(database)
    assert finding.id == "tallied.W023"
    assert await purge_texts(database, now()) == 1
    assert await finding_ids(database) == []
