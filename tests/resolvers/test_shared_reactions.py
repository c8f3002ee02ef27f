"""Reactions that arrive while another one is written share a transaction."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, select
from support.host import ADA, BOB, blocked
from support.rows import fetch, find_drifts
from support.shared_units import HeldReactions, Shared

from tallied.auth.viewer import Viewer
from tallied.database import Database, UnitOfWork
from tallied.errors import NotFound, UnknownReaction
from tallied.host.access import Access, HostRules
from tallied.host.hooks import Event, Hooks
from tallied.host.policy import CommentContext, Policy
from tallied.models import Author, Comment, Reaction, Thread
from tallied.models.base import new_id
from tallied.resolvers import shared_reactions
from tallied.resolvers.list_statements import ListStatement
from tallied.resolvers.moderation import moderate_comments
from tallied.resolvers.reaction_drafts import ReactionDraft, draft_addition, draft_removal
from tallied.resolvers.reactions import ReactionChange

NEW = Viewer("new", "New")

READ = ["SELECT tallied_author", "SELECT tallied_comment", "SELECT tallied_reaction_total"]
INSERT = ["INSERT tallied_reaction_total", "INSERT tallied_reaction"]
UPDATE = ["UPDATE tallied_reaction_total", "UPDATE tallied_comment"]
SEEDS = [1, *(pytest.param(seed, marks=pytest.mark.exhaustive) for seed in range(2, 12))]


class Recorder(Hooks):
    """Records what follows, in its order."""

    def __init__(self) -> None:
        self.events: list[tuple[str, int]] = []

    async def after_add_reaction(self, event: Event) -> None:
        self._record(event)

    async def after_remove_reaction(self, event: Event) -> None:
        self._record(event)

    def _record(self, event: Event) -> None:
        assert event.comment is not None
        assert event.reaction is not None
        assert event.viewer is not None
        sign = "+" if event.operation == "add_reaction" else "-"
        name = f"{event.viewer.name} {sign}{event.reaction['kind']}"
        self.events.append((name, event.comment["reaction_count"]))


@dataclass
class Table:
    """Comments of a thread to which Ada and Bob react."""

    database: Database
    hook: Recorder
    rules: HostRules
    comments: list[UUID]

    def shared(self) -> Shared:
        return Shared(self.database, self.rules, HeldReactions())

    def draft(self, viewer: Viewer, comment: int | UUID, change: str) -> ReactionDraft:
        """Return the draft of a change such as ``+like``."""
        id = self.comments[comment] if isinstance(comment, int) else comment
        draft = draft_removal if change.startswith("-") else draft_addition
        return draft(Access(self.rules, viewer), id, change[1:])

    async def stored(self) -> set[tuple[UUID, str]]:
        return {*await fetch(self.database, select(Reaction.comment_id, Reaction.kind))}


@pytest.fixture
async def table(database: Database) -> Table:
    async def work(unit: UnitOfWork) -> list[UUID]:
        thread = Thread(title="Engines")
        comments = [Comment(thread=thread, author_name="Eve", message=f"{n}") for n in range(4)]
        authors = [Author(subject=viewer.subject, name=viewer.name) for viewer in (ADA, BOB)]
        unit.session.add_all([thread, *comments, *authors])
        comments[3].status, comments[3].placeholder = "deleted", True
        await unit.session.flush()
        return [comment.id for comment in comments]

    hook = Recorder()
    rules = HostRules(hooks=(hook,), reactions="like:👍:Like,heart:❤️:Heart")
    return Table(database, hook, rules, await database.write(work))


async def test_batch_of_reactions_ends_exact(table: Table, statements: Any) -> None:
    shared, draft = table.shared(), table.draft
    drafts = [
        draft(ADA, 0, "+like"),
        draft(BOB, 0, "+like"),
        draft(ADA, 1, "+heart"),
        draft(ADA, 0, "+like"),  # there already
        draft(ADA, 0, "+heart"),
        draft(BOB, 1, "-like"),  # not there
        draft(BOB, 0, "-heart"),  # not there
        draft(BOB, 2, "+like"),
        draft(BOB, 2, "-like"),  # after that
        draft(NEW, 1, "+like"),
        draft(ADA, 3, "+like"),
        draft(ADA, new_id(), "+like"),
        draft(ADA, 2, "-wow"),
    ]
    assert all(item.may_share for item in drafts)
    with statements() as executed:
        results = await shared.add(*drafts)
    assert executed.verbs[4:11] == [*READ, *INSERT, *UPDATE]
    counts = [
        result.comment["reaction_count"] if isinstance(result, ReactionChange) else type(result)
        for result in results
    ]
    assert counts == [1, 2, 1, 2, 3, 1, 3, 1, 0, 2, NotFound, NotFound, UnknownReaction]
    assert shared.work.sizes == [len(drafts) - 1]
    assert sorted(shared.work.alone) == ["Ada +like", "Ada +like", "Bob -like", "New +like"]
    assert table.hook.events[:5] == [
        ("Ada +like", 1),
        ("Bob +like", 2),
        ("Ada +heart", 1),
        ("Ada +heart", 3),
        ("Bob +like", 1),
    ]
    assert sorted(table.hook.events[5:]) == [("Bob -like", 0), ("New +like", 2)]
    assert await find_drifts(table.database) == []

    again = table.shared()
    results = await again.add(
        draft(BOB, 1, "+like"), draft(ADA, 0, "-like"), draft(BOB, 0, "-like")
    )
    assert [result.comment["reaction_count"] for result in results] == [3, 2, 1]
    zero, first, _, _ = table.comments
    assert await table.stored() == {(zero, "heart"), (first, "heart"), (first, "like")}
    assert await find_drifts(table.database) == []


async def test_reaction_that_is_there_shares_batch_of_additions(table: Table) -> None:
    draft = table.draft
    await table.shared().add(draft(ADA, 0, "+like"))
    shared = table.shared()
    results = await shared.add(
        draft(BOB, 1, "+like"),
        draft(ADA, 0, "+like"),  # there already
        draft(BOB, 0, "+like"),
        draft(ADA, 1, "+heart"),
    )
    assert [result.comment["reaction_count"] for result in results] == [1, 1, 2, 2]
    assert (shared.work.sizes, shared.work.alone) == ([3], ["Bob +like"])
    assert await find_drifts(table.database) == []


async def test_failing_batch_of_reactions_runs_one_by_one(table: Table) -> None:
    shared = table.shared()

    async def fail(unit: UnitOfWork) -> None:
        raise ValueError("not together")

    shared.work.after_batch = fail
    names = [(ADA, "+like"), (ADA, "+heart"), (BOB, "+like"), (BOB, "+like"), (ADA, "-like")]
    results = await shared.add(*(table.draft(viewer, 0, change) for viewer, change in names))
    assert [result.comment["reaction_count"] for result in results] == [1, 2, 3, 3, 2]
    assert len(shared.work.alone) == len(shared.acknowledged) == len(names)
    assert [name for name, _ in table.hook.events] == [
        "Ada +like", "Ada +heart", "Bob +like", "Ada -like",
    ]  # fmt: skip
    assert await find_drifts(table.database) == []


def test_hook_before_reactions_shares_nothing() -> None:
    class Before(Hooks):
        async def before_add_reaction(self, event: Event, session: Any) -> None: ...

    access = Access(HostRules(hooks=(Before(),)), ADA)
    assert not draft_addition(access, new_id(), "like").may_share
    assert draft_removal(access, new_id(), "like").may_share


def select_comments(ids: list[Any]) -> Any:
    """Return the statement without its lock."""
    query = shared_reactions._select_comments(ids, skip_locked=True)
    query._for_update_arg = None
    return query


UNLOCKED = ListStatement(select_comments, Comment.id.type)


@pytest.mark.parametrize("backend", ["postgresql"])
@pytest.mark.parametrize("locks", [True, False])
async def test_locked_comment_delays_only_its_own_reactions(
    table: Table, monkeypatch: pytest.MonkeyPatch, locks: bool
) -> None:
    """Without the lock, reactions are added to a comment that is hidden by then."""
    if not locks:
        monkeypatch.setattr(
            shared_reactions, "_LOCK_COMMENTS", dict.fromkeys((False, True), UNLOCKED)
        )
    shared, go, arrived = table.shared(), asyncio.Event(), asyncio.Event()

    async def hide(unit: UnitOfWork) -> None:
        await moderate_comments(unit, Access(table.rules).as_host(), [table.comments[0]], "spam")
        arrived.set()
        await go.wait()

    first = await shared.hold(table.draft(ADA, 2, "+like"))
    other = asyncio.ensure_future(table.database.write(hide))
    await arrived.wait()
    drafts = [table.draft(viewer, n, "+like") for n in (0, 1) for viewer in (ADA, BOB)]
    tasks = await shared.queue(drafts)
    shared.release()
    await first
    if locks:
        await asyncio.gather(*tasks[2:])
        await blocked(table.database, *tasks[:2])
    else:
        await blocked(table.database, other)
    go.set()
    await other
    results = await asyncio.gather(*tasks, return_exceptions=True)
    outcomes = [type(result) for result in results]
    hidden = NotFound if locks else ReactionChange
    assert outcomes == [hidden, hidden, ReactionChange, ReactionChange]
    assert await find_drifts(table.database) == []


@pytest.mark.parametrize("seed", SEEDS)
async def test_random_batches_of_reactions_end_exact(table: Table, seed: int) -> None:
    choices, stored = random.Random(seed), set[tuple[str, int, str]]()
    for _ in range(4 * seed):
        shared, cancelled = table.shared(), set[int]()
        shared.work.after_batch = choices.choice([None, None, _fail])
        keys = [
            (choices.choice([ADA, BOB]), choices.randrange(3), choices.choice(["like", "heart"]))
            for _ in range(choices.randrange(2, 8))
        ]
        # Changes of one reaction may take place in any order, so they are all of one sort here.
        signs = {key: choices.choice("+-") for key in keys}
        drafts = [table.draft(key[0], key[1], signs[key] + key[2]) for key in keys]
        first = await shared.hold(drafts[0])
        tasks = await shared.queue(drafts[1:])
        for place, task in enumerate(tasks, 1):
            if choices.random() < 0.1:
                cancelled.add(place)
                task.cancel()
        await asyncio.sleep(0)
        shared.release()
        results = await asyncio.gather(first, *tasks, return_exceptions=True)
        for place, (key, result) in enumerate(zip(keys, results, strict=True)):
            assert isinstance(
                result, asyncio.CancelledError if place in cancelled else ReactionChange
            )
            if place not in cancelled:
                change = stored.add if signs[key] == "+" else stored.discard
                change((key[0].subject, key[1], key[2]))
        query = select(Author.subject, Reaction.comment_id, Reaction.kind).join(Reaction.author)
        rows = await fetch(table.database, query)
        assert {(a, table.comments.index(id), kind) for a, id, kind in rows} == stored
        assert await find_drifts(table.database) == []


async def _fail(unit: UnitOfWork) -> None:
    raise ValueError("not together")


async def test_others_have_a_turn_before_reactions_are_flushed(
    table: Table, database: Database
) -> None:
    order: list[str] = []

    class Attentive(Policy):
        def may_react(self, viewer: Viewer | None, comment: CommentContext) -> bool:
            asyncio.get_running_loop().call_soon(order.append, "others")
            return True

    def note_flush(*_: object) -> None:
        order.append("flush")

    table.rules = HostRules(policy=Attentive(), reactions=table.rules.reactions)
    shared = table.shared()
    drafts = [table.draft(viewer, n, "+like") for viewer in (ADA, BOB) for n in range(3)]
    event.listen(database.session_class, "before_flush", note_flush)
    try:
        await shared.add(*drafts)
    finally:
        event.remove(database.session_class, "before_flush", note_flush)
    assert shared.work.sizes == [5]
    assert order[-6:] == [*5 * ["others"], "flush"]
