"""The output of the commands: sentences for people, or one JSON object per line for programs.

Results go to standard output; errors and progress go to standard error.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from select import select
from typing import Any, Literal, TypeAlias

import orjson

from ..documentation import name_command

Form: TypeAlias = Literal["text", "json"]


READ_SECONDS = 1.0
"""Seconds that a full pipe has to be read before the last line is left out."""


class Output:
    """The output of one command, in the chosen format."""

    def __init__(self, form: Form) -> None:
        self.is_json = form == "json"

    def say(self, sentence: str, **facts: Any) -> None:
        """Print a result.

        :param facts: the values in the sentence, for programs.
        """
        sentence = name_command(sentence)
        print(_as_line({"message": sentence, **facts}) if self.is_json else sentence, flush=True)

    def say_last(self, sentence: str) -> None:
        """Print the last result of a process, unless nobody reads what it prints.

        A full pipe would keep the process from its end.
        """
        if select([], [sys.stdout], [], READ_SECONDS)[1]:
            self.say(sentence)

    def say_value(self, name: str, value: str) -> None:
        """Print one value without a sentence."""
        print(_as_line({name: value}) if self.is_json else value, flush=True)

    def warn(self, sentence: str, **facts: Any) -> None:
        """Print a warning."""
        sentence = name_command(sentence)
        line = _as_line({"message": sentence, **facts}) if self.is_json else sentence
        print(line, file=sys.stderr, flush=True)


def print_error(sentence: str, *, is_json: bool) -> None:
    """Print why a command failed."""
    sentence = name_command(sentence)
    line = _as_line({"error": {"message": sentence}}) if is_json else f"error: {sentence}"
    print(line, file=sys.stderr)


def has_chosen_json(arguments: Sequence[str]) -> bool:
    """Return whether arguments choose JSON, for errors in the arguments themselves."""
    pairs = zip(arguments, [*arguments[1:], ""], strict=True)
    return "--format=json" in arguments or ("--format", "json") in pairs


def _as_line(facts: dict[str, Any]) -> str:
    return orjson.dumps(facts, default=str).decode()
