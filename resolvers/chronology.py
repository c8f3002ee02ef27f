"""The order in time of a thread's comments: a later commit has a later time.

Comments are paged by ``created_at``. A time that is taken before the wait for the thread's lock may
be earlier than that of a comment that was committed and read meanwhile, and a client that reads on
from there would never see the new comment. So the time is taken under the lock, from the clock and
from the latest comment.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from ..models.base import now

TICK = timedelta(microseconds=1)
"""The shortest interval that both databases distinguish."""

LAST_TIME = datetime.max.replace(tzinfo=UTC)
"""The last time that Python can represent; the databases have later ones."""


def find_time_after(latest: datetime | None) -> datetime:
    """Return the time of a new comment: now, or one tick after the latest if that is later.

    Call it under the thread's lock.

    :param latest: the time of the thread's latest comment; None if it has none.
    """
    moment = now()
    if latest is None or latest < moment:
        return moment
    return latest + min(TICK, LAST_TIME - latest)


def read_time(id: UUID) -> datetime:
    """Return the creation time of a UUIDv7, to the millisecond (RFC 9562, section 5.7)."""
    return datetime.fromtimestamp((id.int >> 80) / 1000, UTC)
