"""Comments that arrive twice, such as by a double click, and are one.

A comment that is sent under an id of the client's own keeps a hash of that id and of all that was
sent, which is unique. So the database decides which of two comes first, and the ordinary path has
no statement more: a comment whose hash is taken is undone, and its unit of work runs again and
looks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
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
from .texts import NewComment
from .validation import expect_type

REPEAT_TIME = timedelta(minutes=1)
"""For how long a comment that is sent again is the same comment."""


def hash_submission(access: Access, thread_id: UUID, new: NewComment, submission: str) -> str:
    """Return what two submissions have in common that are the same.

    Counters of clients begin anew on every page, so their id alone tells nothing: who sends it,
    where to, and what they say must be the same, too.

    :param submission: the client's own id of what it sends.
    :returns: 64 hexadecimal digits.
    """
    expect_type(str, submission=submission)
    subject = None if access.viewer is None else access.viewer.subject
    name = None if new.author_name is None else name_key(new.author_name)
    sent = [subject, submission, str(thread_id), name, new.message]
    return hashlib.sha256(json.dumps(sent).encode()).hexdigest()


async def find_repeated(session: AsyncSession, key: str) -> Comment | None:
    """Return the comment that was sent under this hash within `REPEAT_TIME`, if there is one.

    An older one gives the hash away: what is sent now is another comment.
    """
    found = await session.scalar(select(Comment).where(Comment.submission_key == key))
    # In a thread whose latest comment is dated in the future, only the key tells when it was sent.
    if found is not None and now() - min(found.created_at, read_time(found.id)) >= REPEAT_TIME:
        found.submission_key = None
        await session.flush()
        return None
    return found


@contextmanager
def repeat_if_taken() -> Iterator[None]:
    """Have the unit of work run again where the hash of a comment is taken.

    :raises Repeated: then.
    """
    try:
        yield
    except IntegrityError as error:
        # Both databases name the column in what they say of its unique index.
        if Comment.submission_key.key not in str(error.orig):
            raise
        raise Repeated from error
