"""What the commands print: sentences for people, or one JSON object a line for programs.

Results go to standard output, and to standard error what is wrong and how far the work is.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import orjson

Form: TypeAlias = Literal["text", "json"]


class Output:
    """Where one command prints, in the form that was chosen."""

    def __init__(self, form: Form) -> None:
        self.is_json = form == "json"

    def say(self, sentence: str, **facts: Any) -> None:
        """Print a result.

        :param facts: what it is about, for programs.
        """
        print(_as_line({"message": sentence, **facts}) if self.is_json else sentence, flush=True)

    def say_value(self, name: str, value: str) -> None:
        """Print one value, and nothing around it."""
        print(_as_line({name: value}) if self.is_json else value, flush=True)

    def warn(self, sentence: str, **facts: Any) -> None:
        """Print what is not a result."""
        line = _as_line({"message": sentence, **facts}) if self.is_json else sentence
        print(line, file=sys.stderr, flush=True)


def print_error(sentence: str, *, is_json: bool) -> None:
    """Print why a command was not carried out."""
    line = _as_line({"error": {"message": sentence}}) if is_json else f"error: {sentence}"
    print(line, file=sys.stderr)


def has_chosen_json(arguments: Sequence[str]) -> bool:
    """Return whether arguments choose JSON, for errors in the arguments themselves."""
    pairs = zip(arguments, [*arguments[1:], ""], strict=True)
    return "--format=json" in arguments or ("--format", "json") in pairs


def _as_line(facts: dict[str, Any]) -> str:
    return orjson.dumps(facts, default=str).decode()
