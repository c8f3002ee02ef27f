"""The generated code of a plan.

Only names that are made here enter it, and literals by :func:`repr`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from .errors import Unsupported
from .levels import ID, Level
from .stored_values import NAMES

_NAME = re.compile("[_A-Za-z][_0-9A-Za-z]*")

Parts = Sequence[tuple[str, str]]
"""The fields of an object: response keys and expressions."""


class PlanSource:
    """The functions of one plan."""

    def __init__(self) -> None:
        self._functions: list[str] = []
        self._namespace: dict[str, Any] = {"__builtins__": {}, "zip": zip, **NAMES}
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
                raise Unsupported("a response key that is not a name")
        return "{" + ", ".join(f"{key!r}: {expression}" for key, expression in parts) + "}"

    def object_function(self, expression: str) -> str:
        """Return the name of a new function of an object, which may be None.

        :param expression: that of the response's object.
        """
        name = f"object{len(self._functions)}"
        body = f"return None if value is None else {expression}"
        self._functions.append(f"def {name}(value, rules, access):\n    {body}\n")
        return name

    def payload_function(self, parts: Parts) -> str:
        """Return the name of a new function of a payload, from the change and what it has."""
        name = f"payload{len(self._functions)}"
        body = f"return {self.object(parts)}"
        self._functions.append(f"def {name}(change, id, rows, cursors, objects):\n    {body}\n")
        return name

    def connection_function(self, number: int, parts: Parts) -> None:
        """Add the function of a connection from its page and its total."""
        body = f"return {self.object(parts)}"
        self._functions.append(f"def connection{number}(page, total):\n    {body}\n")

    def surroundings_function(self, number: int, total: int, parts: Parts) -> None:
        """Add the function of a comment's surroundings, which may be None, from its page.

        :param total: the place in the page of the total, if it is another.
        """
        self._functions.append(
            f"def surroundings{number}(page, total):\n"
            "    if page is None:\n        return None\n"
            f"    if page[{total}] is not None:\n        total = page[{total}]\n"
            f"    return {self.object(parts)}\n"
        )

    def add_items(self, level: Level) -> None:
        """Add the function of a level's rows, which returns a list for each use of them."""
        names = ["rows", "rules", "access", "encode", *level.ids.values()]
        for child in level.children:
            names += [f"pages{child.number}", f"totals{child.number}"]
        names += [row.variable for row in level.loaded_rows]
        names += [item.variable for item in level.loaded]
        # The global ids of the rows themselves are in the order of the rows.
        ids = ", ".join(name for (path, _), name in level.ids.items() if path == ID)
        loop = (
            f"{level.pattern()}, {ids} in zip(rows, {ids})" if ids else f"{level.pattern()} in rows"
        )
        loops = [f"[{expression} for {loop}]," for expression in level.lists]
        self._functions.append(
            f"def items{level.number}({', '.join(names)}):\n    return ({' '.join(loops)})\n"
        )

    def execute(self) -> dict[str, Any]:
        """Return the functions by their names."""
        code = compile("\n".join(self._functions), "<plan>", "exec")
        exec(code, self._namespace)
        return self._namespace
