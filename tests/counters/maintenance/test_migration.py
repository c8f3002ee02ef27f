"""An Alembic migration adds a counter to a big table while others write."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import (
    Engine,
    ForeignKey,
    NullPool,
    func,
    insert,
    inspect,
    select,
    text,
)
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from tallied.counters import Count, Counters
from tallied.counters.maintenance.rebuild import Progress
from tallied.errors import CounterError

FEW = 5_000
MANY = 100_000
TOPICS = 4_000
SOME = 400
WRITERS = 8


class Board(DeclarativeBase):
    """The base of the models of an app's new version."""


class Topic(Board):
    __tablename__ = "topic"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    title: Mapped[str]
    posts: Mapped[int] = mapped_column(server_default=text("0"))


class Post(Board):
    __tablename__ = "post"

    id: Mapped[int] = mapped_column(primary_key=True)
    topic_id: Mapped[int] = mapped_column(ForeignKey("topic.id"), index=True)
    words: Mapped[int]

    topic: Mapped[Topic] = relationship()


counters = Counters(Count(Topic.posts, via=Post.topic))


class NewVersion(Session):
    """The session class of the new version, which counts."""


counters.install(NewVersion)

ENV = """
import asyncio
from alembic import context
from sqlalchemy.ext.asyncio import AsyncEngine

async def run_async(engine):
    async with engine.connect() as connection:
        await connection.run_sync(run)
    await engine.dispose()

def run(connection):
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()

if context.is_offline_mode():
    context.configure(url=context.config.attributes["url"], literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
elif isinstance(context.config.attributes["engine"], AsyncEngine):
    asyncio.run(run_async(context.config.attributes["engine"]))
else:
    with context.config.attributes["engine"].connect() as connection:
        if context.config.attributes.get("outer"):
            with connection.begin():
                run(connection)
        else:
            run(connection)
"""

TABLES = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "0001", None

def upgrade():
    op.create_table(
        "topic",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("title", sa.String, nullable=False),
    )
    op.create_table(
        "post",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("topic_id", sa.Integer, sa.ForeignKey("topic.id"), nullable=False, index=True),
        sa.Column("words", sa.Integer, nullable=False),
    )
"""

COUNTER = """
from alembic import context, op
from sqlalchemy import ForeignKey, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from tallied.counters import Count
from tallied.counters.alembic import add_counter

revision, down_revision = "0002", "0001"

class Base(DeclarativeBase):
    pass

class Topic(Base):
    __tablename__ = "topic"
    id: Mapped[int] = mapped_column(primary_key=True)
    posts: Mapped[int] = mapped_column(server_default=text("0"))

class Post(Base):
    __tablename__ = "post"
    id: Mapped[int] = mapped_column(primary_key=True)
    topic_id: Mapped[int] = mapped_column(ForeignKey("topic.id"), index=True)
    topic: Mapped[Topic] = relationship()

def upgrade():
    add_counter(
        Count(Topic.posts, via=Post.topic),
        progress=context.config.attributes.get("progress"),
        lock_timeout="100ms",
    )

def downgrade():
    op.drop_column("topic", "posts")
"""


class Alembic:
    """The ``alembic`` command on another project."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        (folder / "versions").mkdir(parents=True)
        (folder / "env.py").write_text(ENV)
        (folder / "versions" / "a.py").write_text(TABLES)
        (folder / "versions" / "b.py").write_text(COUNTER)
        self.folder, self.engine = folder, engine

    def upgrade(self, revision: str, **options: Any) -> None:
        command.upgrade(self._config(**{"engine": self.engine, **options}), revision)

    def sql(self, revision: str) -> str:
        config = self._config(url=self.engine.url)
        config.output_buffer = io.StringIO()
        command.upgrade(config, revision, sql=True)
        return str(config.output_buffer.getvalue())

    def revision(self) -> str:
        with self.engine.connect() as connection:
            return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar())

    def _config(self, **attributes: Any) -> Config:
        config = Config(attributes=attributes)
        config.set_main_option("script_location", str(self.folder))
        config.set_main_option("path_separator", "os")
        return config


NUMBERS = {
    "sqlite": "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers"
    " WHERE n < :last) SELECT {} FROM numbers",
    "postgresql": "WITH numbers (n) AS (SELECT generate_series(1, :last)) SELECT {} FROM numbers",
}


def fill(engine: Engine, table: str, values: str, number: int) -> None:
    numbers = NUMBERS[engine.dialect.name].format(values)
    with engine.begin() as connection:
        connection.execute(text(f"INSERT INTO {table} {numbers}"), {"last": number})


@pytest.fixture
def alembic(engine: Engine, tmp_path: Path) -> Alembic:
    """A project at the revision before the counter, with rows in its tables."""
    alembic = Alembic(tmp_path / "migrations", engine)
    alembic.upgrade("0001")
    fill(engine, "topic (id, title)", "n, 'A topic'", TOPICS)
    fill(engine, "post (topic_id, words)", f"1 + n * 7919 % {TOPICS // 2}, 3", FEW)
    return alembic


@pytest.fixture
def big(alembic: Alembic, engine: Engine) -> Alembic:
    """The same project with 100,000 posts; half of the topics have none."""
    fill(engine, "post (topic_id, words)", f"1 + n * 7919 % {TOPICS // 2}, 3", MANY - FEW)
    return alembic


@contextmanager
def writers(write: Callable[[int], None]) -> Iterator[list[int]]:
    """Run threads that call `write` with a number until the block ends; yield their counts."""
    stop = threading.Event()
    done = [0] * WRITERS
    errors: list[BaseException] = []
    turn = threading.Lock()

    def work(number: int) -> None:
        while not stop.wait(0.002):
            try:
                with turn:
                    write(done[number] * WRITERS + number)
            except BaseException as error:
                errors.append(error)
                return
            done[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    try:
        yield done
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert errors == []


def add(engine: Engine, number: int) -> None:
    """Write as the new version, which counts."""
    with NewVersion(engine) as session:
        session.add(Post(topic_id=1 + number % TOPICS, words=4))
        session.commit()


def add_uncounted(engine: Engine, number: int) -> None:
    """Write as the old version, whose tables have no counter."""
    with engine.begin() as connection:
        connection.execute(insert(Post.__table__), {"topic_id": 1 + number % SOME, "words": 4})


def drifted(engine: Engine) -> int:
    """Return how many topics have a counter that differs from their number of posts."""
    true = select(func.count()).where(Post.topic_id == Topic.id).scalar_subquery()
    with engine.connect() as connection:
        query = select(func.count()).select_from(Topic).where(Topic.posts != true)
        return connection.execute(query).scalar_one()


@pytest.mark.slow
def test_big_table_is_filled_while_eight_writers_count(big: Alembic, engine: Engine) -> None:
    steps: list[Progress] = []
    commits: list[list[int]] = []
    with writers_when_there(engine) as start:

        def progress(at: Progress) -> None:
            commits.append(start())
            steps.append(at)

        big.upgrade("0002", progress=progress)
    assert steps[-1].done == TOPICS
    assert len(steps) > 4
    assert all(min(count) > 0 for count in commits), "all have written before the next batch"
    assert (big.revision(), drifted(engine)) == ("0002", 0)


@contextmanager
def writers_when_there(engine: Engine) -> Iterator[Callable[[], list[int]]]:
    """Yield a function that starts the writers, and waits until each has written once more."""
    begun = threading.Event()

    def write(number: int) -> None:
        if begun.is_set():
            add(engine, number)

    with writers(write) as done:

        def go_on() -> list[int]:
            begun.set()
            before = list(done)
            while any(now <= then + 1 for now, then in zip(done, before, strict=True)):
                threading.Event().wait(0.002)
            return list(done)

        yield go_on


@pytest.mark.slow
def test_rebuild_repairs_rows_of_the_old_version(big: Alembic, engine: Engine) -> None:
    with writers(lambda number: add_uncounted(engine, number)) as done:
        big.upgrade("0002")
        written = sum(done)
    assert written > WRITERS
    wrong = drifted(engine)
    assert wrong <= SOME, "what was there is filled in"
    with engine.connect() as connection:
        assert counters.rebuild(connection, only=[Topic.posts]) == wrong
    assert drifted(engine) == 0


def test_interrupted_migration_is_run_again(alembic: Alembic, engine: Engine) -> None:
    class Killed(Exception):
        pass

    def die(at: Progress) -> None:
        if at.done > 1000:
            raise Killed

    with pytest.raises(Killed):
        alembic.upgrade("0002", progress=die)
    assert alembic.revision() == "0001"
    assert 0 < drifted(engine) < TOPICS / 2
    steps: list[Progress] = []
    alembic.upgrade("0002", progress=steps.append)
    assert (alembic.revision(), drifted(engine)) == ("0002", 0)
    assert 0 < steps[-1].repaired < TOPICS / 2


def test_transaction_that_alembic_has_not_begun_is_refused(
    alembic: Alembic, engine: Engine
) -> None:
    with pytest.raises(CounterError, match=r"Topic.posts cannot be filled in online .* backfill="):
        alembic.upgrade("0002", outer=True)
    assert alembic.revision() == "0001"
    assert {column["name"] for column in inspect(engine).get_columns("topic")} == {"id", "title"}


def test_migration_runs_on_asynchronous_driver(
    alembic: Alembic, engine: Engine, empty_url: str
) -> None:
    asynchronous = create_async_engine(empty_url, poolclass=NullPool)
    alembic.upgrade("0002", engine=asynchronous)
    assert (alembic.revision(), drifted(engine)) == ("0002", 0)


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_migration_gives_up_on_a_locked_table(alembic: Alembic, engine: Engine) -> None:
    with engine.connect() as reader:
        reader.execute(text("SELECT * FROM topic LIMIT 1"))
        with pytest.raises(CounterError, match="was not to be had within 100ms"):
            alembic.upgrade("0002")
    assert alembic.revision() == "0001"
    alembic.upgrade("0002")
    assert drifted(engine) == 0


def test_offline_migration_adds_column_and_names_rebuild(alembic: Alembic) -> None:
    printed = alembic.sql("0001:0002")
    assert "ALTER TABLE topic ADD COLUMN posts INTEGER DEFAULT 0 NOT NULL;" in printed
    assert "-- Topic.posts is at its default now; rebuild() fills it in" in printed
