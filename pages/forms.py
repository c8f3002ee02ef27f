"""Forms: read within bounds, and only from pages of this site.

A form has a token that is signed for the viewer and for a cookie of the browser (OWASP's "signed
double-submit cookie"). Another site knows neither, and a token of somebody else fits no one. The
``Origin`` of the request is compared as well, as that of the API is.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson
from itsdangerous import Signer
from python_multipart.multipart import parse_options_header
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ..auth.viewer import Viewer
from ..errors import UserError
from ..settings import Settings
from ..transport.cross_origin import AllowedOrigins
from ..transport.request_errors import RequestError

TOKEN = "csrf"
"""The name of the field with the token."""

MAX_FIELDS = 20

OVERHEAD = 20_000
"""The bytes that a form may have beside its longest text."""

FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")


@dataclass
class FormState:
    """The texts of a form, and the errors about them."""

    values: Mapping[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    """The sentences by the name of the field; that of no field for an error of the whole form."""
    submission: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    """The id by which a form that is sent twice makes one comment."""


def sent_values(request: Request) -> Mapping[str, str]:
    """Return the texts of the form that a request was found to have; none before."""
    values: Mapping[str, str] = getattr(request.state, "tallied_values", {})
    return values


class ExpiredForm(UserError):
    """A form whose token does not fit its viewer and its browser."""

    code = "EXPIRED_FORM"

    def __init__(self, values: Mapping[str, str]) -> None:
        super().__init__("The form has no token of its viewer and its browser.")
        self.values = values


class Forms:
    """The tokens of forms, and the reading of what is sent.

    :param max_length: the most characters of a text.
    :param cookie: the name of the cookie.
    """

    def __init__(self, secret: str, settings: Settings, max_length: int, cookie: str) -> None:
        self._signer = Signer(secret, "tallied.pages.form", digest_method=hashlib.sha256)
        self._origins = AllowedOrigins(settings)
        # A character is four bytes, each of them three as a form has them.
        self._max_bytes = 12 * max_length + OVERHEAD
        self.cookie = cookie

    def token(self, request: Request, viewer: Viewer | None) -> str:
        """Return the token of the viewer's forms on a page."""
        if not hasattr(request.state, "tallied_form_key"):
            key = request.cookies.get(self.cookie) or secrets.token_urlsafe(24)
            request.state.tallied_form_key = key
        return self._sign(request.state.tallied_form_key, viewer)

    def keep(self, request: Request, response: Response, *, https: bool) -> None:
        """Add the cookie to a response with forms, if the browser has none."""
        key = getattr(request.state, "tallied_form_key", None)
        if key is not None and request.cookies.get(self.cookie) != key:
            secure = https or request.scope["scheme"] == "https"
            response.set_cookie(self.cookie, key, httponly=True, samesite="lax", secure=secure)

    async def read(self, request: Request, viewer: Viewer | None) -> dict[str, str]:
        """Return the texts of a form, with line breaks as one character.

        :raises HTTPException: for a form that is too large, or none, or from a foreign page.
        :raises ExpiredForm: without the token of the viewer and the browser.
        """
        try:
            self._origins.require_allowed(request.headers, "send forms")
        except RequestError as error:
            raise HTTPException(error.status, error.message) from error
        media_type, options = parse_options_header(request.headers.get("content-type"))
        # Python has other encodings whose decoders fail, take long, or yield no characters.
        is_utf8 = options.get(b"charset", b"utf-8").lower() == b"utf-8"
        if media_type.decode("latin-1") not in FORM_TYPES or not is_utf8:
            raise HTTPException(415, "Send a form, in UTF-8.")
        length = request.headers.get("content-length", "")
        if not (length.isascii() and length.isdigit() and len(length) < 10):
            raise HTTPException(411, "The form has to have a Content-Length.")
        if int(length) > self._max_bytes:
            raise HTTPException(413, "That is too long to be sent; shorten it.")
        size = self._max_bytes
        async with request.form(max_files=0, max_fields=MAX_FIELDS, max_part_size=size) as form:
            values = {
                name: text.replace("\r\n", "\n")
                for name, text in form.items()
                if isinstance(text, str)
            }
        key, token = request.cookies.get(self.cookie), values.pop(TOKEN, "")
        if not key or not secrets.compare_digest(
            self._sign(key, viewer).encode(), token.encode(errors="replace")
        ):
            raise ExpiredForm(values)
        request.state.tallied_values = values
        return values

    def _sign(self, key: str, viewer: Viewer | None) -> str:
        person = None if viewer is None else viewer.subject
        return self._signer.get_signature(orjson.dumps([key, person])).decode()
