"""Moderation, flags and quotas against each other, and against replies and moves.

Each race is forced in both orders: the first has written, and holds its transaction open; the
second runs until it waits; then the first commits.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession
from support.board import Board, Change, race, read_unlocked
from support.changes import delete, flag, moderate, move, reply
from support.host import ADA, BOB, Host, key
from support.reply_trees import assert_sound, read_rows
from support.rows import count_rows

from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.host import standard_checks
from tallied.host.comment_checks import CheckedComment
from tallied.models import ModerationEntry, Quota
from tallied.models.base import now
from tallied.models.counters import counters
from tallied.resolvers.comments import add_comment
from tallied.resolvers.new_comment import NewComment

EVE = Viewer("user-3", "Eve")


class Court(Board):
    """A board with a comment that lacks one flag to be hidden, and one that waits."""

    async def fill(self) -> None:
        await super().fill()
        waiting = await self.host.ada.comment(self.thread, "wait")
        self.waiting = key(waiting)
        await self.host.moderator.do(
            "moderateComments", "comments { id }", ids=[waiting], to="PENDING"
        )
        await self.host.client(EVE).do(
            "flagComment", "comment { id }", commentId=self.ids[2], reason="SPAM"
        )


CHANGES: dict[str, Change] = {
    "approve": moderate("waiting", "published"),
    "reject waiting": moderate("waiting", "rejected"),
    "move waiting": move("waiting"),
    "delete waiting": delete("waiting"),
    "reject": moderate("comment", "rejected"),
    "mark leaf as spam": moderate("child", "spam"),
    "flag": flag(BOB, "comment"),
    "delete": delete("comment"),
    "reply": reply("comment"),
    "reply to leaf": reply("child"),
    "move": move("comment"),
}
DECISIONS = {"approve", "reject waiting", "reject", "mark leaf as spam", "flag"}
OPPONENTS = {
    "approve": ("move waiting", "reject waiting", "delete waiting"),
    "reject": ("reply", "move", "flag"),
    "mark leaf as spam": ("reply to leaf",),
    "flag": ("reply", "move", "delete"),
}
PAIRS = [
    pair
    for name, others in OPPONENTS.items()
    for other in others
    for pair in ((name, other), (other, name))
]
NOT_FOUND = {
    ("reject", "reply"),
    ("reject", "flag"),
    ("flag", "reply"),
    ("mark leaf as spam", "reply to leaf"),
    ("delete waiting", "approve"),
    ("delete", "flag"),
}
"""The pairs of which the second is refused."""


@pytest.mark.exhaustive
@pytest.mark.parametrize(("first", "second"), PAIRS)
async def test_racing_decisions_leave_sound_tree(strict: Database, first: str, second: str) -> None:
    board = Court(Host(strict, settings={"flag_limit": 2}))
    await board.fill()
    outcome = await race(board, CHANGES[first], CHANGES[second])
    assert outcome == ["ok", "NOT_FOUND" if (first, second) in NOT_FOUND else "ok"]
    done = (first, second) if outcome[1] == "ok" else (first,)
    statuses = {"flag": "pending", "reject": "rejected", "delete": "deleted"}
    last = [statuses[name] for name in done if name in statuses] or ["published"]
    assert (await read_rows(strict))[board.ids[2]].status == last[-1]
    acts = 1 + len(DECISIONS.intersection(done))
    assert await count_rows(strict, ModerationEntry) == acts
    await assert_sound(strict)
    await board.host.assert_exact()


# Each protection is needed. Units of SQLite run one by one, with locks and without.


@pytest.mark.parametrize("backend", ["postgresql"])
@pytest.mark.parametrize("locks", [True, False])
async def test_flags_at_once_lock_the_comment(
    database: Database, monkeypatch: pytest.MonkeyPatch, locks: bool
) -> None:
    """Without the lock, each of two flags takes itself for the first."""
    board = Board(Host(database, settings={"flag_limit": 2}))
    await board.fill()
    if not locks:
        monkeypatch.setattr(counters, "lock_all", read_unlocked)
    assert await race(board, flag(EVE, "comment"), flag(BOB, "comment")) == ["ok", "ok"]
    status = (await read_rows(database))[board.ids[2]].status
    assert status == ("pending" if locks else "published")


async def use_quota_by_value(
    session: AsyncSession, comment: CheckedComment, purpose: str, seconds: int
) -> tuple[int, int]:
    """Count a comment for a quota by the number that was read."""
    keys = {"subject": str(comment.subject), "purpose": purpose}
    quota = await session.get(Quota, tuple(keys.values()))
    if quota is None:
        quota = Quota(**keys, count=0, ends_at=now() + timedelta(seconds=seconds))
        session.add(quota)
    quota.comment_id, quota.count = comment.id, quota.count + 1
    return quota.count, seconds


@pytest.mark.parametrize("backend", ["postgresql"])
@pytest.mark.parametrize("is_counted_in_statement", [True, False])
async def test_comments_at_once_share_a_quota(
    database: Database, monkeypatch: pytest.MonkeyPatch, is_counted_in_statement: bool
) -> None:
    """By the number that it has read, the second of two comments takes itself for the first."""
    if not is_counted_in_statement:
        monkeypatch.setattr(standard_checks, "use_quota", use_quota_by_value)
    host = Host(database, settings={"comment_rate": 2})
    board = Board(host)
    threads = [key(await host.bob.thread(name)) for name in ("Engines", "Looms")]
    await host.ada.comment(await host.bob.thread("First"), "first")

    def comment(thread: Any) -> Change:
        return lambda board, unit: add_comment(
            unit, host.discussion.access(ADA), thread, NewComment("word")
        )

    outcome = await race(board, *map(comment, threads))
    assert outcome == ["ok", "RATE_LIMITED" if is_counted_in_statement else "ok"]
