"""Global ids: opaque strings that name a type and a key, as Relay has them."""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from functools import lru_cache
from uuid import UUID

from strawberry import ID

from ..errors import BadUserInput

_KEY = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def encode_id(type_name: str, key: object) -> ID:
    """Return the global id of an object."""
    return ID(b2a_base64(f"{type_name}:{key}".encode(), newline=False).decode())


def split_id(id: str) -> tuple[str, str]:
    """Return the type and the key of a global id as text, which are empty for a malformed one."""
    try:
        type_name, colon, key = a2b_base64(id).decode().partition(":")
    except ValueError:
        return "", ""
    return (type_name, key) if colon else ("", "")


def decode_id(id: str, field: str, *type_names: str) -> tuple[str, UUID]:
    """Return the type and the key of a global id.

    :param field: the argument or input field of the id.
    :param type_names: the accepted types.
    :raises BadUserInput: naming `field`, for any other value than an id of these types.
    """
    try:
        return _parse(id, type_names)
    except ValueError:
        raise BadUserInput(
            f"{field} is not the id of {' or '.join(map(_with_article, type_names))}; "
            f"pass an id that this API has handed out.",
            field=field,
        ) from None


@lru_cache(maxsize=2048)
def _parse(id: str, type_names: tuple[str, ...]) -> tuple[str, UUID]:
    """Return the type and the key of a global id; what it raises is not kept in the cache.

    :raises ValueError: for any other value than an id of these types.
    """
    type_name, text = split_id(id)
    is_key = type_name in type_names and _KEY.fullmatch(text)
    # Encoding it again rejects every other spelling of the same id.
    if not is_key or encode_id(type_name, text) != id:
        raise ValueError(id)
    return type_name, UUID(text)


def _with_article(type_name: str) -> str:
    return f"{'an' if type_name[0] in 'AEIOU' else 'a'} {type_name.lower()}"
