"""Forms: read within bounds, and only from the magazine's own pages."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request

TOKEN = "csrf"
LARGEST = 500_000
"""The maximum size of a form, in bytes."""


def token(request: Request) -> str:
    """Return the token of this session's forms, which no other page can know."""
    created: str = request.session.setdefault(TOKEN, secrets.token_urlsafe(32))
    return created


async def read(request: Request) -> Mapping[str, str]:
    """Return the texts of a form, with line breaks as one character, where browsers send two.

    Every route that changes something reads its form here.

    :raises HTTPException: for a form that is too large, or that comes from another page.
    """
    length = request.headers.get("content-length", "")
    if not (length.isascii() and length.isdigit() and len(length) < 10):
        raise HTTPException(411, "The form must say how long it is.")
    if int(length) > LARGEST:
        raise HTTPException(413, "That is too long to be sent; shorten it.")
    async with request.form(max_files=0, max_fields=20, max_part_size=LARGEST) as form:
        texts = {
            name: text.replace("\r\n", "\n") for name, text in form.items() if isinstance(text, str)
        }
    expected = request.session.get(TOKEN)
    sent = texts.get(TOKEN, "").encode(errors="replace")
    if not isinstance(expected, str) or not secrets.compare_digest(expected.encode(), sent):
        raise HTTPException(403, "This form is out of date; open the page anew and send it again.")
    return texts
