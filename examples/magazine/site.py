"""What the pages have in common: who looks at them, and how they are put together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends
from fastapi import Path as InPath
from fastapi.templating import Jinja2Templates
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from tallied.discussion import Discussion

from . import forms
from .accounts import reader_of
from .policy import Reader
from .schema import LARGEST_ID

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of every page: what comments bring along can load nothing and run nothing."""

_templates = Jinja2Templates(Path(__file__).with_name("templates"))


@dataclass(frozen=True)
class Site:
    """What the routes work with."""

    discussion: Discussion
    sessions: async_sessionmaker[AsyncSession]


def site_of(request: Request) -> Site:
    """Return the objects that the application was created with."""
    site: Site = request.app.state.site
    return site


async def _reader(request: Request) -> Reader | None:
    return await reader_of(site_of(request).sessions, request)


ArticleID = Annotated[int, InPath(ge=1, le=LARGEST_ID)]
OurSite = Annotated[Site, Depends(site_of)]
Us = Annotated[Reader | None, Depends(_reader)]
"""Who looks at the page; None for a guest."""


def page(
    request: Request, name: str, reader: Reader | None, status: int = 200, **values: Any
) -> Response:
    """Return a page rendered from the template."""
    values |= {"reader": reader, "csrf": lambda: forms.token(request)}
    return _templates.TemplateResponse(request, name, values, status, HEADERS)


def go(path: str) -> Response:
    """Redirect to another page after a change."""
    return RedirectResponse(path, 303)


def to_sign_in(request: Request) -> Response:
    """Redirect to the sign-in page, which leads back."""
    back = request.url.path if request.method == "GET" else "/"
    return go(f"/login?to={quote(back)}")
