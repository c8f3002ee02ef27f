"""The global ids of a level's rows."""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from ..schema.ids import encode_id
from .errors import Guard

_NO_ID = str(UUID(int=0))

_DIGITS = [place for place, character in enumerate(_NO_ID) if character != "-"]
"""The places of the digits in the text of a key."""

_HEXADECIMAL = b"0123456789abcdef"

_FEW = 8
"""How many keys are encoded one by one in less time than all at once."""

_FRAMES: Mapping[int, tuple[bytes, bytes, bytes]] = {
    0: (b"\xff\xff\xff", b"////", b"\n"),
    1: (b"?", b"/", b"=\n"),
    2: (b"\x0f\xff", b"//", b"==\n"),
}
"""What fills up an id to whole groups of three bytes, by the number of bytes that are missing; its
base64, which is no part of another id; and how that ends the id instead."""


def encode_ids(type_name: str, keys: Sequence[Any]) -> list[str]:
    """Return :func:`~tallied.schema.ids.encode_id` of each key, for very many keys."""
    if len(keys) <= _FEW:
        return [encode_id(type_name, key) for key in keys]
    prefix, filling, mark, end = _frame(type_name)
    joint = (filling + prefix).decode("latin-1")
    content = prefix + joint.join(map(str, keys)).encode("latin-1") + filling
    return _split(content, mark, end)


def encode_stored_ids(type_name: str, keys: Sequence[str]) -> list[str]:
    """Return the same for keys as SQLite has them: 32 hexadecimal digits.

    :raises Guard: for a key in another spelling.
    """
    digits = _join(keys)
    if len(keys) <= _FEW:
        return [encode_id(type_name, _hyphenate(key)) for key in keys]
    prefix, filling, mark, end = _frame(type_name)
    frame = prefix + _NO_ID.encode() + filling
    content = bytearray(frame * len(keys))
    first, width = len(prefix), len(frame)
    # A digit of all keys at once: 32 copies, however many keys there are.
    for digit, place in enumerate(_DIGITS):
        content[first + place :: width] = digits[digit::33]
    return _split(content, mark, end)


def unique_keys(keys: Iterable[Any]) -> list[Any]:
    """Return each key once, without None."""
    unique = dict.fromkeys(keys)
    unique.pop(None, None)
    return list(unique)


def check_stored_keys(keys: Iterable[str | None]) -> None:
    """Check that SQLite has keys in the spelling in which they are written.

    :raises Guard: for a key in another spelling, which cannot be compared with others.
    """
    _join(unique_keys(keys))


def _join(keys: Sequence[str]) -> bytes:
    """Return the digits of keys, each with a line break before the next one."""
    digits = "\n".join(keys).encode()
    breaks = b"\n" * (len(keys) - 1)
    is_written = digits[32::33] == digits.translate(None, _HEXADECIMAL) == breaks
    if not is_written or len(digits) != max(0, 33 * len(keys) - 1):
        raise Guard("key")
    return digits


def _hyphenate(key: str) -> str:
    return f"{key[:8]}-{key[8:12]}-{key[12:16]}-{key[16:20]}-{key[20:]}"


def _frame(type_name: str) -> tuple[bytes, bytes, bytes, bytes]:
    """Return what is before a key, and :data:`_FRAMES`."""
    prefix = f"{type_name}:".encode()
    return prefix, *_FRAMES[-(len(prefix) + len(_NO_ID)) % 3]


def _split(content: bytes | bytearray, mark: bytes, end: bytes) -> list[str]:
    """Return the ids of keys by the content of all of them, which one call of base64 encodes."""
    lines = b2a_base64(content, newline=False).replace(mark, end)
    return lines[:-1].decode().split("\n")
