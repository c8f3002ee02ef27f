"""The playground: GraphiQL, from files beside the package, with no other host involved."""

from __future__ import annotations

from pathlib import Path

from starlette.responses import HTMLResponse, PlainTextResponse, Response

FOLDER = Path(__file__).parent / "playground"

HEADERS = {
    # The page has no script of its own, so none is allowed in it, with a nonce or without.
    # GraphiQL and its editor write style elements and attributes; their fonts are data URLs.
    "Content-Security-Policy": "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "connect-src 'self'",
            "style-src 'self' 'unsafe-inline'",
            "font-src 'self' data:",
            "img-src 'self' data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
"""What the browser is told of the page: above all, to ask no other host for anything
(Content Security Policy, level 3)."""


class Playground:
    """The playground's page, read once.

    :param folder: where ``index.html`` and ``vendor/`` are.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        index, vendor = folder / "index.html", folder / "vendor"
        complete = index.is_file() and vendor.is_dir() and any(vendor.iterdir())
        self._page = index.read_bytes() if complete else None

    @property
    def is_complete(self) -> bool:
        """Whether the page's assets are installed."""
        return self._page is not None

    def response(self) -> Response:
        """The page; or how to get it, where its assets have not been brought in."""
        if self._page is not None:
            return HTMLResponse(self._page, headers=HEADERS)
        return PlainTextResponse(
            "The playground's assets are not installed: start the server with scripts/serve, "
            "or install Tallied from its wheel. The API itself works; send it a POST.\n",
            404,
        )
