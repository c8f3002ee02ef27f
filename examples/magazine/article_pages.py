"""The front page, and an article with its discussion."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from . import queries
from .site import ArticleID, OurSite, Us, go, page

LATEST = 50
"""How many articles the front page shows."""

COMMENTS = 5
"""How many of the latest comments it shows."""

router = APIRouter()


@router.get("/")
async def front(request: Request, site: OurSite, us: Us) -> Response:
    async with site.discussion.database.read() as connection:
        rows = await queries.articles(connection, us, LATEST)
    latest = await site.discussion.read_latest_comments(us, first=COMMENTS)
    return await page(request, "front.html", articles=rows, latest=latest)


@router.get("/articles/{id}")
async def article(request: Request, site: OurSite, us: Us, id: ArticleID) -> Response:
    async with site.discussion.database.read() as connection:
        row = await queries.article(connection, us, id)
    if row is None:
        raise HTTPException(404, "There is no such article; it may have been withdrawn.")
    discussion = row.thread_id and await site.pages.read_thread(request, row.thread_id)
    own = us is not None and (us.is_moderator or us.user_id == row.author_id)
    return await page(request, "article.html", article=row, discussion=discussion, own=own)


@router.get("/discussion/threads/{id}")
async def article_of_thread(site: OurSite, id: UUID) -> Response:
    """Lead from a discussion to its article, below which it is shown."""
    async with site.discussion.database.read() as connection:
        about = await queries.article_about(connection, id)
    if about is None:
        raise HTTPException(404, "There is no such article; it may have been deleted.")
    return go(f"/articles/{about}#discussion")
