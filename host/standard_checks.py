"""The checks of comments that Tallied brings, each of which a setting switches on."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timedelta
from math import ceil
from typing import Any, ClassVar

from sqlalchemy import and_, case, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from ..errors import RateLimited, RepeatedText
from ..models import Author, Quota
from ..models.base import now
from ..models.thread import fold
from ..settings import Settings, split_list
from .comment_checks import CheckedComment, CommentCheck

MAX_MATCHES = 5
"""The most words of the list that a reason names."""

_LINK = re.compile(r"\]\(\s*<?[^\s)]+|://|\bwww\.", re.IGNORECASE)


class LinkLimit(CommentCheck):
    """Comments with many links wait for a moderator.

    :param limit: with how many.
    """

    reads_database: ClassVar[bool] = False

    def __init__(self, limit: int) -> None:
        self.limit = limit

    async def check(self, comment: CheckedComment, session: AsyncSession) -> str | None:
        count = len(_LINK.findall(comment.message))
        return f"{count} links" if count >= self.limit else None


class WordList(CommentCheck):
    """Comments with one of these words wait for a moderator, also where it is a guest's name.

    :param words: words or phrases, in any case; a ``*`` stands for any letters of a word.
    """

    reads_database: ClassVar[bool] = False

    def __init__(self, *words: str) -> None:
        self._words = words
        patterns = (f"({re.escape(fold(word))})".replace(r"\*", r"\w*") for word in words)
        self._pattern = re.compile(rf"(?<!\w)(?:{'|'.join(patterns)})(?!\w)") if words else None

    async def check(self, comment: CheckedComment, session: AsyncSession) -> str | None:
        if self._pattern is None:
            return None
        text = fold(f"{comment.author_name or ''}\n{comment.message}")
        # The words of the list, not of the text: the log keeps them when the text is erased.
        places = (match.lastindex or 0 for match in self._pattern.finditer(text))
        matches = [self._words[place - 1] for place in dict.fromkeys(places)]
        return f"words: {', '.join(matches[:MAX_MATCHES])}" if matches else None


class FirstComments(CommentCheck):
    """The comments of authors wait for a moderator until some were published; of guests, always.

    :param number: of how many published comments.
    """

    def __init__(self, number: int) -> None:
        self.number = number

    async def check(self, comment: CheckedComment, session: AsyncSession) -> str | None:
        if comment.author_id is None:
            return "a guest"
        query = select(Author.comment_count).where(Author.id == comment.author_id)
        count = (await session.execute(query)).scalar_one()
        return f"published comments: {count}" if count < self.number else None


class Repetition(CommentCheck):
    """The same person cannot write the same text again within a time; case does not matter.

    :param seconds: of that time.
    """

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds

    async def check(self, comment: CheckedComment, session: AsyncSession) -> str | None:
        text = " ".join(fold(comment.message).split())
        digest = hashlib.sha256(text.encode()).hexdigest()
        count, _ = await use_quota(session, comment, digest, self.seconds)
        if count > 1:
            raise RepeatedText(
                "You have written the same just before; write something else.", field="message"
            )
        return None


class CommentRate(CommentCheck):
    """The same person can write so many comments within a time; an edit is none.

    :param number: of comments.
    :param seconds: of that time, which begins with the first of them.
    """

    def __init__(self, number: int, seconds: int) -> None:
        self.number, self.seconds = number, seconds

    async def check(self, comment: CheckedComment, session: AsyncSession) -> str | None:
        if comment.is_edit:
            return None
        count, wait = await use_quota(session, comment, "comments", self.seconds)
        if count > self.number:
            raise RateLimited(
                f"You have written many comments within a short time; wait {wait} seconds.",
                params={"seconds": wait},
            )
        return None


def standard_checks(settings: Settings) -> tuple[CommentCheck, ...]:
    """Return the checks that the settings switch on, in their order."""
    checks: list[CommentCheck] = []
    if settings.link_limit:
        checks.append(LinkLimit(settings.link_limit))
    if words := split_list(settings.blocked_words):
        checks.append(WordList(*words))
    if settings.first_comments:
        checks.append(FirstComments(settings.first_comments))
    if settings.repeat_time:
        checks.append(Repetition(settings.repeat_time))
    if settings.comment_rate:
        checks.append(CommentRate(settings.comment_rate, settings.comment_rate_time))
    return tuple(checks)


async def use_quota(
    session: AsyncSession, comment: CheckedComment, purpose: str, seconds: int
) -> tuple[int, int]:
    """Count a comment for a quota of who writes it, by one statement, and lock the quota.

    The same comment is counted once in succession. A comment that is refused is not counted, since
    its unit of work is rolled back. A guest without a known address has no quota.

    :param purpose: up to 64 characters.
    :param seconds: how long a quota lasts.
    :returns: how many comments it has, this one included, and how many seconds it lasts still.
    """
    subject = comment.subject
    if subject is None:
        return 1, 0
    moment = now()
    statement = _count_statement(
        session.get_bind().dialect.name == "sqlite",
        {
            "subject": subject,
            "purpose": purpose,
            "comment_id": comment.id,
            "count": 1,
            "ends_at": moment + timedelta(seconds=seconds),
        },
        moment,
    )
    count, ends_at = (await session.execute(statement)).one()
    return count, max(1, ceil((ends_at - moment).total_seconds()))


def _count_statement(is_sqlite: bool, row: dict[str, Any], moment: datetime) -> Any:
    insert: Any = (sqlite.insert if is_sqlite else postgresql.insert)(Quota).values(row)
    new = insert.excluded
    has_ended = Quota.ends_at <= moment
    is_same = and_(Quota.comment_id == new.comment_id, Quota.count == 1)
    return insert.on_conflict_do_update(
        index_elements=[Quota.subject, Quota.purpose],
        set_={
            "count": case((or_(has_ended, is_same), 1), else_=Quota.count + 1),
            "ends_at": case((has_ended, new.ends_at), else_=Quota.ends_at),
            "comment_id": new.comment_id,
        },
    ).returning(Quota.count, Quota.ends_at)
