"""The pages of those who write articles."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tallied.database.unit_of_work import UnitOfWork
from tallied.errors import InvalidText
from tallied.host.access import Access

from . import articles, queries
from .site import ArticleID, OurSite, Us, go, page, read_form, to_sign_in

router = APIRouter()

STEPS: dict[str, Callable[[UnitOfWork, Access, int], Awaitable[None]]] = {
    "publish": articles.publish,
    "withdraw": articles.withdraw,
    "delete": articles.delete,
}
"""What can be done with an article, by the button that is pressed."""


@router.get("/write")
async def new(request: Request, us: Us) -> Response:
    return await page(request, "write.html", form={}) if us else to_sign_in(request)


@router.post("/write")
async def write(request: Request, site: OurSite, us: Us) -> Response:
    form = await read_form(request)
    access = site.discussion.access(us)
    headline, body = form.get("headline", ""), form.get("body", "")
    try:
        id = await site.discussion.write(
            lambda unit: articles.write_draft(unit, access, headline, body)
        )
    except InvalidText as error:
        return await page(request, "write.html", 422, form=form, problem=str(error))
    return go(f"/articles/{id}")


@router.get("/articles/{id}/revise")
async def reopen(request: Request, site: OurSite, us: Us, id: ArticleID) -> Response:
    async with site.discussion.database.read() as connection:
        item = await queries.article(connection, us, id)
    if item is None or us is None or not (us.is_moderator or us.user_id == item.author_id):
        raise HTTPException(404, "There is no such article of yours.")
    form = {"headline": item.headline, "body": item.body}
    return await page(request, "write.html", form=form, id=id)


@router.post("/articles/{id}/revise")
async def revise(request: Request, site: OurSite, us: Us, id: ArticleID) -> Response:
    form = await read_form(request)
    access = site.discussion.access(us)
    headline, body = form.get("headline", ""), form.get("body", "")
    try:
        await site.discussion.write(lambda unit: articles.revise(unit, access, id, headline, body))
    except InvalidText as error:
        return await page(request, "write.html", 422, form=form, id=id, problem=str(error))
    return go(f"/articles/{id}")


@router.post("/articles/{id}/{step}")
async def take(request: Request, site: OurSite, us: Us, id: ArticleID, step: str) -> Response:
    await read_form(request)
    if step not in STEPS:
        raise HTTPException(404, "There is no such page.")
    access = site.discussion.access(us)
    await site.discussion.write(lambda unit: STEPS[step](unit, access, id))
    return go("/" if step == "delete" else f"/articles/{id}")
