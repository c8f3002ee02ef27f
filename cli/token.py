"""``tallied token``: print a signed bearer token."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from datetime import timedelta
from typing import Annotated

import typer

from ..auth.tokens import encode_token
from ..auth.viewer import Viewer
from ..errors import ConfigurationError
from ..server import development
from ..settings import Settings
from .options import DatabaseURL, Format
from .output import Output
from .runner import read_settings

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"([0-9]{1,9})([smhd])")


def issue_token(
    settings: Settings,
    subject: str,
    *,
    name: str | None = None,
    is_moderator: bool = False,
    expires: str = "1h",
) -> str:
    """Return a token for `subject`, signed with the secret of `settings`.

    :param expires: after how long, as :func:`parse_duration` reads it.
    :raises ConfigurationError: for a missing secret, and whatever else cannot be used.
    """
    viewer = Viewer(subject, name, is_moderator)
    lifetime = parse_duration(expires)
    if not settings.secret:
        raise ConfigurationError(
            "TALLIED_SECRET is not set, and tokens are signed with it; set it, for the server too,"
            " to what `python -c 'import secrets; print(secrets.token_urlsafe(32))'` prints. A"
            " server with TALLIED_ENVIRONMENT=development, such as scripts/serve, makes one itself."
        )
    return encode_token(settings.secret, viewer, lifetime)


def parse_duration(text: str) -> timedelta:
    """Parse a whole number and its unit: ``90s``, ``15m``, ``1h`` or ``7d``.

    :raises ConfigurationError: for anything else.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ConfigurationError(
            f"{text!r} is not a duration; write a whole number and s, m, h or d, such as 90s or 7d."
        )
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def token(
    subject: Annotated[
        str, typer.Argument(metavar="SUBJECT", help="The identity that the token stands for.")
    ],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The display name. [default: none]")
    ] = None,
    moderator: Annotated[
        bool, typer.Option("--moderator", help="Allow changing what others wrote.")
    ] = False,
    expires: Annotated[
        str, typer.Option(metavar="DURATION", help="The lifetime: 90s, 15m, 1h, 7d.")
    ] = "1h",
    database: DatabaseURL = None,
    form: Format = "text",
) -> None:
    """Print a signed bearer token, and nothing else.

    It is signed with TALLIED_SECRET, which the server needs as well; in development, with a
    secret that is stored beside the database. Clients send it as `Authorization: Bearer TOKEN`.
    It cannot be revoked before it expires, so choose a short lifetime.
    """
    settings = read_settings(database=database)
    if "TALLIED_ENVIRONMENT" not in os.environ and development.is_development(settings):
        settings = replace(settings, environment="development")
    value = issue_token(
        development.with_secret(settings),
        subject,
        name=name,
        is_moderator=moderator,
        expires=expires,
    )
    Output(form).say_value("token", value)
