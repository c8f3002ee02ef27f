"""The front page, and an article with its discussion: a page that is put together on the server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tallied.errors import NotFound, Rejected
from tallied.policy import CommentFacts
from tallied.resolvers import writing
from tallied.resolvers.authors import find_author
from tallied.resolvers.validation import clean_message
from tallied.rules import Access
from tallied.units import UnitOfWork

from . import articles, forms, reading
from .policy import Reader, moderates
from .site import ArticleID, OurSite, Site, Us, go, page, to_sign_in

LATEST = 50
router = APIRouter()


@router.get("/")
async def front(request: Request, site: OurSite, us: Us) -> Response:
    async with site.discussion.database.read() as connection:
        rows = await reading.articles(connection, us, LATEST)
    return page(request, "front.html", us, articles=rows)


@router.get("/articles/{id}")
async def article(
    request: Request,
    site: OurSite,
    us: Us,
    id: ArticleID,
    before: Annotated[UUID | None, Query()] = None,
) -> Response:
    return await _article(request, site, us, id, before)


@router.post("/articles/{id}/comments")
async def comment(request: Request, site: OurSite, us: Us, id: ArticleID) -> Response:
    message = (await forms.read(request)).get("message", "")
    if us is None:
        return to_sign_in(request)
    access = site.discussion.access(us)

    async def work(unit: UnitOfWork) -> writing.Change:
        new = writing.NewComment(clean_message(message))
        return await writing.add_comment(unit, access, await articles.thread_of(unit, id), new)

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
    change = await site.discussion.write(lambda unit: writing.delete_comment(unit, access, id))
    async with site.discussion.database.read() as connection:
        about = await reading.article_about(connection, change.thread["id"])
    return go(f"/articles/{about}#discussion" if about else "/")


@router.post("/articles/{id}/lock")
async def lock(request: Request, site: OurSite, us: Us, id: ArticleID) -> Response:
    """Close a discussion, or open it again."""
    locked = (await forms.read(request)).get("locked") == "yes"
    access = site.discussion.access(us)

    async def work(unit: UnitOfWork) -> None:
        thread_id = await articles.thread_of(unit, id)
        await writing.lock_thread(unit, access, thread_id, locked=locked)

    await site.discussion.write(work)
    return go(f"/articles/{id}#discussion")


async def _article(
    request: Request,
    site: Site,
    us: Reader | None,
    id: int,
    before: UUID | None = None,
    status: int = 200,
    form: Mapping[str, str] | None = None,
) -> Response:
    said = reading.Said([], None)
    async with site.discussion.database.read() as connection:
        found = await reading.article(connection, us, id)
        if found is None:
            raise HTTPException(404, "There is no such article; it may have been withdrawn.")
        author_id = await find_author(connection, us.subject) if us else None
        if found.thread_id is not None:
            said = await reading.comments(connection, found.thread_id, before)
    access = site.discussion.access(us and replace(us, author_id=author_id))
    values = {
        "article": found,
        "comments": [_shown(site, access, row) for row in said.comments],
        "older": said.older,
        "own": us is not None and (us.is_moderator or us.user_id == found.author_id),
        "moderates": found.thread_id is not None and moderates(us, found.thread_id),
        "form": form or {},
    }
    return page(request, "article.html", us, status, **values)


def _shown(site: Site, access: Access, row: Any) -> dict[str, Any]:
    """A comment as the template shows it."""
    rules = site.discussion.rules
    facts = CommentFacts(*(getattr(row, name) for name in CommentFacts._fields))
    return {
        "id": row.id,
        "author": row.author or row.author_name or rules.deleted_author(),
        "created_at": row.created_at,
        "edited_at": row.edited_at,
        "html": Markup(rules.render(row.message)),  # which is safe as it is
        "may_delete": access.may("may_delete", facts),
    }
