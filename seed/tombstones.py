"""Deleted comments among the demo data: some that have replies, so that they stay in lists."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from random import Random
from typing import get_args
from uuid import UUID

from ..database import UnitOfWork
from ..models.base import now
from ..models.comment import Deleter
from ..resolvers.withdrawal import lock_tree

SHARE = 0.03
"""How many of the comments with replies are deleted."""

ROLES = [role for role in get_args(Deleter) if role != "erasure"]


def choose(random: Random, ids: Sequence[UUID]) -> list[UUID]:
    """Return the comments to delete of those with replies: at least one, if there is one."""
    unique = list(dict.fromkeys(ids))
    return random.sample(unique, min(len(unique), max(1, round(len(unique) * SHARE))))


async def delete_comments(unit: UnitOfWork, random: Random, ids: Sequence[UUID]) -> None:
    """Delete comments with replies, at times of the last two days."""
    tree = await lock_tree(unit.session, ids)
    for id in ids:
        time = now() - timedelta(days=2) * random.random()
        tree.delete(id, random.choice(ROLES), at=time)
    await tree.write()
