"""Checks of settings that are texts: each raises ConfigurationError, naming the setting."""

from __future__ import annotations

import re

from .errors import ConfigurationError

ANY_ORIGIN = "*"
"""The value of the setting ``origins`` that allows every origin."""

ANY_HOST = "*"
"""The item of the setting ``allowed_hosts`` that allows every name."""

MIN_SECRET_SIZE = 32
"""The fewest bytes of a secret: as many as HS256 produces."""

_SCHEMA = re.compile("[A-Za-z_][A-Za-z0-9_]{0,62}")

_ORIGIN = re.compile(
    r"(?!http://.*:80$)(?!https://.*:443$)"
    r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?"
)
"""An origin as browsers send it: in lower case, and without the default port of its scheme."""

_KIND = re.compile(r"[a-z][a-z0-9_]{0,29}:[^:,\s]{1,20}:[^:,]{1,50}")
"""A kind of reactions: its name, its emoji and its label."""

_HOST = re.compile(r"(?:\*\.)?[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\]")


def is_strong_secret(secret: str) -> bool:
    """Return whether `secret` is long and varied enough to sign with (RFC 7518, section 3.2).

    A random text of the minimal size passes almost certainly, in hex digits too; a word
    or a short pattern that is repeated does not. Neither does a key of another algorithm:
    its public half is not a secret.
    """
    if "-----BEGIN" in secret or secret.startswith(("{", "ssh-", "ecdsa-")):
        return False
    try:
        return len(secret.encode()) >= MIN_SECRET_SIZE and len(set(secret)) >= 8
    except UnicodeEncodeError:  # bytes of the environment that are not text
        return False


def split_list(text: str) -> list[str]:
    """Return the items of a setting that is a list, separated by commas."""
    return [item for item in map(str.strip, text.split(",")) if item]


def check_secret(name: str, secret: str) -> None:
    """Refuse a secret that can be guessed, and never show it."""
    if secret and not is_strong_secret(secret):
        raise ConfigurationError(
            f"{name} must be a text of at least {MIN_SECRET_SIZE} random bytes;"
            " take what `python -c 'import secrets; print(secrets.token_urlsafe(32))'` prints."
        )


def check_schema(name: str, schema: str) -> None:
    if schema and not _SCHEMA.fullmatch(schema):
        raise ConfigurationError(f"{name} must be up to 63 letters, digits and _, not {schema!r}.")


def is_origin(text: str) -> bool:
    """Return whether a text is an origin as browsers send it."""
    return _ORIGIN.fullmatch(text) is not None


def check_origins(name: str, origins: str) -> None:
    """Refuse what no browser sends as the origin of a page (RFC 6454, section 7)."""
    items = split_list(origins)
    if ANY_ORIGIN in items and len(items) > 1:
        raise ConfigurationError(
            f"{name} must be either {ANY_ORIGIN}, which is any origin, or a list of"
            f" origins; not {origins!r}."
        )
    for origin in items:
        if origin != ANY_ORIGIN and not is_origin(origin):
            raise ConfigurationError(
                f"{name} must be origins like https://forum.example, in lower case"
                f" and separated by commas, without a path or the scheme's own port; not"
                f" {origin!r}."
            )


def check_hosts(name: str, hosts: str) -> None:
    """Refuse what no ``Host`` header contains (RFC 9110, section 7.2)."""
    for host in split_list(hosts):
        if host != ANY_HOST and not _HOST.fullmatch(host):
            raise ConfigurationError(
                f"{name} must be names like forum.example, *.forum.example or"
                f" [::1], separated by commas and without a scheme, a port or a path, or"
                f" {ANY_HOST}, which is any name; not {host!r}."
            )


def check_reactions(name: str, reactions: str) -> None:
    kinds = split_list(reactions)
    names = {kind.partition(":")[0] for kind in kinds}
    if len(names) < len(kinds) or len(kinds) > 50 or not all(map(_KIND.fullmatch, kinds)):
        raise ConfigurationError(
            f"{name} must be at most 50 kinds like like:👍:Like, each with a name of its own in"
            f" small letters, an emoji and a label, separated by commas; not {reactions!r}."
        )
