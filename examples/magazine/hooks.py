"""What the magazine does around a comment."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeAlias

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from tallied.errors import Vetoed
from tallied.host.hooks import Event, Hooks
from tallied.models import Comment

from .models import Article, User, subject_of

logger = logging.getLogger("magazine")

DUPLICATE_WINDOW = timedelta(minutes=1)
"""Within which the same words in the same place are a mistake."""


class News(NamedTuple):
    """A message to the author of an article."""

    name: str
    headline: str
    message: str


Tell: TypeAlias = Callable[[News], Awaitable[None]]


async def log(news: News) -> None:
    """Write to the log, where an application would send an email."""
    logger.info("to %s: a new comment on %r", news.name, news.headline)


class NoDoubles(Hooks):
    """The same comment is not taken twice: someone has pressed the button again."""

    async def before_add_comment(self, event: Event, session: AsyncSession) -> None:
        if event.comment is None:
            return
        query = (
            select(Comment.message)
            .where(
                Comment.thread_id == event.comment["thread_id"],
                Comment.author_id == event.comment["author_id"],
                Comment.created_at > datetime.now(UTC) - DUPLICATE_WINDOW,
            )
            .order_by(Comment.created_at.desc())
            .limit(1)
        )
        if await session.scalar(query) == event.comment["message"]:
            raise Vetoed("message is what you have just said; say something else.", field="message")


class TellAuthors(Hooks):
    """Notifies the author of an article of the comments of others, after they are written."""

    def __init__(self, sessions: async_sessionmaker[AsyncSession], tell: Tell = log) -> None:
        self.sessions = sessions
        self.tell = tell

    async def after_add_comment(self, event: Event) -> None:
        if event.thread is None or event.comment is None:
            return
        query = (
            select(User.id, User.name, Article.headline)
            .join(Article.author)
            .where(Article.thread_id == event.thread["id"])
        )
        async with self.sessions() as session:
            row = (await session.execute(query)).one_or_none()
        own = row and event.viewer and event.viewer.subject == subject_of(row.id)
        if row and not own:
            await self.tell(News(row.name, row.headline, event.comment["message"]))
