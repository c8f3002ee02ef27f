"""Signed bearer tokens, which identify the viewer of a request to a server on its own.

A token is a JSON Web Token (RFC 7519) signed with HS256, the one algorithm that is
accepted (RFC 8725, section 3.1). Any service that shares the secret can make one::

    {"iss": "tallied", "aud": "tallied", "sub": "42", "exp": 1790000000,
     "name": "Ada", "is_moderator": true}

``name`` and ``is_moderator`` may be left out. An error about a token has no more detail than its
bearer needs to get a valid one.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import jwt
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from ..errors import ConfigurationError, Unauthenticated
from ..settings import Settings, is_strong_secret
from .viewer import Viewer

ALGORITHM = "HS256"
ISSUER = AUDIENCE = "tallied"

TOKEN_SIZE = 8192
"""The maximum size of a token, in bytes."""

LEEWAY = timedelta(seconds=10)
"""The accepted difference between the clocks of the signer and the server."""

MAX_LIFETIME = timedelta(days=366)
"""The longest time until a token expires, since it cannot be revoked."""

MAX_VERIFIED = 1000
"""How many tokens are remembered until they expire, since a client sends its own each time."""

_verified: OrderedDict[tuple[str, str, str], tuple[int, Viewer]] = OrderedDict()
"""When verified tokens expire, and whom they identify, by the token and the secrets."""

# RFC 6750, section 2.1; the scheme in any case, by RFC 9110, section 11.1.
_BEARER = re.compile(r"(?i:bearer) +([A-Za-z0-9._~+/-]+=*)")

_UNREADABLE = "The token cannot be read; send it as it was given out."
_FOREIGN = "The token is not one that this server accepts; get a new one."


def encode_token(secret: str, viewer: Viewer, expires_in: timedelta) -> str:
    """Return a token that identifies `viewer` until it expires.

    :raises ConfigurationError: for a missing or weak secret, and for a time that is not from 1
        second to 366 days.
    """
    if not timedelta(seconds=1) <= expires_in <= MAX_LIFETIME:
        raise ConfigurationError(
            f"A token expires after 1 second to {MAX_LIFETIME.days} days, not after"
            f" {expires_in.total_seconds():,.0f} seconds."
        )
    now = int(time.time())
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": viewer.subject,
        "iat": now,
        "exp": now + int(expires_in.total_seconds()),
    }
    if viewer.name is not None:
        claims["name"] = viewer.name
    if viewer.is_moderator:
        claims["is_moderator"] = True
    try:
        return jwt.encode(claims, _key(secret), ALGORITHM)
    except jwt.InvalidKeyError as error:
        raise _secret_error() from error


def decode_token(secret: str, token: str, *, previous_secret: str = "") -> Viewer:
    """Return the viewer whom `token` identifies.

    :param previous_secret: the secret before this one, if its tokens are to be accepted.
    :raises Unauthenticated: for an invalid token, and without a secret for any token.
    :raises ConfigurationError: for a weak secret.
    """
    key = (token, secret, previous_secret)
    verified = _find_verified(key)
    if verified is not None:
        return verified
    if not secret:
        raise Unauthenticated("This server accepts no tokens; send the request without one.")
    if len(token) > TOKEN_SIZE:
        raise Unauthenticated(f"The token is longer than {TOKEN_SIZE} bytes; get a shorter one.")
    if not token.isascii():
        raise Unauthenticated(_UNREADABLE)
    try:
        try:
            claims = _claims(token, secret)
        except jwt.InvalidSignatureError:
            if not previous_secret:
                raise
            claims = _claims(token, previous_secret)
    except jwt.ExpiredSignatureError as error:
        raise Unauthenticated("The token has expired; get a new one.") from error
    except jwt.ImmatureSignatureError as error:
        raise Unauthenticated(
            "The token is not valid yet; wait, or set the clock where it was made."
        ) from error
    except jwt.InvalidKeyError as error:
        raise _secret_error() from error
    except jwt.InvalidTokenError as error:
        # To PyJWT, an error of the signature is a kind of DecodeError.
        unreadable = type(error) is jwt.DecodeError
        raise Unauthenticated(_UNREADABLE if unreadable else _FOREIGN) from error
    try:
        viewer = Viewer(claims["sub"], claims.get("name"), claims.get("is_moderator", False))
    except ConfigurationError as error:  # an error of the token here, and not of the host
        raise Unauthenticated(_FOREIGN) from error
    _verified[key] = int(claims["exp"]), viewer
    if len(_verified) > MAX_VERIFIED:
        _verified.popitem(last=False)
    return viewer


def read_bearer_token(headers: Mapping[str, str]) -> str | None:
    """Return the token of an ``Authorization: Bearer …`` header (RFC 6750), or None without it.

    :param headers: the headers of a request or of a WebSocket, with names in any case.
    :raises Unauthenticated: for a header that is given twice or cannot be read.
    """
    values = (
        headers.getlist("authorization")
        if isinstance(headers, Headers)
        else [value for name, value in headers.items() if name.lower() == "authorization"]
    )
    if not values:
        return None
    text = values[0] if len(values) == 1 and isinstance(values[0], str) else ""
    match = _BEARER.fullmatch(text.strip(" \t"))
    if match is None:
        raise Unauthenticated(
            "The Authorization header cannot be read; send it once, as"
            " `Authorization: Bearer TOKEN`."
        )
    return match[1]


def authenticate(settings: Settings, headers: Mapping[str, str]) -> Viewer | None:
    """Return the viewer whom the token of the headers identifies; without one, None for a guest.

    :raises Unauthenticated: for an invalid header or token.
    """
    token = read_bearer_token(headers)
    if token is None:
        return None
    return decode_token(settings.secret, token, previous_secret=settings.previous_secret)


def authenticate_connection(settings: Settings, connection: HTTPConnection) -> Viewer | None:
    """Return the same of a connection; most guests' have no such header, and need no others.

    :raises Unauthenticated: as :func:`authenticate` does.
    """
    values = [value for name, value in connection.scope["headers"] if name == b"authorization"]
    if not values:
        return None
    if len(values) == 1 and values[0][:7] == b"Bearer ":
        token = values[0][7:].decode("latin-1")
        viewer = _find_verified((token, settings.secret, settings.previous_secret))
        if viewer is not None:
            return viewer
    return authenticate(settings, connection.headers)


def _find_verified(key: tuple[str, str, str]) -> Viewer | None:
    """Return the viewer whom a token identifies that was verified before, and has not expired."""
    expires_at, verified = _verified.get(key, (0, None))
    if verified is None or time.time() >= expires_at:
        return None
    _verified.move_to_end(key)
    return verified


def _claims(token: str, secret: str) -> dict[str, Any]:
    return jwt.decode(
        token,
        _key(secret),
        algorithms=[ALGORITHM],
        audience=AUDIENCE,
        issuer=ISSUER,
        leeway=LEEWAY,
        options={"require": ["exp", "sub", "aud", "iss"], "strict_aud": True},
    )


def _key(secret: str) -> str:
    if not secret:
        raise ConfigurationError(
            "TALLIED_SECRET is not set, and tokens are signed with it; set it, for the server too,"
            " to what `python -c 'import secrets; print(secrets.token_urlsafe(32))'` prints."
        )
    if not is_strong_secret(secret):
        raise _secret_error()
    return secret


def _secret_error() -> ConfigurationError:
    return ConfigurationError(
        "TALLIED_SECRET must be a text of at least 32 random bytes, and no public key; take what"
        " `python -c 'import secrets; print(secrets.token_urlsafe(32))'` prints."
    )
