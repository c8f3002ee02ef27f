"""The rules for texts from outside, checked before anything is changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from ..auth.viewer import NAME_LENGTH
from ..content.characters import describe_control, find_control, is_blank
from ..errors import InvalidText, Rejected
from ..models.thread import TITLE_LENGTH as TITLE_LENGTH
from ..settings import Settings

MESSAGE_LENGTH = Settings.message_length
AUTHOR_NAME_LENGTH = NAME_LENGTH
REASON_LENGTH = 500
"""The most characters of the reason for a change."""


def clean_title(title: str, field: str = "title") -> str:
    """Return the title of a thread without the whitespace around it.

    :raises InvalidText: naming `field`.
    :raises TypeError: for a value that is not a text.
    """
    expect_type(str, **{field: title})
    return _check_line(title.strip(), field, TITLE_LENGTH)


def clean_author_name(name: str, field: str = "authorName") -> str:
    """Return the name of a guest without the whitespace around it.

    :raises InvalidText: naming `field`.
    :raises TypeError: for a value that is not a text.
    """
    expect_type(str, **{field: name})
    return _check_line(name.strip(), field, AUTHOR_NAME_LENGTH)


def clean_message(message: str, field: str = "message", max_length: int = MESSAGE_LENGTH) -> str:
    """Return the message of a comment unchanged, if it follows the rules.

    :raises InvalidText: naming `field`.
    :raises TypeError: for a value that is not a text.
    """
    expect_type(str, **{field: message})
    return _check_text(message, field, max_length)


def clean_reason(reason: str | None, field: str = "reason") -> str | None:
    """Return the reason for a change unchanged, if it follows the rules.

    :raises InvalidText: naming `field`.
    :raises TypeError: for a value that is not a text.
    """
    if reason is None:
        return None
    expect_type(str, **{field: reason})
    return _check_text(reason, field, REASON_LENGTH)


def check_length(text: str, field: str, max_length: int) -> None:
    """Reject a text that is too long.

    :raises InvalidText: naming `field`.
    """
    if len(text) > max_length:
        raise InvalidText(
            f"This has {len(text)} characters; shorten it to at most {max_length}.",
            field=field,
            code="TOO_LONG",
            params={"max": max_length, "actual": len(text)},
        )


def expect_type(type_: type[Any], **arguments: object) -> None:
    """Check the type of arguments that a host's code passes.

    Without the check, the database would report a wrong type, and each in its own words.

    :raises TypeError: naming the first argument of another type.
    """
    for name, value in arguments.items():
        if not isinstance(value, type_):
            article = "an" if type_.__name__[0] in "AEIi" else "a"
            actual = "None" if value is None else f"a value of type {type(value).__name__}"
            raise TypeError(f"{name} must be {article} {type_.__name__}, not {actual}.")


def collect_errors(*checks: Callable[[], Any]) -> list[Any]:
    """Run all checks, and return their results in order.

    :raises Rejected: the first error, with the further ones as its ``others``.
    """
    results, errors = [], []
    for check in checks:
        try:
            results.append(check())
        except Rejected as error:
            errors.append(error)
    if errors:
        errors[0].others = tuple(errors[1:])
        raise errors[0]
    return results


def find_unstorable(text: str) -> str | None:
    """Return the first character of a text that no database can hold, or None."""
    if "\0" in text:
        return "\0"
    if text.isascii():
        return None
    return next((character for character in text if "\ud800" <= character <= "\udfff"), None)


def _check_text(text: str, field: str, max_length: int) -> str:
    check_length(text, field, max_length)
    character = find_unstorable(text)
    if character == "\0":
        _reject_character(character, "a NUL character (U+0000), which cannot be stored", field)
    elif character is not None:
        kind = "half a surrogate pair (U+D800 to U+DFFF), which is not a character"
        _reject_character(character, kind, field)
    if is_blank(text):
        raise InvalidText(
            f"This is empty; write 1 to {max_length} characters.",
            field=field,
            code="BLANK",
            params={"max": max_length},
        )
    return text


def _check_line(text: str, field: str, max_length: int) -> str:
    """Check a text of one line, which is shown beside others: a name, a title."""
    _check_text(text, field, max_length)
    character = find_control(text)
    if character is not None:
        _reject_character(character, describe_control(character), field)
    return text


def _reject_character(character: str, kind: str, field: str) -> NoReturn:
    raise InvalidText(
        f"This has {kind}; remove it.",
        field=field,
        code="INVALID_CHARACTERS",
        params={"character": f"U+{ord(character):04X}"},
    )
