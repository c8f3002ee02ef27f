"""What a text from outside must be like, before anything is changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import InvalidText, Rejected

TITLE_LENGTH = 200
MESSAGE_LENGTH = 10_000
AUTHOR_NAME_LENGTH = 100


def clean_title(title: str, field: str = "title") -> str:
    """A thread's title, without the whitespace around it.

    :raises InvalidText: naming `field`.
    :raises TypeError: for what is no text.
    """
    expect(str, **{field: title})
    return _checked(title.strip(), field, TITLE_LENGTH)


def clean_author_name(name: str, field: str = "authorName") -> str:
    """The name of a comment's author, without the whitespace around it.

    :raises InvalidText: naming `field`.
    :raises TypeError: for what is no text.
    """
    expect(str, **{field: name})
    return _checked(name.strip(), field, AUTHOR_NAME_LENGTH)


def clean_message(message: str, field: str = "message", longest: int = MESSAGE_LENGTH) -> str:
    """A comment's message, just as it is.

    :param longest: how many characters it may have.
    :raises InvalidText: naming `field`.
    :raises TypeError: for what is no text.
    """
    expect(str, **{field: message})
    return _checked(message, field, longest)


def check_length(text: str, field: str, longest: int) -> None:
    """Refuse a text that is too long.

    :raises InvalidText: naming `field`.
    """
    if len(text) > longest:
        raise InvalidText(
            f"{field} has {len(text)} characters; shorten it to at most {longest}.",
            field=field,
            code="TOO_LONG",
        )


def expect(kind: type[Any], **given: object) -> None:
    """Refuse arguments of a host's code that are of another type, by their names.

    Otherwise what is wrong would be found out by the database, and by each in its own words.

    :raises TypeError: naming the first of them.
    """
    for name, value in given.items():
        if not isinstance(value, kind):
            article = "an" if kind.__name__[0] in "AEIi" else "a"
            raise TypeError(f"{name} must be {article} {kind.__name__}, not {_described(value)}.")


def _described(value: object) -> str:
    return "None" if value is None else f"a value of type {type(value).__name__}"


def together(*checks: Callable[[], Any]) -> list[Any]:
    """What the checks hand out, in their order.

    :raises ExceptionGroup: of :class:`~tallied.errors.Rejected`, of all that is wrong.
    """
    texts, problems = [], []
    for check in checks:
        try:
            texts.append(check())
        except Rejected as error:
            problems.append(error)
    if problems:
        raise ExceptionGroup("texts that break rules", problems)
    return texts


def _checked(text: str, field: str, longest: int) -> str:
    if not text.strip():
        raise InvalidText(
            f"{field} is empty; write 1 to {longest} characters.", field=field, code="BLANK"
        )
    check_length(text, field, longest)
    found = unstorable(text)
    if found:
        raise InvalidText(
            f"{field} has {found}; remove it.", field=field, code="INVALID_CHARACTERS"
        )
    return text


def unstorable(text: str) -> str | None:
    """What a text has that no database can hold; None where it has no such thing."""
    if "\0" in text:
        return "a NUL character (U+0000), which cannot be stored"
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return "half a surrogate pair (U+D800 to U+DFFF), which is no character"
    return None
