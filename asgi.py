"""The web front door: the ASGI application.

``uvicorn --factory tallied.asgi:create_app`` serves it with the settings of the
environment; importing this module does no work.
"""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from .database import BUSY_TIMEOUT, Database
from .errors import Busy
from .rules import Rules
from .schema.http import GraphQLEndpoint
from .schema.page import FOLDER, Playground
from .schema.published import FILES, PublishedFile
from .settings import Settings
from .tokens import authenticate

logger = logging.getLogger("tallied.api")


def create_app(settings: Settings | None = None, database: Database | None = None) -> Starlette:
    """The application: ``/graphql`` with its playground, the schema's files, and ``/health``.

    :param settings: by default, those of the environment.
    :param database: by default, the one that the settings name, which is closed when the
        application stops; one that is passed stays open.
    :raises ConfigurationError: for a setting that cannot be used.
    """
    settings = settings or Settings.from_environ(os.environ)
    ours = database is None
    database = database or Database(
        settings.database,
        attempts=settings.transaction_attempts,
        patience=min(BUSY_TIMEOUT, settings.execution_time),
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        # The modules and the schema stay for good: spare every collection the walk.
        gc.collect()
        gc.freeze()
        yield
        if ours:
            await database.dispose()

    return Starlette(routes=_routes(settings, database), lifespan=lifespan)


def _routes(settings: Settings, database: Database) -> list[BaseRoute]:
    async def health(_: Request) -> Response:
        try:
            async with database.read() as connection:
                await connection.execute(text("SELECT 1"))
        except (SQLAlchemyError, OSError, Busy):
            logger.exception("the database does not answer")
            return JSONResponse({"status": "the database does not answer"}, 503)
        return JSONResponse({"status": "ok"})

    async def home(request: Request) -> Response:
        return RedirectResponse(f"{request.scope.get('root_path', '')}/graphql")

    playground = Playground() if settings.playground else None
    routes: list[BaseRoute] = [
        Route(
            "/graphql",
            GraphQLEndpoint(
                database,
                settings,
                playground,
                rules=Rules(guests=settings.guests, message_length=settings.message_length),
                get_viewer=lambda connection: authenticate(settings, connection.headers),
            ),
        ),
        Route("/health", health),
    ]
    if settings.introspection:
        routes += [Route(f"/{name}", PublishedFile(name)) for name in FILES]
    if playground:
        routes += [
            Route("/", home),
            Mount("/playground", StaticFiles(directory=FOLDER, check_dir=False)),
        ]
    return routes
