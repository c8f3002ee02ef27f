"""The application: the magazine's own pages, and Tallied's endpoint beside them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.exceptions import HTTPException
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from tallied.discussion import Discussion
from tallied.errors import (
    Busy,
    Locked,
    NotAllowed,
    NotFound,
    OutcomeUnknown,
    SignInRequired,
    Unavailable,
    UserError,
)
from tallied.pages import Pages
from tallied.pages.forms import ExpiredForm
from tallied.pages.views import PageSize

from . import article_pages, author_pages, login
from .config import Config
from .discussion import make_discussion, make_engine, make_sessions
from .site import Site, page, to_sign_in, values_of_all_pages

logger = logging.getLogger("magazine")

STATUSES: dict[type[UserError], int] = {
    NotFound: 404,
    NotAllowed: 403,
    ExpiredForm: 403,
    Locked: 409,
    Busy: 503,
    Unavailable: 503,
    OutcomeUnknown: 500,
}
WEEKS = 2 * 7 * 24 * 60 * 60


def create_app(
    config: Config, engine: AsyncEngine | None = None, discussion: Discussion | None = None
) -> FastAPI:
    """Return the application of the magazine.

    :param engine: by default, one for the database of the configuration.
    :param discussion: by default, one on that engine.
    """
    engine = engine or make_engine(config.database)
    discussion = discussion or make_discussion(engine)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await engine.dispose()

    app = FastAPI(title="The magazine", lifespan=lifespan, openapi_url=None)
    pages = _make_pages(discussion, config)
    app.state.site = Site(discussion, make_sessions(engine), pages)
    app.add_middleware(
        SessionMiddleware,
        secret_key=config.secret,
        session_cookie="magazine",
        max_age=WEEKS,
        same_site="lax",
        https_only=config.https,
    )
    for router in (login.router, article_pages.router, author_pages.router):
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=Path(__file__).with_name("static")))
    pages.install(app)
    discussion.install(app)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _no_such_address)
    app.add_exception_handler(UserError, _user_error)
    app.add_exception_handler(Exception, _show_unexpected)
    return app


def _make_pages(discussion: Discussion, config: Config) -> Pages:
    return Pages(
        discussion,
        secret=config.secret,
        templates=Path(__file__).with_name("templates"),
        values=values_of_all_pages,
        sign_in="/login",
        size=PageSize(comments=50, levels=4, replies=5),
        descending=True,
        https=config.https,
    )


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return await page(request, "error.html", error.status_code, problem=error.detail)


async def _no_such_address(request: Request, error: Exception) -> Response:
    return await page(request, "error.html", 404, problem="There is no such page.")


async def _user_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, UserError)
    if isinstance(error, SignInRequired):
        return to_sign_in(request)
    status = STATUSES.get(type(error), 422)
    return await page(request, "error.html", status, problem=error.message)


async def _show_unexpected(request: Request, error: Exception) -> Response:
    # Starlette raises it again, once this is sent, for the server to log.
    problem = "Something went wrong here; it has been logged."
    request.state.reader = None  # whom the database may not tell just now
    request.state.tallied_viewer = None
    return await page(request, "error.html", 500, problem=problem)
