"""What the pages have in common: who looks at them, and how they are put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends
from fastapi import Path as InPath
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from tallied.discussion import Discussion
from tallied.pages import Pages

from .accounts import reader_of
from .policy import Reader
from .schema import MAX_ID


@dataclass(frozen=True)
class Site:
    """What the routes work with."""

    discussion: Discussion
    sessions: async_sessionmaker[AsyncSession]
    pages: Pages


def site_of(request: Request) -> Site:
    """Return the objects that the application was created with."""
    site: Site = request.app.state.site
    return site


async def _reader(request: Request) -> Reader | None:
    return await reader_of(site_of(request).sessions, request)


ArticleID = Annotated[int, InPath(ge=1, le=MAX_ID)]
OurSite = Annotated[Site, Depends(site_of)]
Us = Annotated[Reader | None, Depends(_reader)]
"""Who looks at the page; None for a guest."""


async def page(request: Request, name: str, status: int = 200, **values: Any) -> Response:
    """Return a page rendered from the template, with the headers and tokens of Tallied's pages."""
    return await site_of(request).pages.render(request, name, status, **values)


async def read_form(request: Request) -> dict[str, str]:
    """Return the texts of a form of the magazine; every route that changes something needs it."""
    return await site_of(request).pages.read_form(request)


async def values_of_all_pages(request: Request) -> dict[str, Any]:
    """Return what every template has."""
    return {"reader": await _reader(request)}


def go(path: str) -> Response:
    """Redirect to another page after a change."""
    return RedirectResponse(path, 303)


def to_sign_in(request: Request) -> Response:
    """Redirect to the sign-in page, which leads back."""
    back = request.url.path if request.method == "GET" else "/"
    return go(f"/login?next={quote(back)}")
