"""The migrations of the example host next to Tallied's, and the command that serves it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Connection, insert, inspect, select, text
from support.server import TIMEOUT, free_port

from magazine import articles, setup
from magazine.config import Config, ConfigError
from magazine.counters import MagazineSession, counters
from magazine.demo import COMMENTS, fill
from magazine.discussion import make_discussion, make_engine
from magazine.models import Article, Base, subject_of
from magazine.policy import Reader
from tallied.discussion import Discussion
from tallied.migrations.runner import downgrade as downgrade_tallied
from tallied.migrations.runner import migrate as migrate_tallied
from tallied.models import Comment, Thread
from tallied.resolvers import comments

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def discussion(empty_url: str) -> AsyncIterator[Discussion]:
    """The magazine's, on a database without tables."""
    engine = make_engine(empty_url)
    yield make_discussion(engine)
    await engine.dispose()


async def run(discussion: Discussion, step: Any) -> Any:
    """Return the result of a function of a connection, in a unit of work."""

    async def work(unit: Any) -> Any:
        return await (await unit.session.connection()).run_sync(step)

    return await discussion.write(work)


def proposed(connection: Connection) -> list[Any]:
    """Return the operations that autogenerate proposes for the magazine."""
    result: list[Any] = []

    def take(_: object, __: object, directives: list[Any]) -> None:
        result.extend(directives[0].upgrade_ops.as_diffs())
        directives.clear()

    command.revision(setup.config(connection), autogenerate=True, process_revision_directives=take)
    return result


async def test_autogenerate_proposes_nothing_existing(discussion: Discussion) -> None:
    await setup.set_up(discussion)
    assert await run(discussion, proposed) == []

    def change(connection: Connection) -> None:
        connection.execute(text("DROP INDEX ix_article_thread_id"))
        connection.execute(text("DROP INDEX ix_tallied_thread_created_at_id"))
        connection.execute(text("CREATE TABLE tallied_later (id INTEGER)"))
        connection.execute(text("CREATE TABLE of_nobody (id INTEGER)"))

    await run(discussion, change)
    kinds = [(item[0], item[1].name) for item in await run(discussion, proposed)]
    assert sorted(kinds) == [("add_index", "ix_article_thread_id"), ("remove_table", "of_nobody")]


async def test_existing_articles_get_discussions(discussion: Discussion) -> None:
    before = {1: "Salt", 2: "Sand", 3: "Silt"}
    await setup.migrate(discussion, "magazine_0001")
    await run(discussion, old_rows)
    await setup.set_up(discussion)
    await setup.set_up(discussion)  # which finds nothing to do
    async with discussion.database.read() as connection:
        query = select(Article.id, Thread.title, Article.comment_count)
        rows = (await connection.execute(query.outerjoin(Article.thread))).all()
    assert sorted(rows) == [(1, "Salt", 0), (2, "Sand", 0), (3, None, 0)]

    async def comment(unit: Any) -> None:
        new = comments.NewComment("It is I.")
        ada = discussion.access(Reader(subject_of(1), "ada", user_id=1))
        await comments.add_comment(unit, ada, await articles.thread_of(unit, 1), new)

    await discussion.write(comment)
    await setup.downgrade(discussion, "magazine_0001")
    old = "SELECT id, headline, published_on FROM article ORDER BY id"
    stored = await run(discussion, lambda it: it.execute(text(old)).all())
    assert [(id, headline) for id, headline, _ in stored] == list(before.items())
    assert [bool(day) for _, _, day in stored] == [True, True, False]
    assert await run(discussion, lambda it: it.scalar(select(Comment.message))) == "It is I."

    await setup.set_up(discussion)
    assert await run(discussion, lambda it: list(counters.verify(it))) == []
    await setup.downgrade(discussion, "base")
    await downgrade_tallied(discussion.database)
    names = "SELECT count(*) FROM alembic_version"
    assert await run(discussion, lambda it: it.scalar(text(names))) == 0


def old_rows(connection: Connection) -> None:
    """Insert people and articles, as they were before there were discussions."""
    person = {"name": "ada", "password_hash": "", "session_key": "", "is_editor": False}
    connection.execute(insert(Base.metadata.tables["user_account"]).values(id=1, **person))
    for number, headline in enumerate(("Salt", "Sand", "Silt")):
        day = "NULL" if headline == "Silt" else f"'2026-01-0{number + 1}'"
        connection.execute(
            text(
                "INSERT INTO article (id, headline, body, author_id, published_on)"
                f" VALUES ({number + 1}, '{headline}', 'A text.', 1, {day})"
            )
        )


async def test_without_tallieds_tables_nothing_is_migrated(discussion: Discussion) -> None:
    await setup.migrate(discussion, "magazine_0001")
    with pytest.raises(CommandError, match="run `tallied migrate` first"):
        await setup.migrate(discussion)
    columns = await run(discussion, lambda it: inspect(it).get_columns("article"))
    assert "thread_id" not in {item["name"] for item in columns}
    await migrate_tallied(discussion.database)
    await setup.migrate(discussion)


async def test_demo_fills_in_empty_magazine_once(discussion: Discussion) -> None:
    await setup.set_up(discussion)
    assert await fill(discussion, "a password")
    assert not await fill(discussion, "another")
    async with discussion.database.read() as connection:
        counts = await connection.execute(select(Article.comment_count).order_by(Article.id))
    assert counts.scalars().all() == [len(COMMENTS), 0, 0]
    assert await run(discussion, lambda it: list(counters.verify(it))) == []
    assert await discussion.check(session_class=MagazineSession, deep=True) == []


@pytest.mark.slow
def test_one_command_sets_up_and_serves(empty_url: str, tmp_path: Path) -> None:
    environ = {**os.environ, "MAGAZINE_DATABASE": empty_url, "MAGAZINE_FOLDER": str(tmp_path)}
    environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(ROOT / "examples"), environ.get("PYTHONPATH")])
    )
    port, out = free_port(), tmp_path / "out.txt"
    with out.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "magazine", "--port", str(port)],
            env=environ,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        page = get(f"http://127.0.0.1:{port}/articles/1", process, out)
    finally:
        process.terminate()
        process.wait(TIMEOUT)
    assert f"{len(COMMENTS)} comments" in page
    password, secret = ((tmp_path / name).read_text() for name in ("password", "secret"))
    assert password in out.read_text()
    assert secret not in out.read_text()
    for name in ("password", "secret"):
        assert (tmp_path / name).stat().st_mode & 0o077 == 0


def get(url: str, process: Any, out: Path) -> str:
    """Return a page, once the server answers."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        assert process.poll() is None, out.read_text()
        assert time.monotonic() < deadline, out.read_text()
        try:
            return httpx.get(url).raise_for_status().text
        except httpx.TransportError:
            time.sleep(0.05)


def test_unusable_setting_is_reported(tmp_path: Path) -> None:
    folder = {"MAGAZINE_FOLDER": str(tmp_path)}
    assert Config.from_environ(folder).secret == Config.from_environ(folder).secret
    with pytest.raises(ConfigError, match="MAGAZINE_SECRET must have at least 32 characters"):
        Config.from_environ(folder | {"MAGAZINE_SECRET": "guess"})
    with pytest.raises(ConfigError, match="MAGAZINE_HTTPS must be true or false, not 'yes'"):
        Config.from_environ(folder | {"MAGAZINE_HTTPS": "yes"})
