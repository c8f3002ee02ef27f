"""Random histories of trees: replies, deletions, restorations, hidden and erased comments."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from sqlalchemy import inspect, select
from support.reply_trees import assert_sound
from support.shared_units import find_drifts

from tallied.database import Database, UnitOfWork
from tallied.errors import NotFound, NotRestorable
from tallied.host.access import Access, HostRules
from tallied.models import Author, Base, Comment, Thread
from tallied.models.counters import counters
from tallied.resolvers.authors import delete_author
from tallied.resolvers.comments import delete_comment, restore_comment
from tallied.resolvers.erasure import erase_author
from tallied.resolvers.threads import delete_thread
from tallied.resolvers.withdrawal import lock_tree

PICKS = st.integers(0, 999)


class Forest(RuleBasedStateMachine):
    """Two threads of two authors, whose comments reply to each other."""

    url: str

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.access = Access(HostRules()).as_host()

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

    def change(self, work: Any) -> None:
        """Run a unit of work; in memory, the counters are those of the database before its end."""

        async def checked(unit: UnitOfWork) -> None:
            await work(unit)
            await unit.session.flush()
            await assert_fresh(unit)

        async def run() -> None:
            with suppress(NotFound, NotRestorable):
                await self.database.write(checked)
            await self.check()

        self.runner.run(run())

    async def check(self) -> None:
        await assert_sound(self.database)
        assert await find_drifts(self.database) == []

    async def pick(self, unit: UnitOfWork, model: Any, pick: int, *where: Any) -> UUID | None:
        ids = (await unit.session.scalars(select(model.id).where(*where).order_by(model.id))).all()
        return ids[pick % len(ids)] if ids else None

    @rule(pick=PICKS, author=st.integers(0, 2))
    def add(self, pick: int, author: int) -> None:
        async def work(unit: UnitOfWork) -> None:
            thread = await self.pick(unit, Thread, pick)
            if thread is None or pick % 5 == 0:
                row = Thread(title="Engines")
                unit.session.add(row)
                await unit.session.flush()
                thread = row.id
            unit.session.add(Comment(thread_id=thread, **await self.text(unit, author)))

        self.change(work)

    @rule(pick=PICKS, author=st.integers(0, 2))
    def reply(self, pick: int, author: int) -> None:
        async def work(unit: UnitOfWork) -> None:
            id = await self.pick(unit, Comment, pick, Comment.shown)
            if id is None:
                return
            above = (await lock_tree(unit.session, [id])).comments[id]
            row = Comment(
                thread_id=above.thread_id,
                parent_id=above.id,
                root_id=above.root_id or above.id,
                depth=above.depth + 1,
                **await self.text(unit, author),
            )
            unit.session.add(row)

        self.change(work)

    async def text(self, unit: UnitOfWork, author: int) -> dict[str, Any]:
        """Return the text of a new comment of a guest, or of an author."""
        self.number += 1
        message = "w " * (self.number % 7) + str(self.number)
        if author == 0:
            return {"message": message, "author_name": "Gast"}
        row = await unit.session.scalar(select(Author).where(Author.subject == str(author)))
        if row is None:
            row = Author(subject=str(author), name="A")
            unit.session.add(row)
            await unit.session.flush()
        return {"message": message, "author_id": row.id}

    @rule(pick=PICKS)
    def delete(self, pick: int) -> None:
        async def work(unit: UnitOfWork) -> None:
            id = await self.pick(unit, Comment, pick)
            if id is not None:
                await delete_comment(unit, self.access, id)

        self.change(work)

    @rule(picks=st.lists(PICKS, min_size=1, max_size=4), status=st.sampled_from(["spam", ""]))
    def moderate(self, picks: list[int], status: str) -> None:
        """Hide comments, or show them, several of a tree at once."""

        async def work(unit: UnitOfWork) -> None:
            ids = {
                await self.pick(unit, Comment, pick, Comment.status != "deleted") for pick in picks
            }
            tree = await lock_tree(unit.session, ids - {None})  # type: ignore[arg-type]
            for id in sorted(ids - {None}):  # type: ignore[type-var]
                assert id is not None
                if status:
                    tree.hide(id, status)
                else:
                    tree.show(id)
            await tree.write()

        self.change(work)

    @rule(pick=PICKS)
    def restore(self, pick: int) -> None:
        async def work(unit: UnitOfWork) -> None:
            id = await self.pick(unit, Comment, pick, Comment.status == "deleted")
            if id is not None:
                await restore_comment(unit, self.access, id)

        self.change(work)

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
        async def work(unit: UnitOfWork) -> None:
            id = await self.pick(unit, Thread, pick)
            if id is not None and pick % 3 == 0:
                await delete_thread(unit, self.access, id)

        self.change(work)


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


def run_forest(url: str, *, examples: int, steps: int) -> None:
    run_state_machine_as_test(
        type("Machine", (Forest,), {"url": url}),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_any_history_of_deletions_is_exact(with_tables: None, empty_url: str) -> None:
    run_forest(empty_url, examples=3, steps=20)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(6))
def test_long_histories_of_deletions_are_exact(
    with_tables: None, empty_url: str, part: int
) -> None:
    run_forest(empty_url, examples=4 + 2 * part, steps=40)
