"""The front page, and an article with its discussion: a page that is put together on the server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tallied.database.unit_of_work import UnitOfWork
from tallied.errors import NotFound, Rejected
from tallied.resolvers import changes, comments, threads
from tallied.resolvers.validation import clean_message
from tallied.resolvers.views import read_comments

from . import articles, forms, queries
from .policy import Reader
from .site import ArticleID, OurSite, Site, Us, go, page, to_sign_in

LATEST = 50
"""How many articles the front page shows."""

COMMENTS = 50
"""How many comments a page shows."""

router = APIRouter()


@router.get("/")
async def front(request: Request, site: OurSite, us: Us) -> Response:
    async with site.discussion.database.read() as connection:
        rows = await queries.articles(connection, us, LATEST)
    return page(request, "front.html", us, articles=rows)


@router.get("/articles/{id}")
async def article(
    request: Request,
    site: OurSite,
    us: Us,
    id: ArticleID,
    after: Annotated[str | None, Query()] = None,
) -> Response:
    return await _article(request, site, us, id, after)


@router.post("/articles/{id}/comments")
async def comment(request: Request, site: OurSite, us: Us, id: ArticleID) -> Response:
    message = (await forms.read(request)).get("message", "")
    if us is None:
        return to_sign_in(request)
    access = site.discussion.access(us)

    async def work(unit: UnitOfWork) -> changes.ChangedRows:
        new = comments.NewComment(clean_message(message))
        return await comments.add_comment(unit, access, await articles.thread_of(unit, id), new)

    try:
        change = await site.discussion.write(work)
    except NotFound:
        raise
    except Rejected as error:  # with what was written, so that it can be mended
        problem = {"message": message, "problem": error.message}
        return await _article(request, site, us, id, status=422, form=problem)
    assert change.comment is not None
    return go(f"/articles/{id}#comment-{change.comment['id']}")


@router.post("/comments/{id}/delete")
async def delete_comment(request: Request, site: OurSite, us: Us, id: UUID) -> Response:
    await forms.read(request)
    access = site.discussion.access(us)
    change = await site.discussion.write(lambda unit: comments.delete_comment(unit, access, id))
    async with site.discussion.database.read() as connection:
        about = await queries.article_about(connection, change.thread["id"])
    return go(f"/articles/{about}#discussion" if about else "/")


@router.post("/articles/{id}/lock")
async def lock(request: Request, site: OurSite, us: Us, id: ArticleID) -> Response:
    """Close a discussion, or open it again."""
    locked = (await forms.read(request)).get("locked") == "yes"
    access = site.discussion.access(us)

    async def work(unit: UnitOfWork) -> None:
        thread_id = await articles.thread_of(unit, id)
        await threads.lock_thread(unit, access, thread_id, locked=locked)

    await site.discussion.write(work)
    return go(f"/articles/{id}#discussion")


async def _article(
    request: Request,
    site: Site,
    us: Reader | None,
    id: int,
    after: str | None = None,
    status: int = 200,
    form: Mapping[str, str] | None = None,
) -> Response:
    access, said = site.discussion.access(us), None
    async with site.discussion.database.read() as connection:
        article_row = await queries.article(connection, us, id)
        if article_row is None:
            raise HTTPException(404, "There is no such article; it may have been withdrawn.")
        if article_row.thread_id is not None:
            said = await read_comments(
                connection,
                access,
                article_row.thread_id,
                first=COMMENTS,
                after=after,
                descending=True,
            )
    values = {
        "article": article_row,
        "said": said,
        "own": us is not None and (us.is_moderator or us.user_id == article_row.author_id),
        "form": form or {},
    }
    return page(request, "article.html", us, status, **values)
