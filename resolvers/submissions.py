"""A comment that is sent twice, for example by a double click, and written once.

A comment that is sent with an id of the client's own keeps a hash of that id and of its texts, in a
column with a unique index. So the database decides which of two comes first, and the common case
needs no extra statement: a unit whose hash is taken is rolled back, and its second attempt reads
the first comment.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from ..content.characters import name_key
from ..database.unit_of_work import Repeated
from ..host.access import Access
from ..models import Comment
from ..models.base import now
from .chronology import read_time
from .validation import expect_type

REPEAT_TIME = timedelta(minutes=1)
"""The time in which a comment that is sent again is the same comment."""


def hash_submission(
    access: Access,
    place: Iterable[UUID | None],
    author_name: str | None,
    message: str,
    submission: str,
) -> str:
    """Return a hash that two submissions of the same comment share.

    The counters of clients start anew on every page, so the client's id alone identifies nothing:
    the viewer, the place and the texts have to be the same, too.

    :param place: the thread, and the comment that it is a reply to.
    :param submission: the client's own id of the comment.
    :returns: 64 hexadecimal digits.
    """
    expect_type(str, submission=submission)
    subject = None if access.viewer is None else access.viewer.subject
    name = None if author_name is None else name_key(author_name)
    parts = [subject, submission, *map(str, filter(None, place)), name, message]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


async def find_repeated(session: AsyncSession, key: str) -> Comment | None:
    """Return the comment that was sent with this hash within `REPEAT_TIME`, or None.

    An older comment loses the hash: what is sent now is another comment.
    """
    comment = await session.scalar(select(Comment).where(Comment.submission_key == key))
    if comment is None:
        return None
    # In a thread whose latest comment is dated in the future, only the key holds the real time.
    if now() - min(comment.created_at, read_time(comment.id)) >= REPEAT_TIME:
        comment.submission_key = None
        await session.flush()
        return None
    return comment


@contextmanager
def repeat_if_taken() -> Iterator[None]:
    """Run the unit of work again if the hash of a comment is taken.

    :raises Repeated: in that case.
    """
    try:
        yield
    except IntegrityError as error:
        # Both databases name the column in the error of its unique index.
        if Comment.submission_key.key not in str(error.orig):
            raise
        raise Repeated from error
