"""Random batches of comments that share, fail, are vetoed, cancelled and retried together.

After each step: what is stored is what was acknowledged, counters equal a recount, each unit has
its own answer, and hooks have run once and in order.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Coroutine
from typing import Any, TypeVar
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from sqlalchemy import select, text
from support.rows import fetch, find_drifts
from support.shared_units import Shared, store_threads
from support.state_machines import run_machine

from tallied.database import Database, UnitOfWork
from tallied.errors import Locked, NotFound, Vetoed
from tallied.host.access import Access, HostRules
from tallied.host.hooks import Event, Hooks
from tallied.models import Base, Comment
from tallied.models.base import new_id
from tallied.resolvers.changes import ChangedRows
from tallied.resolvers.comment_drafts import CommentDraft
from tallied.resolvers.comments import delete_comment, edit_comment, move_comment
from tallied.resolvers.rows import counter_values
from tallied.resolvers.shared_comments import CommentBatch
from tallied.resolvers.threads import lock_thread

T = TypeVar("T")

UNITS = st.sampled_from(["add", "add", "add", "veto", "cancel", "cancel late", "gone", "resend"])
FAULTS = st.sampled_from(["", "", "fail", "conflict"])
CONFLICT = "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$"


class Recorder(Hooks):
    """Records the messages that follow a commit."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    async def after_add_comment(self, event: Event) -> None:
        assert event.comment is not None
        self.messages.append(event.comment["message"])


def check_message(message: str) -> None:
    if message.startswith("veto"):
        raise Vetoed("no", field="message")


class Batches(RuleBasedStateMachine):
    """Batches of comments in one database, and a model of its rows."""

    url: str

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.database = self.run(self.open())
        self.hook = Recorder()
        self.rules = HostRules(guests="write", check_message=check_message, hooks=(self.hook,))
        self.comments: dict[UUID, tuple[UUID, str]] = {}
        """Thread and message of each stored comment."""
        self.locked: set[UUID] = set()
        self.number = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    async def open(self) -> Database:
        return Database(self.url)

    def teardown(self) -> None:
        self.run(self.database.dispose())
        self.runner.close()

    @initialize()
    def begin(self) -> None:
        async def empty(unit: UnitOfWork) -> None:
            for table in reversed(Base.metadata.sorted_tables):
                await (await unit.session.connection()).execute(table.delete())

        self.run(self.database.write(empty))
        self.threads = self.run(store_threads(self.database, 3))

    # Steps

    @rule(units=st.lists(st.tuples(UNITS, st.integers(0, 2)), min_size=1, max_size=6), fault=FAULTS)
    def add_batch(self, units: list[tuple[str, int]], fault: str) -> None:
        self.run(self._add_batch(units, fault))
        self.run(self.check())

    @rule(name=st.sampled_from(["edit", "move", "delete"]), pick=st.integers(0, 99))
    def change(self, name: str, pick: int) -> None:
        if not self.comments:
            return
        id = sorted(self.comments)[pick % len(self.comments)]
        thread, access = self.threads[pick % 3], Access(self.rules).as_host()
        old, message = self.comments[id]
        is_refused = name == "move" and thread in self.locked and thread != old
        changes = {
            "edit": lambda unit: edit_comment(unit, access, id, f"{message} more"),
            "move": lambda unit: move_comment(unit, access, id, thread),
            "delete": lambda unit: delete_comment(unit, access, id),
        }
        if is_refused:
            with pytest.raises(Locked):
                self.run(self.database.write(changes[name]))
        else:
            self.run(self.database.write(changes[name]))
            values = {"edit": (old, f"{message} more"), "move": (thread, message)}
            if name == "delete":
                del self.comments[id]
            else:
                self.comments[id] = values[name]
        self.run(self.check())

    @rule(number=st.integers(0, 2))
    def lock(self, number: int) -> None:
        thread, access = self.threads[number], Access(self.rules).as_host()
        is_locked = thread not in self.locked
        self.run(self.database.write(lambda unit: lock_thread(unit, access, thread, is_locked)))
        self.locked ^= {thread}

    # Batches

    async def _add_batch(self, units: list[tuple[str, int]], fault: str) -> None:
        shared = Shared(self.database, self.rules)
        self.hook.messages.clear()
        self._plan(shared, fault)
        first = await shared.hold(self._draft(shared, "add", 0))
        drafts: list[CommentDraft] = []
        before = ""
        for kind, number in units:
            is_repeated = kind == before == "resend"
            drafts.append(drafts[-1] if is_repeated else self._draft(shared, kind, number))
            before = kind
        tasks = await shared.queue(drafts)
        for (kind, _), task in zip(units, tasks, strict=True):
            if kind == "cancel":
                task.cancel()
        await asyncio.sleep(0)
        late = [task for (kind, _), task in zip(units, tasks, strict=True) if kind == "cancel late"]

        async def cancel(unit: UnitOfWork) -> None:
            for task in late:
                task.cancel()
            await asyncio.sleep(0)

        shared.work.before_batch = cancel
        shared.release()
        results = await asyncio.gather(first, *tasks, return_exceptions=True)
        await self._settle(shared, ["add", *(kind for kind, _ in units)], results)

    def _plan(self, shared: Shared, fault: str) -> None:
        attempts = 0

        async def fail(unit: UnitOfWork) -> None:
            nonlocal attempts
            attempts += 1
            if fault == "fail":
                raise ValueError("not together")
            if fault == "conflict" and attempts == 1 and not self.database.is_sqlite:
                await unit.session.execute(text(CONFLICT))

        shared.work.after_batch = fail

    def _draft(self, shared: Shared, kind: str, number: int) -> CommentDraft:
        self.number += 1
        thread = new_id() if kind == "gone" else self.threads[number]
        submission = f"s{self.number}" if kind == "resend" else None
        word = "veto" if kind == "veto" else "w"
        message = f"{word}{self.number} " + "w " * (self.number % 3)
        return shared.draft(thread, message, submission=submission)

    async def _settle(self, shared: Shared, kinds: list[str], results: list[Any]) -> None:
        added: dict[UUID, ChangedRows] = {}
        for kind, result in zip(kinds, results, strict=True):
            if isinstance(result, ChangedRows):
                assert kind not in ("veto", "gone", "cancel")
                assert result.comment is not None
                if not result.is_duplicate:
                    assert result.comment["id"] not in added, "each has its own"
                    added[result.comment["id"]] = result
            else:
                refusals = {"veto": (Vetoed, Locked), "gone": (NotFound,)}
                cancelled = (asyncio.CancelledError, Locked)
                expected = refusals.get(kind, cancelled if "cancel" in kind else (Locked,))
                assert isinstance(result, expected), (kind, result)
        await self._check_answers(shared, added)

    async def _check_answers(self, shared: Shared, added: dict[UUID, ChangedRows]) -> None:
        stored = await read_rows(self.database)
        new = {id: row for id, row in stored.items() if id not in self.comments}
        assert added.keys() <= new.keys()
        messages = sorted(message for _, message in new.values())
        assert messages == sorted({*shared.acknowledged}), "acknowledged is stored"
        assert messages == sorted(self.hook.messages), "once each"
        if len(shared.work.alone) == 1:
            assert self.hook.messages == shared.acknowledged, "in order"
        answers: dict[UUID, list[ChangedRows]] = defaultdict(list)
        for result in added.values():
            answers[result.thread["id"]].append(result)
        counts = dict.fromkeys(self.threads, 0)
        for thread, _ in self.comments.values():
            counts[thread] += 1
        for thread, own in answers.items():
            sums = [result.thread["comment_count"] for result in own]
            assert len({*sums}) == len(sums), "running sums"
            total = counts[thread] + sum(other == thread for other, _ in new.values())
            assert counts[thread] < min(sums) <= max(sums) <= total
        self.comments = stored

    async def check(self) -> None:
        assert await find_drifts(self.database) == []
        assert await read_rows(self.database) == self.comments


async def read_rows(database: Database) -> dict[UUID, tuple[UUID, str]]:
    """Return thread and message of every comment."""
    rows = await fetch(database, select(Comment.id, Comment.thread_id, Comment.message))
    return {row.id: (row.thread_id, row.message) for row in rows}


# Each protection is needed


def test_answers_without_running_sums_are_found(
    with_tables: None, empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sum_up(batch: CommentBatch, comments: Any) -> Any:
        rows = {comment: counter_values(batch.session, comment.thread_id) for comment in comments}
        return {c: {**batch._threads[c.thread_id], **values} for c, values in rows.items()}

    monkeypatch.setattr(CommentBatch, "sum_up", sum_up)
    with pytest.raises(AssertionError, match="running sums"):
        run_machine(Batches, url=empty_url, examples=20, steps=8)
