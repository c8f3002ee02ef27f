"""The tables of a host and of Tallied in two schemas: one unit, one chain of counters."""

from __future__ import annotations

from uuid import UUID

import pytest
from sqlalchemy import ForeignKey, MetaData, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from tallied.counters import Sum
from tallied.database.unit_of_work import UnitOfWork
from tallied.discussion import Discussion
from tallied.migrations.runner import migrate
from tallied.models import Thread
from tallied.models.counters import counters
from tallied.resolvers import comments, threads, views
from tallied.settings import Settings


class Press(DeclarativeBase):
    """The host's own base, whose tables name their schema, which is the default one."""

    metadata = MetaData(schema="public")


class Page(Press):
    __tablename__ = "page"

    id: Mapped[int] = mapped_column(primary_key=True)
    thread_id: Mapped[UUID | None] = mapped_column(
        ForeignKey(Thread.id, ondelete="SET NULL"), unique=True
    )
    words: Mapped[int] = mapped_column(server_default=text("0"))
    thread: Mapped[Thread | None] = relationship(Thread)


class PressSession(Session):
    """The host's session class."""


counters.extend(Sum(Page.words, of=Thread.word_count, via=Page.thread)).install(PressSession)


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_hosts_counter_follows_thread_of_another_schema(empty_url: str) -> None:
    settings = Settings(database_schema="forum", guests="write")
    discussion = Discussion(empty_url, settings=settings, session_class=PressSession)
    await migrate(discussion.database)
    async with discussion.database.plain.begin() as connection:
        await connection.run_sync(Press.metadata.create_all)
    host, guest = discussion.access_as_host(), discussion.access()
    comment = comments.NewComment("one two three", "Ada")

    async def publish(unit: UnitOfWork) -> UUID:
        begun = await threads.create_thread(unit, host, "Engines", comment)
        unit.session.add(Page(thread_id=begun.thread["id"]))
        await unit.session.flush()
        await comments.add_comment(unit, guest, begun.thread["id"], comment)
        id: UUID = begun.thread["id"]
        return id

    async def fail(unit: UnitOfWork) -> None:
        await publish(unit)
        raise RuntimeError("the press has stopped")

    with pytest.raises(RuntimeError):
        await discussion.write(fail)
    id = await discussion.write(publish)
    async with discussion.database.read() as connection:
        assert (await connection.execute(select(Page.thread_id, Page.words))).all() == [(id, 6)]
        page = await views.read_comments(connection, guest, id, first=5)
        assert page is not None
        assert [item.author_name for item in page.nodes] == ["Ada", "Ada"]
    await discussion.write(lambda unit: threads.delete_thread(unit, host, id))
    async with discussion.database.read() as connection:
        assert (await connection.execute(select(Page.thread_id, Page.words))).all() == [(None, 0)]
    result = {item.id for item in await discussion.check(deep=True)}
    assert result == {"tallied.W002"}
    await discussion.database.dispose()
