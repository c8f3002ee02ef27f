"""The playground: GraphiQL, from files of the package, without requests to other servers."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import mimetypes
import re
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from .. import schema
from ..settings import Guests

FOLDER = Path(schema.__file__).parent / "playground"

HEADERS = {
    # The page has no script of its own, so none is allowed in it, with a nonce or without.
    # GraphiQL and its editor write style elements and attributes; their fonts are data URLs.
    # 'self' covers the WebSocket of the same host, too (Content Security Policy, section 6.7.2.8).
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
"""The headers of the page, by which a browser sends no request to another host
(Content Security Policy, level 3)."""

FOREVER = "public, max-age=31536000, immutable"
"""The Cache-Control of a URL with the version of its file (RFC 8246)."""

_VERSION = re.compile(r"[0-9a-f]{16}/")


class Assets:
    """An ASGI application that serves the files of the page, which are read once, compressed.

    Browsers cache them for good below their version, which is a digest of all of them.

    :param folder: the folder of ``index.html`` and ``vendor/``.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        self._contents = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
        self._compressed: dict[str, bytes] = {}
        digest = hashlib.sha256()
        for name, content in self._contents.items():
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        self.version = digest.hexdigest()[:16]

    @property
    def is_complete(self) -> bool:
        """Whether the page and the scripts that it needs are installed."""
        has_vendor = any(name.startswith("vendor/") for name in self._contents)
        return has_vendor and "index.html" in self._contents

    def page(self, guests: Guests) -> bytes:
        """Return the page, with links to this version of the files.

        :param guests: what guests may do, by which the page chooses its examples.
        """
        text = self._contents["index.html"].decode()
        text = re.sub(r'((?:src|href)=")playground/', rf"\1playground/{self.version}/", text)
        return text.replace("<body>", f'<body data-guests="{guests}">').encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._respond(Request(scope))
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return PlainTextResponse("Use GET.\n", 405, {"Allow": "GET, HEAD"})
        mounted_at = request.scope.get("root_path", "")
        path = request.scope["path"].removeprefix(mounted_at).lstrip("/")
        name = _VERSION.sub("", path, count=1)
        if name not in self._contents:
            return PlainTextResponse("There is no such file.\n", 404)
        encodings = request.headers.get("accept-encoding", "").lower()
        # A client that accepts no compression can give gzip the quality 0.
        is_compressed = bool(re.search(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))", encodings))
        tag = f'"{self.version}{"-gzip" if is_compressed else ""}"'
        headers = {
            "Cache-Control": FOREVER if path.startswith(f"{self.version}/") else "no-cache",
            "ETag": tag,
            "Vary": "Accept-Encoding",
            "X-Content-Type-Options": "nosniff",
        }
        if tag in request.headers.get("if-none-match", ""):
            return Response(None, 304, headers)
        content = self._contents[name]
        if is_compressed:
            headers["Content-Encoding"] = "gzip"
            content = await self._compress(name)
        return Response(content, 200, headers, mimetypes.guess_type(name)[0] or "text/plain")

    async def _compress(self, name: str) -> bytes:
        if name not in self._compressed:
            # In a thread, because the largest file would block the event loop for 50 ms.
            compressed = await asyncio.to_thread(gzip.compress, self._contents[name], mtime=0)
            self._compressed[name] = compressed
        return self._compressed[name]


@cache
def load_assets(folder: Path) -> Assets:
    """Return the assets of `folder`, read once in a process: they have some megabytes."""
    return Assets(folder)


class Playground:
    """The playground's page, which is built once.

    :param folder: the folder of ``index.html`` and ``vendor/``.
    :param guests: what guests may do.
    """

    def __init__(self, folder: Path = FOLDER, guests: Guests = "read") -> None:
        self.assets = load_assets(folder)
        self.is_complete = self.assets.is_complete
        self._page = self.assets.page(guests) if self.is_complete else None

    def response(self) -> Response:
        """Return the page, or how to get it if its assets are not installed."""
        if self._page is not None:
            return HTMLResponse(self._page, headers=HEADERS)
        return PlainTextResponse(
            "This is Tallied's GraphQL API. It works: send it a POST.\n\n"
            "The playground is not installed, because npm could not download its assets. Restart\n"
            "the server with scripts/serve, which tries again, or install Tallied's wheel.\n",
            404,
        )
