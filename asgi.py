"""The web front door: the ASGI application of a server on its own.

``uvicorn --factory tallied.asgi:create_app`` serves it with the settings of the
environment; importing this module does no work.
"""

from __future__ import annotations

from .extras import require

require("server", __name__)

import gc
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from .checks.readiness import make_health_routes
from .database import Database
from .discussion import Discussion
from .execution.errors import METHOD_NOT_ALLOWED
from .logs.access import AccessLog
from .logs.access import logger as access_log
from .logs.request_ids import RequestIds
from .pages import Pages
from .server.development import with_secret
from .server.landing import make_landing_routes
from .settings import Settings
from .transport.allowed_hosts import HostGuard
from .transport.checked_headers import CheckedHeaders
from .transport.cross_origin import CrossOrigin
from .transport.request_errors import RequestError, make_error_response, send_error

GC_THRESHOLDS = (5000, 10, 40)
"""When garbage is looked for (:func:`gc.set_threshold`). What an operation leaves is nearly all
freed without. A search through all that is alive finds next to nothing, and everybody waits for it,
100 to 400 ms while a large response is put together: it begins after 2 million new objects. What
failed connections leave is in cycles: where it took 10 million objects to begin that search,
20 minutes of them took 130 MB more. At 2,000 objects, each batch of writes and every tenth large
page began a search among the youngest, which took a twelfth of the time of such pages."""


def create_app(settings: Settings | None = None, database: Database | None = None) -> Starlette:
    """Return the application: ``/graphql`` with its playground, the schema's files, ``/health``.

    With the playground, ``/`` is a page that leads to all of it. In development, with a
    secret, there are the pages of :mod:`tallied.pages`, too. A host has more to say with a
    :class:`~tallied.discussion.Discussion` of its own.

    :param settings: by default, those of the environment; in development, with a secret.
    :param database: by default, the one that the settings name, which is closed when the
        application stops; one that is passed stays open.
    :raises ConfigurationError: for a setting that cannot be used.
    """
    settings = settings or with_secret(Settings.from_environ(os.environ))
    discussion = Discussion(database, settings=settings)
    routes = [*discussion.routes(), *make_health_routes(discussion.readiness)]
    if settings.shows_playground:
        has_pages = settings.environment == "development" and bool(settings.secret)
        pages = Pages(discussion).routes() if has_pages else []
        kind = "SQLite" if discussion.database.is_sqlite else "PostgreSQL"
        routes += [*pages, *make_landing_routes(settings, kind, has_pages=has_pages)]

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        # The modules and the schema stay for good: spare every collection the walk.
        gc.collect()
        gc.freeze()
        if database is None:  # and so the process is ours, as good as certainly.
            gc.set_threshold(*GC_THRESHOLDS)
        # ``tallied serve`` has checked it all, once for its processes.
        try:
            if database is None:
                await discussion.database.open_file()
            yield
        finally:
            await discussion.readiness.close()
            if database is None:
                await discussion.database.dispose()

    return Server(settings, discussion, routes=routes, lifespan=lifespan)


class Server(Starlette):
    """A Starlette application with request ids, CORS and so on around all of it.

    Among an application's own middleware, its answers to exceptions would go without, and a
    browser would hide them from the page.
    """

    def __init__(self, settings: Settings, discussion: Discussion, **options: Any) -> None:
        super().__init__(exception_handlers={405: self._refuse_method}, **options)
        self.router.default = self._refuse_path
        self._settings = settings
        self._path = discussion.path
        self._endpoint = RequestIds(discussion.endpoint.serve)
        self._guard = HostGuard(self._endpoint, settings)
        self._plain_headers = CheckedHeaders(self._has_plain_headers)
        # Starlette would redirect /graphql/ to an address that is built from the Host header.
        self.router.redirect_slashes = False

    async def _refuse_path(self, scope: Scope, receive: Receive, send: Send) -> None:
        sentence = f"There is nothing at this path; the API is at {self._path}."
        await send_error(RequestError(404, "PATH_NOT_FOUND", sentence), scope, receive, send)

    async def _refuse_method(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        sentence = f"This path takes another method; operations are sent to {self._path} by POST."
        refusal = RequestError(405, METHOD_NOT_ALLOWED, sentence, error.headers)
        return make_error_response(refusal, request.scope)

    def build_middleware_stack(self) -> ASGIApp:
        """Build what answers a request."""
        guarded = HostGuard(super().build_middleware_stack(), self._settings)
        return RequestIds(AccessLog(CrossOrigin(guarded, self._settings)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and a plain operation without the middleware that would not act."""
        if (
            scope["type"] == "http"
            and scope["path"] == self._path
            and scope["method"] in ("GET", "POST")
            and not access_log.isEnabledFor(logging.INFO)
            and self._plain_headers.result(scope)
        ):
            scope["app"] = self
            await self._endpoint(scope, receive, send)
            return
        await super().__call__(scope, receive, send)

    def _has_plain_headers(self, scope: Scope) -> bool:
        """Return whether no middleware would act on a request with these headers.

        With allowed origins, what a cache may keep has to say that it depends on them.
        """
        if scope["method"] == "GET" and self._settings.origins:
            return False
        return "origin" not in Headers(scope=scope) and self._guard.allows(scope)
