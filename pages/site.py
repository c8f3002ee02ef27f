"""The site of the pages: the discussion, the templates, the texts, and the responses."""

from __future__ import annotations

import string
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from inspect import isawaitable
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote
from uuid import UUID

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PrefixLoader
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Scope

from ..auth.viewer import Viewer
from ..discussion import Discussion
from ..errors import ConfigurationError, Unauthenticated
from ..host.access import Access
from ..setting_checks import is_strong_secret
from ..transport.service import load_viewer
from .forms import TOKEN, Forms, FormState, sent_values
from .texts import Texts
from .views import DiscussionView, Links, PageSize, read_comment_page, read_thread_page

TEMPLATES = Path(__file__).with_name("templates")
STATIC_FILES = Path(__file__).with_name("static")

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""The headers of every page: a comment can load nothing and run nothing."""

PAGES = "tallied.pages"
"""The key in the scope of a request for one of these pages, not for one of the host's."""

NOTICES = frozenset({"pending"})

Folder: TypeAlias = str | PathLike[str]
Values: TypeAlias = Mapping[str, Any]
GetValues: TypeAlias = Callable[[Request], Values | Awaitable[Values]]


class Site:
    """The pages of a discussion.

    :param discussion: the discussion, with its viewers, policy, hooks and rules.
    :param secret: the secret that signs the forms; by default that of the discussion's settings.
    :param path: the path of the pages.
    :param templates: the host's folders of templates, which come before those of Tallied.
    :param values: a plain or asynchronous function that returns the values of a request for all
        templates.
    :param texts: the texts that take the place of those in :data:`~.texts.TEXTS`.
    :param sign_in: the path of the host's sign-in page, which gets the parameter ``next``.
    :param size: how many comments, replies and levels a page shows.
    :param descending: whether the latest comment comes first.
    :param headers: the headers of every page, in the place of :data:`HEADERS`.
    :param https: whether browsers send the cookie over HTTPS alone; by default, as the page itself
        was requested.
    :param cookie: the name of the cookie.
    :raises ConfigurationError: for an argument that cannot be used.
    """

    def __init__(
        self,
        discussion: Discussion,
        *,
        secret: str = "",
        path: str = "/discussion",
        templates: Folder | Sequence[Folder] = (),
        values: GetValues = lambda request: {},
        texts: Mapping[str, str] | None = None,
        sign_in: str | None = None,
        size: PageSize | None = None,
        descending: bool = False,
        headers: Mapping[str, str] | None = None,
        https: bool = False,
        cookie: str = "tallied_form",
    ) -> None:
        secret = secret or discussion.settings.secret
        if not is_strong_secret(secret):
            raise ConfigurationError(
                "Pages need a secret of at least 32 random characters, which signs their forms;"
                " pass secret=, the same in every process."
            )
        if not path.startswith("/") or path.endswith("/") or "{" in path:
            raise ConfigurationError(f"path must be like /discussion, not {path!r}.")
        self.discussion = discussion
        self.path = path
        self.texts = Texts(texts or {})
        self.sign_in = sign_in
        self.size = size or PageSize()
        self.descending = descending
        self.headers = HEADERS if headers is None else headers
        self.https = https
        max_length = discussion.rules.max_message_length
        self.forms = Forms(secret, discussion.settings, max_length, cookie)
        folders = [templates] if isinstance(templates, str | PathLike) else list(templates)
        self.environment = _make_environment(folders)
        self.environment.globals["t"] = self.texts
        self._values = values

    async def viewer(self, request: Request) -> Viewer | None:
        """Return the viewer of a request, who is found once.

        On the sign-in page, somebody with an invalid session is a guest.

        :raises Unauthenticated: as the function ``get_viewer`` of the discussion does.
        """
        if not hasattr(request.state, "tallied_viewer"):
            try:
                viewer = await load_viewer(self.discussion.get_viewer, request)
            except Unauthenticated:
                sign_in = self.links(request).sign_in or ""
                if request.scope["path"] != sign_in.partition("?")[0]:
                    raise
                viewer = None
            request.state.tallied_viewer = viewer
        result: Viewer | None = request.state.tallied_viewer
        return result

    async def access(self, request: Request) -> Access:
        """Return the rights of the viewer of a request, which hooks receive."""
        return self.discussion.access(await self.viewer(request), request=request)

    def links(self, request: Request) -> Links:
        """Return the addresses of the pages, as a browser requests them."""
        scope = request.scope
        root, above = _mounted_at(scope, self.path)
        # Not of request.url, which cannot be read with a query that is not UTF-8.
        query = quote(scope["query_string"], safe=string.punctuation)
        address = quote(scope["path"]) + (f"?{query}" if query else "")
        if request.method == "POST":  # to which nobody can go back
            address = local_path(sent_values(request).get("next"), f"{root}/")
        return Links(root, address, self.sign_in and above + self.sign_in)

    async def csrf(self, request: Request) -> Markup:
        """Return the field that each form on a page has."""
        token = self.forms.token(request, await self.viewer(request))
        return Markup('<input type="hidden" name="{}" value="{}">').format(TOKEN, token)

    async def read_form(self, request: Request) -> dict[str, str]:
        """Return the texts of a form that was sent from a page.

        :raises HTTPException: for one that is too large, or none, or from a foreign page.
        :raises ExpiredForm: without the token of the viewer and the browser.
        """
        return await self.forms.read(request, await self.viewer(request))

    async def read_thread(
        self, request: Request, thread_id: UUID, form: FormState | None = None
    ) -> DiscussionView | None:
        """Return a thread for the macros, or None if there is none that the viewer may read.

        The page of comments is that of the request's parameters ``after`` and ``before``.

        :param form: the state of the form for a comment.
        :raises BadUserInput: for a cursor of another order.
        """
        access, query = await self.access(request), request.query_params
        result = await self.discussion.database.run_query(
            lambda connection: read_thread_page(
                connection,
                access,
                thread_id,
                self.size,
                after=None if query.get("before") else query.get("after"),
                before=query.get("before"),
                descending=self.descending,
            )
        )
        if result is None:
            return None
        page, below = result
        view = DiscussionView(
            thread=page.thread,
            comments=page,
            **below._asdict(),
            **await self._common(request),
        )
        return view if form is None else replace(view, form=form)

    async def read_comment(
        self, request: Request, id: UUID, form: FormState | None = None
    ) -> DiscussionView | None:
        """Return a comment with its surroundings, or None if the viewer may not read it.

        :param form: the state of the form for a reply to it.
        """
        access = await self.access(request)
        result = await self.discussion.database.run_query(
            lambda connection: read_comment_page(connection, access, id, self.size)
        )
        if result is None:
            return None
        around, below = result
        view = DiscussionView(
            thread=around.thread,
            comments=around.siblings,
            ancestors=around.ancestors,
            comment=around.comment,
            **below._asdict(),
            **await self._common(request),
        )
        return view if form is None else replace(view, reply_form=form)

    async def _common(self, request: Request) -> dict[str, Any]:
        notice = request.query_params.get("notice")
        return {
            "descending": self.descending,
            "viewer": await self.viewer(request),
            "links": self.links(request),
            "csrf": await self.csrf(request),
            "notice": notice if notice in NOTICES else None,
        }

    async def render(
        self, request: Request, template: str, status: int = 200, **values: Any
    ) -> Response:
        """Return a page, with the cookie of its forms.

        Every template has ``request``, ``viewer``, ``links``, ``csrf`` and ``t``, and the values of
        the host.
        """
        common = {
            "request": request,
            "viewer": await self.viewer(request),
            "links": self.links(request),
            "csrf": await self.csrf(request),
        }
        own = self._values(request)
        common |= await own if isawaitable(own) else own
        html = self.environment.get_template(template).render(common | values)
        response = HTMLResponse(html, status, self.headers)
        self.forms.keep(request, response, https=self.https)
        return response


def _mounted_at(scope: Scope, path: str) -> tuple[str, str]:
    """Return the path of the pages, and that of the host's application, as a browser sees them.

    A page of the host's in an application that is mounted must be its route, not below a mount.
    """
    root_path: str = scope.get("root_path", "")
    root = root_path if PAGES in scope else None
    if scope["app"].router is scope["router"]:
        above: str = scope.get("app_root_path", root_path)
    else:
        above = root_path if root is None else root.removesuffix(path)
    return (above + path if root is None else root), above


def go(path: str, fragment: str = "") -> Response:
    """Redirect to a page after a change."""
    return RedirectResponse(f"{path}{fragment and '#' + fragment}", 303)


def local_path(path: str | None, default: str) -> str:
    """Return a path of this site, without its fragment; the default in place of another address."""
    path = (path or "").partition("#")[0]
    is_local = path.isascii() and path.isprintable() and path.startswith("/")
    return path if is_local and not path.startswith("//") and "\\" not in path else default


def _make_environment(folders: Sequence[Folder]) -> Environment:
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise ConfigurationError(f"templates: there is no folder {folder.absolute()}.")
    own = FileSystemLoader(TEMPLATES)
    # A template that overrides one of Tallied's extends that by its name after an exclamation mark.
    loaders = [FileSystemLoader(list(folders)), own, PrefixLoader({"": own}, delimiter="!")]
    return Environment(
        loader=ChoiceLoader(loaders), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
