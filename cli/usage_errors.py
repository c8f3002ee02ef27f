"""Messages for wrong arguments of a command.

Typer's own messages come from Click and Pydantic. They do not name the allowed values, and not
always the option.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Any

import typer

from ..documentation import find_command


def explain(error: typer.TyperException) -> str:
    """Return a sentence that names the argument and the remedy, and refers to the help."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else find_command()
    return f"{_explain(error)} See `{command} --help`."


def _explain(error: Any) -> str:
    message = " ".join(error.format_message().split())
    kind, option = type(error).__name__, getattr(error, "option_name", "")
    if kind == "MissingParameter":
        return f"{_name(error.param)} is missing."
    if kind == "BadParameter" and error.param is not None and error.__cause__ is not None:
        return _explain_value(error.param, error.__cause__)
    if kind == "NoSuchOption":
        # The value that was given with it may be secret.
        return _explain_unknown("option", option, error.possibilities or ())
    if kind == "BadOptionUsage":
        return f"{option} {'takes no value' if 'not take' in message else 'needs a value'}."
    if unknown := re.match(r"No such command '(.*?)'", message):
        return _explain_unknown("command", unknown[1], error.ctx.command.commands)
    if re.match(r"Got unexpected extra argument", message):
        return f"There are too many arguments: {message.rpartition('(')[2].rstrip(').')}."
    return f"{message.rstrip('.?!')}."


def _explain_unknown(kind: str, name: str, known: Any) -> str:
    close = get_close_matches(name, known, n=1)
    remedy = f"is {close[0]} meant?" if close else "leave it out."
    return f"There is no {kind} {_shorten(name)}; {remedy}"


def _explain_value(parameter: Any, cause: Any) -> str:
    choices = parameter.type_descriptor.choices
    low, high = parameter.min, parameter.max
    if choices:
        *others, last = choices
        allowed = f"{', '.join(others)} or {last}"
    elif low is not None and high is not None:
        allowed = f"a whole number from {low} to {high}"
    elif low is not None:
        allowed = f"a whole number of {low} or more"
    else:
        allowed = "of another kind"
    return (
        f"{_name(parameter)} must be {allowed}, not {_shorten(repr(cause.errors()[0]['input']))}."
    )


def _name(parameter: Any) -> str:
    name: str = parameter.opts[0]
    return name if name.startswith("-") else parameter.metavar or name.upper()


def _shorten(text: str) -> str:
    """Return a text of the user on one line, shortened."""
    plain = "".join(character if character.isprintable() else "?" for character in text)
    return plain if len(plain) <= 60 else f"{plain[:60]}…"
