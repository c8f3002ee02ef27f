"""Random batches of reactions between batches of comments, and changes of these.

Reactions share, are refused, cancelled before and after they are taken, fail together and are
retried. After each step: what is stored is what was answered, counters equal a recount, and hooks
have run once for each reaction that came or went.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, TypeAlias
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule
from sqlalchemy import select
from support.host import ADA, BOB
from support.rows import fetch, store
from support.shared_units import HeldReactions, Shared
from support.state_machines import run_machine

from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.errors import NotAllowed, NotFound
from tallied.host.access import Access, HostRules
from tallied.host.hooks import Event
from tallied.host.policy import CommentContext, Policy
from tallied.models import Author, Reaction
from tallied.models.base import new_id
from tallied.resolvers.reaction_drafts import ReactionDraft, draft_addition, draft_removal
from tallied.resolvers.reactions import ReactionChange
from tallied.resolvers.shared_reactions import ReactionBatch

from .test_shared_comment_histories import FAULTS, Batches, Recorder, check_message

Key: TypeAlias = tuple[UUID, str, str]
"""The comment, the subject and the kind of a reaction."""

EVE = Viewer("eve", "Eve")

CHANGES = st.sampled_from(["", "", "", "refused", "cancel", "cancel late", "gone"])
UNITS = st.tuples(
    CHANGES,
    st.sampled_from("+-"),
    st.sampled_from([ADA, BOB]),
    st.integers(0, 2),
    st.sampled_from(["like", "heart"]),
)
Unit: TypeAlias = tuple[str, str, Viewer, int, str]


class NobodyNamedEve(Policy):
    def may_react(self, viewer: Viewer | None, comment: CommentContext) -> bool:
        return viewer is None or viewer.subject != EVE.subject


class ReactionRecorder(Recorder):
    """Records the reactions that have come and gone, beside the messages."""

    def __init__(self) -> None:
        super().__init__()
        self.differences: Counter[Key] = Counter()

    async def after_add_reaction(self, event: Event) -> None:
        self._record(event, 1)

    async def after_remove_reaction(self, event: Event) -> None:
        self._record(event, -1)

    def _record(self, event: Event, difference: int) -> None:
        assert event.reaction is not None
        assert event.viewer is not None
        key = (event.reaction["comment_id"], event.viewer.subject, event.reaction["kind"])
        self.differences[key] += difference


class ReactionBatches(Batches):
    """Batches of reactions to the comments of the other batches, and a model of their rows."""

    hook: ReactionRecorder

    def __init__(self) -> None:
        super().__init__()
        self.hook = ReactionRecorder()
        self.rules = HostRules(
            guests="write",
            check_message=check_message,
            hooks=(self.hook,),
            policy=NobodyNamedEve(),
            reactions="like:👍:Like,heart:❤️:Heart",
        )
        self.reactions: set[Key] = set()

    @initialize()
    def begin(self) -> None:
        super().begin()
        self.run(self._add_batch([("add", 0), ("add", 1), ("add", 2)], ""))
        # Nobody's first reaction shares a transaction.
        authors = [Author(subject=viewer.subject) for viewer in (ADA, BOB, EVE)]
        self.run(store(self.database, *authors))

    @rule(units=st.lists(UNITS, min_size=2, max_size=8), fault=FAULTS)
    def react(self, units: list[Unit], fault: str) -> None:
        if self.comments:
            self.run(self._react([("", *units[0][1:]), *units[1:]], fault))
            self.run(self.check())

    async def _react(self, units: list[Unit], fault: str) -> None:
        shared = Shared(self.database, self.rules, HeldReactions())
        self.hook.differences.clear()
        self._plan(shared, fault)
        keys = [self._key_of(unit) for unit in units]
        drafts = [self._draft_of(unit, key) for unit, key in zip(units, keys, strict=True)]
        first = await shared.hold(drafts[0])
        tasks = [first, *await shared.queue(drafts[1:])]
        for (kind, *_), task in zip(units, tasks, strict=True):
            if kind == "cancel":
                task.cancel()
        await asyncio.sleep(0)

        async def cancel(_: Any) -> None:
            for (kind, *_), task in zip(units, tasks, strict=True):
                if kind == "cancel late":
                    task.cancel()
            await asyncio.sleep(0)

        shared.work.before_batch = cancel
        shared.release()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        await self._check_reactions(shared, list(zip(units, keys, results, strict=True)))

    def _key_of(self, unit: Unit) -> Key:
        kind, _, viewer, number, name = unit
        ids = sorted(self.comments)
        id = new_id() if kind == "gone" else ids[number % len(ids)]
        return id, (EVE if kind == "refused" else viewer).subject, name

    def _draft_of(self, unit: Unit, key: Key) -> ReactionDraft:
        id, subject, name = key
        viewer = next(viewer for viewer in (ADA, BOB, EVE) if viewer.subject == subject)
        draft = draft_addition if unit[1] == "+" else draft_removal
        return draft(Access(self.rules, viewer), id, name)

    async def _check_reactions(self, shared: Shared, answers: list[tuple[Unit, Key, Any]]) -> None:
        signs: dict[Key, set[str]] = {}
        late = 0
        for (kind, sign, *_), key, result in answers:
            if isinstance(result, ReactionChange):
                assert kind not in ("gone", "refused", "cancel")
                assert result.comment["reaction_count"] >= (sign == "+")
                signs.setdefault(key, set()).add(sign)
            else:
                errors = {"gone": NotFound, "refused": NotAllowed}
                assert isinstance(result, errors.get(kind, asyncio.CancelledError)), (kind, result)
                if kind == "cancel late":  # It is written if its batch has been committed.
                    late += 1
                    signs.setdefault(key, set()).update({sign, "?"})
        answered = sum(isinstance(result, ReactionChange) for *_, result in answers)
        assert answered <= len(shared.acknowledged) <= answered + late
        stored = await read_reactions(self.database)
        for key in stored | self.reactions | signs.keys():
            possible = signs.get(key, {"?"})
            now, before = key in stored, key in self.reactions
            assert ("+" if now else "-") in possible or ("?" in possible and now == before), key
            assert self.hook.differences[key] == now - before, "each hook once"
        self.reactions = stored

    async def check(self) -> None:
        await super().check()
        # Those of a deleted comment go with it.
        self.reactions = {key for key in self.reactions if key[0] in self.comments}
        assert await read_reactions(self.database) == self.reactions


async def read_reactions(database: Database) -> set[Key]:
    """Return the keys of all reactions."""
    query = select(Reaction.comment_id, Author.subject, Reaction.kind).join(Reaction.author)
    return {tuple(row) for row in await fetch(database, query)}


@pytest.mark.parametrize("kind", [Batches, ReactionBatches])
def test_any_batches_end_exact(with_tables: None, empty_url: str, kind: type[Batches]) -> None:
    run_machine(kind, url=empty_url, examples=3, steps=8)


@pytest.mark.exhaustive
@pytest.mark.parametrize("part", range(6))
@pytest.mark.parametrize("kind", [Batches, ReactionBatches])
def test_many_batches_end_exact(
    with_tables: None, empty_url: str, part: int, kind: type[Batches]
) -> None:
    run_machine(kind, url=empty_url, examples=3 + 3 * part, steps=12)


# Each protection is needed


def test_removals_from_unread_reactions_are_found(
    with_tables: None, empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read_nothing(batch: ReactionBatch, keys: Any) -> None: ...

    monkeypatch.setattr(ReactionBatch, "_load_reactions", read_nothing)
    with pytest.raises(AssertionError):
        run_machine(ReactionBatches, url=empty_url, examples=20, steps=8)
