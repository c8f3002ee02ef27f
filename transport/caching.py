"""Caching of responses (RFC 9111), and conditional requests (RFC 9110).

Only the response to a query by GET can be cached, and only without errors. The response to a
request without credentials is for anyone. With a cookie or an Authorization header it may be
personal, and is for that client alone. In both cases a cache has to validate the response each
time, unless the settings give anonymous responses a time to live.
"""

from __future__ import annotations

import asyncio
import hashlib

from starlette.datastructures import Headers

VARY = "Accept, Authorization, Cookie"
"""The headers on which the response to a GET depends, in addition to its URL."""

MAX_INLINE_BYTES = 1_048_576
"""The most bytes of a response whose tag is computed on the event loop and not in a thread."""

CREDENTIALS = ("authorization", "cookie")


async def caching_headers(
    content: bytes, media_type: str, request: Headers, seconds: int, *, personal: bool = False
) -> tuple[bool, dict[str, str]]:
    """Return whether the client's own copy of a response is current, and the headers for caches.

    :param media_type: the Content-Type of the response.
    :param request: the headers of the request.
    :param seconds: the time for which an anonymous response may be used without validation.
    :param personal: whether the response is for one viewer, even without these headers.
    """
    personal = personal or any(name in request for name in CREDENTIALS)
    if personal:
        policy = "private, no-cache"
    else:
        policy = f"public, max-age={seconds}" if seconds else "public, no-cache"
    # In a thread, because a large response would block the event loop for up to 10 ms.
    large = len(content) > MAX_INLINE_BYTES
    tag = await asyncio.to_thread(_tag, content, media_type) if large else _tag(content, media_type)
    is_current = _is_known(tag, ",".join(request.getlist("if-none-match")))
    return is_current, {"Cache-Control": policy, "ETag": tag}


def _tag(content: bytes, media_type: str) -> str:
    """Return a strong entity tag: it differs for other bytes and for another media type."""
    digest = hashlib.sha256(media_type.encode())
    digest.update(content)
    return f'"{digest.hexdigest()[:32]}"'


def _is_known(tag: str, header: str) -> bool:
    """Return whether If-None-Match has the tag, by weak comparison (RFC 9110, 13.1.2)."""
    tags = [text.strip() for text in header.split(",")]
    return "*" in tags or tag in (text.removeprefix("W/") for text in tags)
