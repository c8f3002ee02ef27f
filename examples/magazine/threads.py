"""Opening the discussions of articles, which the magazine does and no reader can."""

from __future__ import annotations

from sqlalchemy import select

from tallied.auth.viewer import Viewer
from tallied.database.unit_of_work import UnitOfWork
from tallied.discussion import Discussion
from tallied.host.access import Access
from tallied.resolvers import threads

from .models import Article, User


async def open_discussions(discussion: Discussion) -> int:
    """Open the discussions of the articles that were published before there were any.

    One unit of work each: nobody waits for all of them, and it may be stopped and run again.

    :returns: how many there were.
    """
    access, opened = discussion.access(), 0

    async def work(unit: UnitOfWork) -> bool:
        without = (Article.published_on.is_not(None), Article.thread_id.is_(None))
        query = select(Article).where(*without).order_by(Article.id).limit(1)
        article = await unit.session.scalar(query.with_for_update())
        if article is not None:
            await open_discussion(unit, access, article)
        return article is not None

    while await discussion.write(work):
        opened += 1
    return opened


async def open_discussion(unit: UnitOfWork, access: Access, article: Article) -> None:
    """Open an article's discussion, unless it has been."""
    if article.thread_id is None:
        host_access = await publishing(unit, access, article)
        begun = await threads.create_thread(unit, host_access, article.headline)
        article.thread_id = begun.thread["id"]


async def publishing(unit: UnitOfWork, access: Access, article: Article) -> Access:
    """Return the access of the magazine in the name of the article's author."""
    author = await unit.session.get_one(User, article.author_id)
    return access.as_host(Viewer(author.subject, author.name))
