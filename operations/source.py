"""The generated code of a plan.

Only names that are made here enter it, and literals by :func:`repr`.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from .errors import Unsupported
from .levels import Level

_NAME = re.compile("[_A-Za-z][_0-9A-Za-z]*")

Parts = Sequence[tuple[str, str]]
"""The fields of an object: response keys and expressions."""


class Source:
    """The functions of one plan."""

    def __init__(self) -> None:
        self._functions: list[str] = []
        self._namespace: dict[str, Any] = {"__builtins__": {"zip": zip}}
        self._names: dict[int, str] = {}

    def constant(self, value: Any) -> str:
        """Return a name for a value."""
        name = self._names.setdefault(id(value), f"c{len(self._names)}")
        self._namespace[name] = value
        return name

    def object(self, parts: Parts) -> str:
        """Return the expression of an object."""
        for key, _ in parts:
            if not _NAME.fullmatch(key):
                raise Unsupported("a response key that is no name")
        return "{" + ", ".join(f"{key!r}: {expression}" for key, expression in parts) + "}"

    def object_function(self, parts: Parts) -> str:
        """Return the name of a new function of an object, which may be None."""
        name = f"object{len(self._functions)}"
        body = f"return None if value is None else {self.object(parts)}"
        self._functions.append(f"def {name}(value, rules, access):\n    {body}\n")
        return name

    def connection_function(self, number: int, parts: Parts) -> None:
        """Add the function of a connection from its page and its total."""
        body = f"return {self.object(parts)}"
        self._functions.append(f"def connection{number}(page, total):\n    {body}\n")

    def add_items(self, level: Level) -> None:
        """Add the function of a level's rows, which returns a list for each use of them."""
        loaded = "".join(f", pages{child.number}, totals{child.number}" for child in level.children)
        ids = [
            (name, level.place(path), type_name) for (path, type_name), name in level.ids.items()
        ]
        target, source = level.pattern(), "rows"
        if ids:
            target = f"({target}, {', '.join(name for name, *_ in ids)})"
            source = f"zip(rows, {', '.join(name for name, *_ in ids)})"
        lines = [f"def items{level.number}(rows, rules, access, encode{loaded}):"]
        for name, place, type_name in ids:
            self._namespace[f"{type_name}_ids"] = ids_encoder(type_name)
            lines.append(f"    {name} = {type_name}_ids([row[{place}] for row in rows])")
        loops = [f"[{expression} for {target} in {source}]," for expression in level.lists]
        lines.append(f"    return ({' '.join(loops)})\n")
        self._functions.append("\n".join(lines))

    def execute(self) -> dict[str, Any]:
        """Return the functions by their names."""
        code = compile("\n".join(self._functions), "<plan>", "exec")
        exec(code, self._namespace)
        return self._namespace


_NO_ID = str(UUID(int=0))


def ids_encoder(type_name: str) -> Callable[[Sequence[Any]], list[str]]:
    """Return :func:`~tallied.schema.ids.encode_id` of one type for many keys at once.

    Every id is as long as any other. Each is filled up to whole groups of three bytes, so that one
    call of base64 encodes all of them, and the characters of the filling are cut off.
    """
    prefix = f"{type_name}:"
    size = len(prefix) + len(_NO_ID)
    filling = -size % 3
    joint, padding = "\0" * filling + prefix, "=" * filling
    step = (size + filling) // 3 * 4
    length = step - filling

    def encode(keys: Sequence[Any]) -> list[str]:
        if not keys:
            return []
        texts = [_NO_ID if key is None else str(key) for key in keys]
        content = f"{prefix}{joint.join(texts)}{joint[:filling]}"
        text = b2a_base64(content.encode(), newline=False).decode()
        return [text[i : i + length] + padding for i in range(0, len(text), step)]

    return encode
