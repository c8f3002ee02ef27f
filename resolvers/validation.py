"""What a text from outside must be like, before anything is changed."""

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


def clean_title(title: str, field: str = "title") -> str:
    """A thread's title, without the whitespace around it.

    :raises InvalidText: naming `field`.
    :raises TypeError: for what is no text.
    """
    expect_type(str, **{field: title})
    return _checked_line(title.strip(), field, TITLE_LENGTH)


def clean_author_name(name: str, field: str = "authorName") -> str:
    """The name of a comment's author, without the whitespace around it.

    :raises InvalidText: naming `field`.
    :raises TypeError: for what is no text.
    """
    expect_type(str, **{field: name})
    return _checked_line(name.strip(), field, AUTHOR_NAME_LENGTH)


def clean_message(message: str, field: str = "message", longest: int = MESSAGE_LENGTH) -> str:
    """A comment's message, just as it is.

    :param longest: how many characters it may have.
    :raises InvalidText: naming `field`.
    :raises TypeError: for what is no text.
    """
    expect_type(str, **{field: message})
    return _checked(message, field, longest)


def check_length(text: str, field: str, longest: int) -> None:
    """Refuse a text that is too long.

    :raises InvalidText: naming `field`.
    """
    if len(text) > longest:
        raise InvalidText(
            f"This has {len(text)} characters; shorten it to at most {longest}.",
            field=field,
            code="TOO_LONG",
            params={"max": longest, "actual": len(text)},
        )


def expect_type(kind: type[Any], **given: object) -> None:
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


def collect_errors(*checks: Callable[[], Any]) -> list[Any]:
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
    check_length(text, field, longest)
    check_characters(text, field)
    if is_blank(text):
        raise InvalidText(
            f"This is empty; write 1 to {longest} characters.",
            field=field,
            code="BLANK",
            params={"max": longest},
        )
    return text


def _checked_line(text: str, field: str, longest: int) -> str:
    """Return a text of one line, which is shown beside others: a name, a title."""
    _checked(text, field, longest)
    character = find_control(text)
    if character is not None:
        _refuse_character(character, describe_control(character), field)
    return text


def check_characters(text: str, field: str) -> None:
    """Refuse a text that no database can hold.

    :raises InvalidText: naming `field`.
    """
    character = find_unstorable(text)
    if character == "\0":
        _refuse_character(character, "a NUL character (U+0000), which cannot be stored", field)
    elif character is not None:
        kind = "half a surrogate pair (U+D800 to U+DFFF), which is no character"
        _refuse_character(character, kind, field)


def find_unstorable(text: str) -> str | None:
    """Return the first character of a text that no database can hold, or None."""
    if "\0" in text:
        return "\0"
    if text.isascii():
        return None
    return next((each for each in text if "\ud800" <= each <= "\udfff"), None)


def _refuse_character(character: str, kind: str, field: str) -> NoReturn:
    raise InvalidText(
        f"This has {kind}; remove it.",
        field=field,
        code="INVALID_CHARACTERS",
        params={"character": f"U+{ord(character):04X}"},
    )
