"""What a text from outside must be like, before anything is changed."""

from __future__ import annotations

from ..errors import BadUserInput

TITLE_LENGTH = 200
MESSAGE_LENGTH = 10_000
AUTHOR_NAME_LENGTH = 100


def clean_title(title: str, field: str = "title") -> str:
    """A thread's title, without the whitespace around it.

    :raises BadUserInput: naming `field`.
    """
    return _checked(title.strip(), field, TITLE_LENGTH)


def clean_author_name(name: str, field: str = "authorName") -> str:
    """The name of a comment's author, without the whitespace around it.

    :raises BadUserInput: naming `field`.
    """
    return _checked(name.strip(), field, AUTHOR_NAME_LENGTH)


def clean_message(message: str, field: str = "message") -> str:
    """A comment's message, just as it is.

    :raises BadUserInput: naming `field`.
    """
    return _checked(message, field, MESSAGE_LENGTH)


def _checked(text: str, field: str, longest: int) -> str:
    if not text.strip():
        raise BadUserInput(f"{field} is empty; write 1 to {longest} characters.", field=field)
    if len(text) > longest:
        raise BadUserInput(
            f"{field} has {len(text)} characters; shorten it to at most {longest}.", field=field
        )
    if "\0" in text:
        raise BadUserInput(
            f"{field} has a NUL character (U+0000), which cannot be stored; remove it.",
            field=field,
        )
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise BadUserInput(
            f"{field} has half a surrogate pair (U+D800 to U+DFFF), which is no character; "
            f"remove it.",
            field=field,
        )
    return text
