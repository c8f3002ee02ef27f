"""The order in time of a thread's comments: what is committed later sorts later.

Comments are paged through by ``created_at``. A time that is taken before the thread's lock is
waited for may be earlier than that of a comment which others have committed and read meanwhile,
and a reader who goes on from there would never see the comment. So the time is taken under the
lock, from the clock and from the latest comment.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from ..models.base import now

TICK = timedelta(microseconds=1)
"""The shortest time that both databases tell apart."""

LAST_TIME = datetime.max.replace(tzinfo=UTC)
"""The last time that there is in Python; the databases go on."""


def find_time_after(latest: datetime | None) -> datetime:
    """Return the time of a new comment: now, or just after the latest, whatever the clock says.

    Call it under the thread's lock.

    :param latest: the time of the thread's latest comment; None where it has none.
    """
    moment = now()
    if latest is None or latest < moment:
        return moment
    return latest + min(TICK, LAST_TIME - latest)


def read_time(id: UUID) -> datetime:
    """Return the time, to the millisecond, that a UUIDv7 was made at (RFC 9562, section 5.7)."""
    return datetime.fromtimestamp((id.int >> 80) / 1000, UTC)
