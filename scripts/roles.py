"""Show the cross references of docstrings, such as ``:class:`Name```, as code."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":[a-z]+:`~?([^`]+)`")
_RAISES = re.compile(r"^:raises ([\w.]+(?:, [\w.]+)+):(.*(?:\n(?!:|\n).*)*)", re.M)


class Roles(griffe.Extension):
    """Replaces Sphinx's roles, and a ``:raises:`` of several errors, which griffe does not read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            text = _ROLE.sub(r"`\1`", obj.docstring.value)
            obj.docstring.value = _RAISES.sub(_one_per_line, text)


def _one_per_line(match: re.Match[str]) -> str:
    return "\n".join(f":raises {name}:{match[2]}" for name in match[1].split(", "))
