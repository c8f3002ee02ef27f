"""Discussion pages that are put together on the server, and work without JavaScript.

>>> from tallied.pages import Pages

>>> pages = Pages(discussion, secret=SECRET)
>>> pages.install(app)  # at /discussion

The templates can be overridden, and their macros used in a host's own templates. See
``docs/how-to/pages.md``.
"""

from __future__ import annotations

from ..extras import require

require("pages", __name__)

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from ..errors import UserError
from ..host.validation import validate_application
from .failures import show_error
from .handlers import HANDLERS, endpoint, refuse_path
from .site import STATIC_FILES, Site


class Pages(Site):
    """The pages of a :class:`~tallied.discussion.Discussion` in a host's application."""

    def routes(self) -> list[BaseRoute]:
        """Return the routes of the pages, below :attr:`path`."""
        routes: list[BaseRoute] = [
            Route(path, endpoint(self, handler), methods=methods)
            for path, methods, handler in HANDLERS
        ]
        routes.append(Mount("/static", StaticFiles(directory=STATIC_FILES)))
        routes.append(Route("/{path:path}", endpoint(self, refuse_path)))
        return [Mount(self.path, routes=routes), Route(self.path, self._add_slash)]

    async def _add_slash(self, request: Request) -> Response:
        return RedirectResponse(self.links(request).threads(**request.query_params))

    def install(self, app: Starlette) -> None:
        """Add the routes to a host's application.

        A :class:`~tallied.errors.UserError` of its own routes is shown as one of these pages,
        unless the application has a handler for it.

        :param app: a Starlette or FastAPI application that has not started yet.
        :raises ConfigurationError: for another object, such as a router, and if earlier routes of
            the application take the path.
        """
        validate_application(app, "GET", f"{self.path}/static/discussion.css")
        app.router.routes += self.routes()
        app.exception_handlers.setdefault(UserError, self._show_error)

    async def _show_error(self, request: Request, error: Exception) -> Response:
        # A WebSocket has no pages.
        if not isinstance(request, Request) or not isinstance(error, UserError):
            raise error
        return await show_error(self, request, error)
