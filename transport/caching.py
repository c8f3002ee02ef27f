"""What caches may do with an answer (RFC 9111), and whether a client has it already (RFC 9110).

Only the answer to a query by GET can be kept, and only where nothing went wrong. One that
came without credentials is for anyone; one that came with a cookie or an Authorization
header may be personal, and is for that client alone. With either, a cache has to ask each
time whether the answer is still the same, unless the settings give anonymous answers a time
to live.
"""

from __future__ import annotations

import asyncio
import hashlib

from starlette.datastructures import Headers
from starlette.responses import Response

VARY = "Accept, Authorization, Cookie"
"""What the answer to a GET depends on beside its address."""

MAX_INLINE_BYTES = 1_048_576
"""Bytes of an answer from which on its tag is made in a thread."""

CREDENTIALS = ("authorization", "cookie")


async def allow_caching(
    response: Response, request: Headers, seconds: int, *, personal: bool = False
) -> Response:
    """An answer that may be kept; or that the client's own copy is still right.

    :param request: the headers of the request.
    :param personal: whether the answer is for one viewer, whatever told who that is.
    :param seconds: how long an anonymous answer may be kept without asking again.
    """
    personal = personal or any(name in request for name in CREDENTIALS)
    if personal:
        policy = "private, no-cache"
    else:
        policy = f"public, max-age={seconds}" if seconds else "public, no-cache"
    response.headers["Cache-Control"] = policy
    # Beside the event loop, which a large answer would hold for as much as 10 ms.
    large = len(response.body) > MAX_INLINE_BYTES
    tag = await asyncio.to_thread(_tag, response) if large else _tag(response)
    response.headers["ETag"] = tag
    if not _is_known(tag, ",".join(request.getlist("if-none-match"))):
        return response
    kept = {name: response.headers[name] for name in ("Cache-Control", "ETag")}
    return Response(None, 304, kept)


def _tag(response: Response) -> str:
    """A strong entity tag: other bytes or another media type, another tag."""
    digest = hashlib.sha256((response.media_type or "").encode())
    digest.update(response.body)
    return f'"{digest.hexdigest()[:32]}"'


def _is_known(tag: str, header: str) -> bool:
    """Whether If-None-Match has the tag, by weak comparison (RFC 9110, section 13.1.2)."""
    tags = [each.strip() for each in header.split(",")]
    return "*" in tags or tag in (each.removeprefix("W/") for each in tags)
