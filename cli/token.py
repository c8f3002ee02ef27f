"""What ``tallied token`` does: a token for somebody, from words that a person types."""

from __future__ import annotations

import re
from datetime import timedelta

from ..auth.tokens import mint
from ..auth.viewer import Viewer
from ..errors import ConfigurationError
from ..settings import Settings

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
    """A token for `subject`, signed with the secret of `settings`.

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
    return mint(settings.secret, viewer, lifetime)


def parse_duration(text: str) -> timedelta:
    """A whole number and its unit: ``90s``, ``15m``, ``1h`` or ``7d``.

    :raises ConfigurationError: for anything else.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ConfigurationError(
            f"{text!r} is no duration; write a whole number and s, m, h or d, such as 90s or 7d."
        )
    return timedelta(**{_UNITS[match[2]]: int(match[1])})
