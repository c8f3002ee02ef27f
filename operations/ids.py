"""The global ids of a level's rows."""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Iterable
from typing import Any
from uuid import UUID

_NO_ID = str(UUID(int=0))


def encode_ids(type_name: str, keys: Iterable[Any]) -> dict[Any, str]:
    """Return :func:`~tallied.schema.ids.encode_id` of each key, for very many keys.

    Every id is as long as any other. Each is filled up to whole groups of three bytes, so that one
    call of base64 encodes all of them, and the characters of the filling are cut off.
    """
    unique = dict.fromkeys(keys)
    unique.pop(None, None)
    if not unique:
        return {}
    prefix = f"{type_name}:"
    size = len(prefix) + len(_NO_ID)
    filling = -size % 3
    step = (size + filling) // 3 * 4
    length, padding = step - filling, "=" * filling
    joint = "\0" * filling + prefix
    content = f"{prefix}{joint.join(map(str, unique))}{joint[:filling]}"
    text = b2a_base64(content.encode(), newline=False).decode()
    return {key: text[i * step : i * step + length] + padding for i, key in enumerate(unique)}
