"""Random histories of discussions: all that people, moderators and the host can do to comments."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from sqlalchemy import inspect, select

from tallied.auth.viewer import Viewer
from tallied.database import Database, UnitOfWork
from tallied.errors import UserError
from tallied.host.access import Access, HostRules
from tallied.models import Author, Base, Comment, Thread
from tallied.models.base import now
from tallied.models.counters import counters
from tallied.resolvers.authors import delete_author
from tallied.resolvers.comments import (
    add_comment,
    delete_comment,
    edit_comment,
    move_comment,
    restore_comment,
)
from tallied.resolvers.erasure import erase_author
from tallied.resolvers.flags import flag_comment
from tallied.resolvers.marks import mark_read
from tallied.resolvers.moderation import STATUSES, moderate_comments
from tallied.resolvers.new_comment import NewComment
from tallied.resolvers.purge import purge_texts
from tallied.resolvers.reactions import add_reaction, remove_reaction
from tallied.resolvers.threads import delete_thread

from .reply_trees import assert_sound
from .rows import find_drifts
from .true_numbers import assert_true

PICKS = st.integers(0, 999)
PEOPLE = st.integers(1, 2)
RULES = HostRules(reply_depth=3, revisions=3, flag_limit=2)


class Forest(RuleBasedStateMachine):
    """Threads, and what two people and guests do there; after each step all numbers are true."""

    url: str

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.access = Access(RULES).as_host()

    def teardown(self) -> None:
        self.runner.run(self.database.dispose())
        self.runner.close()

    @initialize()
    def begin(self) -> None:
        async def empty(unit: UnitOfWork) -> None:
            for table in reversed(Base.metadata.sorted_tables):
                await (await unit.session.connection()).execute(table.delete())

        async def open_database() -> None:
            self.database = Database(self.url)
            await self.database.write(empty)

        self.runner.run(open_database())
        self.number = 0
        self.add(0, 1)
        for author in (2, 0, 1):
            self.reply(author, author)

    def change(self, work: Any) -> None:
        """Run a unit of work; in memory, the counters are those of the database before its end."""

        async def checked(unit: UnitOfWork) -> None:
            await work(unit)
            await unit.session.flush()
            await assert_fresh(unit)

        async def run() -> None:
            with suppress(UserError):
                await self.database.write(checked)
            await self.check()

        self.runner.run(run())

    async def check(self) -> None:
        await assert_sound(self.database)
        await assert_true(self.database)
        assert await find_drifts(self.database) == []

    def person(self, number: int) -> Access:
        """Return all rights of one of the people, or of a guest for 0."""
        return Access(RULES).as_host(Viewer(str(number), "A") if number else None)

    def message(self) -> str:
        self.number += 1
        return "w " * (self.number % 7) + str(self.number)

    async def pick(self, unit: UnitOfWork, model: Any, pick: int, *where: Any) -> UUID | None:
        ids = (await unit.session.scalars(select(model.id).where(*where).order_by(model.id))).all()
        return ids[pick % len(ids)] if ids else None

    def change_one(self, model: Any, pick: int, act: Any, *where: Any) -> None:
        """Change one of the rows of a model, if there is any."""

        async def work(unit: UnitOfWork) -> None:
            if (id := await self.pick(unit, model, pick, *where)) is not None:
                await act(unit, id)

        self.change(work)

    @rule(pick=PICKS, author=st.integers(0, 2))
    def add(self, pick: int, author: int) -> None:
        async def work(unit: UnitOfWork) -> None:
            thread = await self.pick(unit, Thread, pick)
            if thread is None or pick % 5 == 0:
                row = Thread(title="Engines")
                unit.session.add(row)
                await unit.session.flush()
                thread = row.id
            new = NewComment(self.message(), None if author else "Gast")
            await add_comment(unit, self.person(author), thread, new)

        self.change(work)

    @rule(pick=PICKS, author=st.integers(0, 2))
    def reply(self, pick: int, author: int) -> None:
        async def act(unit: UnitOfWork, id: UUID) -> None:
            thread = await unit.session.scalar(select(Comment.thread_id).where(Comment.id == id))
            new = NewComment(self.message(), None if author else "Gast")
            await add_comment(unit, self.person(author), thread, new, reply_to_id=id)

        self.change_one(Comment, pick, act, Comment.shown)

    @rule(pick=PICKS, author=PEOPLE)
    def edit(self, pick: int, author: int) -> None:
        person = self.person(author)
        self.change_one(
            Comment, pick, lambda unit, id: edit_comment(unit, person, id, self.message())
        )

    @rule(pick=PICKS, place=PICKS)
    def move(self, pick: int, place: int) -> None:
        """Move a comment to the top of a thread, or below a comment."""

        async def work(unit: UnitOfWork) -> None:
            id, thread = await self.pick(unit, Comment, pick), await self.pick(unit, Thread, place)
            if id is None or thread is None:
                return
            above = None
            if place % 3:
                above = await self.pick(unit, Comment, place, Comment.thread_id == thread)
            await move_comment(unit, self.access, id, thread, above)

        self.change(work)

    @rule(pick=PICKS, author=PEOPLE, kind=st.sampled_from(["like", "heart"]), adds=st.booleans())
    def react(self, pick: int, author: int, kind: str, adds: bool) -> None:
        change, person = add_reaction if adds else remove_reaction, self.person(author)
        self.change_one(Comment, pick, lambda unit, id: change(unit, person, id, kind))

    @rule(pick=PICKS, author=PEOPLE)
    def flag(self, pick: int, author: int) -> None:
        person = self.person(author)
        self.change_one(
            Comment, pick, lambda unit, id: flag_comment(unit, person, id, "spam", note="why")
        )

    @rule(pick=PICKS, author=PEOPLE, seq=st.integers(0, 9))
    def mark(self, pick: int, author: int, seq: int) -> None:
        person = self.person(author)
        self.change_one(Thread, pick, lambda unit, id: mark_read(unit, person, id, seq or None))

    @rule(pick=PICKS)
    def delete(self, pick: int) -> None:
        self.change_one(Comment, pick, lambda unit, id: delete_comment(unit, self.access, id))

    @rule(picks=st.lists(PICKS, min_size=1, max_size=4), status=st.sampled_from(STATUSES))
    def moderate(self, picks: list[int], status: str) -> None:
        """Hide comments, or show them, several of a tree at once."""

        async def work(unit: UnitOfWork) -> None:
            ids = {
                await self.pick(unit, Comment, pick, Comment.status != "deleted") for pick in picks
            }
            if present := [id for id in ids if id is not None]:
                await moderate_comments(unit, self.person(2), sorted(present), status)

        self.change(work)

    @rule(pick=PICKS)
    def restore(self, pick: int) -> None:
        is_deleted = Comment.status == "deleted"
        self.change_one(
            Comment, pick, lambda unit, id: restore_comment(unit, self.access, id), is_deleted
        )

    @rule(days=st.integers(0, 1))
    def purge(self, days: int) -> None:
        self.runner.run(purge_texts(self.database, now() - timedelta(days=days), batch_size=2))
        self.runner.run(self.check())

    @rule(pick=PICKS, erases=st.booleans(), size=st.integers(1, 4))
    def remove_author(self, pick: int, erases: bool, size: int) -> None:
        async def find(unit: UnitOfWork) -> UUID | None:
            return await self.pick(unit, Author, pick)

        id = self.runner.run(self.database.write(find))
        if id is None:
            return
        if erases:
            write = self.database.write
            self.runner.run(erase_author(write, self.access, id, batch_size=size))
            self.runner.run(self.check())
        else:
            self.change(lambda unit: delete_author(unit, self.access, id))

    @rule(pick=PICKS)
    def remove_thread(self, pick: int) -> None:
        if pick % 3 == 0:
            self.change_one(Thread, pick, lambda unit, id: delete_thread(unit, self.access, id))


async def assert_fresh(unit: UnitOfWork) -> None:
    """Assert that the counters in memory are those of the database."""
    for obj in list(unit.session.identity_map.values()):
        model: Any = type(obj)
        names = {counter.key for counter in counters.counters_of(inspect(model))} & vars(obj).keys()
        if not names or inspect(obj).deleted:
            continue
        columns = [getattr(model, name) for name in sorted(names)]
        row = (await unit.session.execute(select(*columns).where(model.id == obj.id))).one()  # type: ignore[attr-defined]
        assert tuple(row) == tuple(getattr(obj, name) for name in sorted(names)), obj
