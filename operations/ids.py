"""The global ids of a level's rows."""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from ..schema.ids import encode_id
from .errors import Guard

_NO_ID = str(UUID(int=0))

_DIGITS = [place for place, character in enumerate(_NO_ID) if character != "-"]
"""The places of the digits in the text of a key."""

_STORED = re.compile("(?:[0-9a-f]{32}\n)*")


def encode_ids(type_name: str, keys: Sequence[Any]) -> dict[Any, str]:
    """Return :func:`~tallied.schema.ids.encode_id` of each key, for very many keys."""
    if len(keys) == 1:
        (key,) = keys
        return {} if key is None else {key: encode_id(type_name, key)}
    unique = dict.fromkeys(keys)
    unique.pop(None, None)
    if len(unique) < 2:
        return {key: encode_id(type_name, key) for key in unique}
    prefix, filling = _frame(type_name)
    joint = filling + prefix
    return _split(unique, prefix, f"{prefix}{joint.join(map(str, unique))}{filling}".encode())


def encode_stored_ids(type_name: str, keys: Iterable[str | None]) -> dict[str, str]:
    """Return the same for keys as SQLite has them: 32 hexadecimal digits.

    :raises Guard: for a key in another spelling.
    """
    unique = [key for key in dict.fromkeys(keys) if key is not None]
    digits = _join(unique)
    if len(unique) < 2:
        return {key: encode_id(type_name, UUID(key)) for key in unique}
    prefix, filling = _frame(type_name)
    content = bytearray(f"{prefix}{_NO_ID}{filling}".encode() * len(unique))
    width = len(content) // len(unique)
    # A digit of all keys at once: 32 copies, however many keys there are.
    for digit, place in enumerate(_DIGITS):
        content[len(prefix) + place :: width] = digits[digit::33]
    return _split(unique, prefix, content)


def check_stored_keys(keys: Iterable[str | None]) -> None:
    """Check that SQLite has keys in the spelling in which they are written.

    :raises Guard: for a key in another spelling, which cannot be compared with others.
    """
    _join([key for key in dict.fromkeys(keys) if key is not None])


def _join(keys: Iterable[Any]) -> bytes:
    lines = "\n".join([*keys, ""])
    if not _STORED.fullmatch(lines):
        raise Guard("key")
    return lines.encode()


def _frame(type_name: str) -> tuple[str, str]:
    """Return what is before a key, and what fills it up to whole groups of three bytes."""
    prefix = f"{type_name}:"
    return prefix, "\0" * (-(len(prefix) + len(_NO_ID)) % 3)


def _split(keys: Iterable[Any], prefix: str, content: bytes | bytearray) -> dict[Any, str]:
    """Return the ids of keys by the content of all of them.

    Every id is as long as any other, so one call of base64 encodes all of them. The characters of
    the filling are cut off.
    """
    size = len(prefix) + len(_NO_ID)
    filling = -size % 3
    step = (size + filling) // 3 * 4
    length, padding = step - filling, "=" * filling
    text = b2a_base64(content, newline=False).decode()
    starts = range(0, len(text), step)
    return {
        key: text[start : start + length] + padding for key, start in zip(keys, starts, strict=True)
    }
