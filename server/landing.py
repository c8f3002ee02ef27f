"""The page at ``/`` of a server on its own: what is running, and where to go from it."""

from __future__ import annotations

from html import escape
from pathlib import Path
from string import Template
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from .. import __version__
from ..documentation import find_command, find_page
from ..settings import Guests, Settings
from ..transport.playground import FOLDER, Playground
from .process import address, database_option

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'unsafe-inline';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}

GUESTS: dict[Guests, str] = {
    "read": "Guests may only read.",
    "write": "Guests may read and write.",
    "moderate": "Guests may write and moderate; to react, sign in.",
}


_TOKEN = " \\\n  -H 'authorization: Bearer TOKEN'"
"""The header with which somebody signs in who may not write as a guest."""


class Link(NamedTuple):
    """A link of the page.

    :param href: relative to the page, or a whole address.
    """

    href: str
    title: str
    description: str


def make_landing_routes(settings: Settings, database: str, *, has_pages: bool) -> list[Route]:
    """Return the routes of the page and of its icon, which browsers look for at a fixed path.

    :param database: the kind of the database, as people call it.
    :param has_pages: whether the discussions are served as pages, too.
    """
    # Strangers need not know where it is on the disk.
    command = find_command() if settings.environment == "development" else "tallied"
    page = Template((Path(__file__).parent / "landing.html").read_text("utf-8"))
    text = page.substitute(
        version=__version__,
        command=escape(command),
        database=database,
        option=escape(database_option(settings)),
        author="" if settings.guests == "read" else r"authorName: \"Ada\", ",
        token=_TOKEN if settings.guests == "read" else "",
        guests=GUESTS[settings.guests],
        links="\n".join(map(_row, _links(has_pages))),
        url=escape(f"{address(settings)}/graphql"),
    )

    async def show(_: Request) -> Response:
        return HTMLResponse(text, headers=HEADERS)

    async def icon(_: Request) -> Response:
        return FileResponse(FOLDER / "icon.svg", headers={"Cache-Control": "max-age=86400"})

    return [Route("/", show), Route("/favicon.ico", icon)]


def _links(has_pages: bool) -> list[Link]:
    about_playground = (
        "GraphiQL, with examples to run: start a thread, reply, react, watch the counters."
        if Playground().is_complete
        else "The endpoint of the API; the playground's assets are not installed."
    )
    documentation = find_page("index")
    pages = Link("discussion/", "Discussions", "Pages of the same threads, without JavaScript.")
    return [
        Link("graphql", "Playground", about_playground),
        *([pages] if has_pages else []),
        Link("schema.graphql", "Schema", "The whole API as SDL, for codegen and editors."),
        Link("introspection.json", "Introspection", "The same as an introspection result."),
        Link("health", "Health", "For load balancers: ok once the database can be used."),
        Link(documentation, "Documentation", "Tutorial, guides, reference and explanation."),
    ]


def _row(link: Link) -> str:
    title = escape(link.title)
    if link.href.startswith("docs/"):  # a file of the checkout, which no browser can open
        return f"        <dt>{title}</dt><dd>{escape(link.description)} {escape(link.href)}</dd>"
    return (
        f'        <dt><a href="{escape(link.href)}">{title}</a></dt>'
        f"<dd>{escape(link.description)}</dd>"
    )
