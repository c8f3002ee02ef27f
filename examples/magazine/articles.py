"""What happens to articles: each a part of a unit of work, with what happens to its discussion.

``unit`` and ``access`` are Tallied's: ``discussion.write(...)`` and ``discussion.access(...)``,
or what ``context.write(...)`` hands out in GraphQL. A rollback takes everything back.
"""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import select

from tallied.auth.viewer import Viewer
from tallied.database.unit_of_work import UnitOfWork
from tallied.errors import NotAllowed, NotFound, SignInRequired
from tallied.host.access import Access
from tallied.resolvers import threads
from tallied.resolvers.validation import clean_message, clean_title

from .models import Article
from .policy import Reader
from .threads import open_discussion, publishing

BODY_LENGTH = 100_000


async def write_draft(unit: UnitOfWork, access: Access, headline: str, body: str) -> int:
    """Keep a draft of the viewer's; the article's key.

    :raises InvalidText: for a headline or a body that is empty, or too long.
    """
    reader = _signed_in(access)
    article = Article(
        headline=clean_title(headline, "headline"),
        body=clean_message(body, "body", BODY_LENGTH),
        author_id=reader.user_id,
    )
    unit.session.add(article)
    await unit.session.flush()
    return article.id


async def revise(unit: UnitOfWork, access: Access, id: int, headline: str, body: str) -> None:
    """Give an article another headline and body; its discussion is renamed with it."""
    headline = clean_title(headline, "headline")
    article = await _lock_own_article(unit, access, id)
    article.body = clean_message(body, "body", BODY_LENGTH)
    if article.thread_id is not None and article.headline != headline:
        host_access = await publishing(unit, access, article)
        await threads.rename_thread(unit, host_access, article.thread_id, headline)
    article.headline = headline


async def publish(unit: UnitOfWork, access: Access, id: int) -> None:
    """Show an article to everybody, and open its discussion if that was never open."""
    article = await _lock_own_article(unit, access, id)
    article.published_on = article.published_on or datetime.now(UTC).date()
    await open_discussion(unit, access, article)


async def withdraw(unit: UnitOfWork, access: Access, id: int) -> None:
    """Make a draft of an article again; its discussion is hidden with it, and kept."""
    article = await _lock_own_article(unit, access, id)
    article.published_on = None


async def delete(unit: UnitOfWork, access: Access, id: int) -> None:
    """Delete an article, with its discussion."""
    article = await _lock_own_article(unit, access, id)
    host_access, thread_id = await publishing(unit, access, article), article.thread_id
    await unit.session.delete(article)
    await unit.session.flush()
    if thread_id is not None:
        await threads.delete_thread(unit, host_access, thread_id)


async def thread_of(unit: UnitOfWork, id: int) -> UUID:
    """Return the key of an article's discussion, without asking a policy.

    :raises NotFound: for an article that is not there, or that has no discussion.
    """
    row: UUID | None = await unit.session.scalar(select(Article.thread_id).where(Article.id == id))
    if row is None:
        raise _not_found()
    return row


async def _lock_own_article(unit: UnitOfWork, access: Access, id: int) -> Article:
    """Return the article, under its lock, if the viewer may edit it.

    :raises NotFound: for an article that is not there, or that the viewer may not read.
    :raises SignInRequired, NotAllowed: for someone else.
    """
    article = await unit.session.get(Article, id, with_for_update=True)
    reader = access.viewer
    own = article and isinstance(reader, Reader) and article.author_id == reader.user_id
    if article is None or not (own or may_edit(reader) or article.published_on):
        raise _not_found()
    _signed_in(access)
    if not (own or may_edit(reader)):
        raise NotAllowed("You may not change what others have written.")
    return article


def may_edit(reader: Viewer | None) -> bool:
    """Return whether the viewer may read and change everything."""
    return isinstance(reader, Reader) and reader.is_moderator


def _signed_in(access: Access) -> Reader:
    if not isinstance(access.viewer, Reader):
        raise SignInRequired("Guests may not write articles; sign in first.")
    return access.viewer


def _not_found() -> NotFound:
    return NotFound("There is no such article; it may have been deleted.", field="id")
