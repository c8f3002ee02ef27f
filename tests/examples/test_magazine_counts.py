"""The example host's own counter, ``article.comment_count``, in its own units of work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, select, update
from support.press import Press
from support.rows import fetch, fetch_values

from magazine import articles
from magazine.discussion import make_discussion, make_engine
from magazine.models import Article
from tallied.database.unit_of_work import UnitOfWork
from tallied.models import Author, Comment, Thread
from tallied.resolvers import authors, comments


@pytest.fixture
async def press(with_tables: None, empty_url: str) -> AsyncIterator[Press]:
    async with Press(empty_url) as press:
        await press.add("eve", is_editor=True)
        yield press


async def add(unit: UnitOfWork, access: Any, id: int, message: str = "One.") -> UUID:
    new = comments.NewComment(message)
    done = await comments.add_comment(unit, access, await articles.thread_of(unit, id), new)
    assert done.comment is not None
    key: UUID = done.comment["id"]
    return key


async def visible(unit: UnitOfWork, id: int) -> int | None:
    """Return the counters in a session of the host before the commit."""
    return await unit.session.scalar(select(Article.comment_count).where(Article.id == id))


async def filled(press: Press) -> tuple[int, int, list[UUID]]:
    """Return an article with three comments, one with two; the keys of the three."""
    one, two = await press.article("Salt"), await press.article("Sand")
    keys = [await press.do(add, "ben", one, f"Number {number}.") for number in range(3)]
    for number in range(2):
        await press.do(add, "ben", two, f"Number {number}.")
    assert await press.numbers() == {one: (3, 3), two: (2, 2)}
    return one, two, keys


async def test_comment_count_follows_every_change(press: Press) -> None:
    one, two, keys = await filled(press)
    server = await press.thread_of(two)
    await press.do(comments.move_comment, "eve", keys[0], server)
    assert await press.numbers() == {one: (2, 2), two: (3, 3)}
    await press.do(comments.delete_comment, "ben", keys[1])
    assert await press.numbers() == {one: (1, 1), two: (3, 3)}
    await press.do(comments.edit_comment, "ben", keys[2], "Another message.")
    assert await press.numbers() == {one: (1, 1), two: (3, 3)}

    async def statement(unit: UnitOfWork) -> None:
        moved = update(Comment).where(Comment.thread_id == server, Comment.id != keys[0])
        await unit.session.execute(moved.values(thread_id=await articles.thread_of(unit, one)))
        assert [await visible(unit, id) for id in (one, two)] == [3, 1]
        await unit.session.execute(delete(Comment).where(Comment.id == keys[0]))

    await press.discussion.write(statement)
    assert await press.numbers() == {one: (3, 3), two: (0, 0)}


async def test_deletions_keep_counts_exact(press: Press) -> None:
    one, two, _ = await filled(press)
    await press.do(add, "eve", two, "Mine.")

    async def leave(unit: UnitOfWork, access: Any) -> None:
        author = await authors.find_author(unit.session, access.viewer.subject)
        assert author is not None
        await authors.delete_author(unit, access, author)

    before = await fetch_values(press.discussion.database, select(Author.name))
    assert sorted(before) == ["ada", "ben", "eve"]
    await press.do(articles.delete, "ada", one)
    assert await press.numbers() == {two: (3, 3)}
    assert len(await fetch(press.discussion.database, select(Thread.id))) == 1
    await press.do(leave, "eve")
    page = await press.guest().see(f"/articles/{two}")
    assert page.css_first("#discussion h2").text() == "3 comments"
    assert page.css_first(".tallied-by strong").text() == "someone who has left"


async def test_rollback_of_host_undoes_comment(press: Press) -> None:
    one, _, keys = await filled(press)
    draft = await press.article("Silt", draft=True)
    before = await press.numbers()

    async def work(unit: UnitOfWork) -> None:
        ada, ben = press.access("ada"), press.access("ben")
        await articles.publish(unit, ada, draft)
        await add(unit, ben, draft)
        await add(unit, ben, one)
        await comments.delete_comment(unit, ben, keys[0])
        await comments.move_comment(
            unit, press.access("eve"), keys[1], await articles.thread_of(unit, draft)
        )
        assert [await visible(unit, id) for id in (one, draft)] == [2, 2]
        raise RuntimeError("the host changes its mind")

    reply = len(press.told)
    with pytest.raises(RuntimeError, match="changes its mind"):
        await press.discussion.write(work)
    assert await press.numbers() == before
    assert before[draft] == (0, 0)
    assert len(press.told) == reply
    await press.guest().see(f"/articles/{draft}", 404)
    titles = await fetch_values(press.discussion.database, select(Thread.title))
    assert sorted(titles) == ["Salt", "Sand"]


async def test_publishing_and_first_comment_are_one_unit(press: Press) -> None:
    draft = await press.article("Silt", draft=True)

    async def work(unit: UnitOfWork) -> int | None:
        await articles.publish(unit, press.access("ada"), draft)
        await add(unit, press.access("ada"), draft, "I begin.")
        article = await unit.session.get_one(Article, draft)
        return article.comment_count

    assert await press.discussion.write(work) == 1
    assert await press.numbers() == {draft: (1, 1)}
    assert await (await press.browser("ben")).messages(draft) == ["I begin."]


@pytest.mark.slow
async def test_concurrent_writers_lose_nothing(press: Press) -> None:
    """Two processes, as far as the database can tell: each has an engine of its own."""
    one, two, keys = await filled(press)
    engine = make_engine(press.url)
    other = make_discussion(engine)

    async def write(discussion: Any, name: str, here: int, server: int) -> None:
        access = press.access(name)
        for number in range(8):
            await discussion.write(
                lambda unit, number=number: add(unit, access, here, f"{number}, too.")
            )
            key = await discussion.write(
                lambda unit, number=number: add(unit, access, server, f"{number}.")
            )
            if number % 2:
                await discussion.write(
                    lambda unit, key=key: comments.delete_comment(unit, access, key)
                )

    await asyncio.gather(
        write(press.discussion, "ben", one, two),
        write(other, "eve", two, one),
        press.do(comments.delete_comment, "ben", keys[0]),
        other.write(lambda unit: comments.delete_comment(unit, press.access("ben"), keys[1])),
    )
    await engine.dispose()
    assert await press.numbers() == {one: (13, 13), two: (14, 14)}
