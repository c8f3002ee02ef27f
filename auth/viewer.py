"""The viewer: the signed-in person who makes a request; a guest is ``None``."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from uuid import UUID
from weakref import ref

from ..content.characters import describe_control, find_control, is_blank
from ..errors import ConfigurationError

SUBJECT_LENGTH = 255
"""The most characters of a subject, as of OpenID Connect's ``sub`` (Core 1.0, section 2)."""

NAME_LENGTH = 100
"""The most characters of a display name."""

T = TypeVar("T")


class _Unread:
    """The place of an author's key that nobody has read yet."""

    def __init__(self) -> None:
        self.reads: list[None] = []


class _AuthorKey:
    """The attribute with the key of the viewer's author."""

    def __get__(self, viewer: Viewer | None, _: type[Viewer] | None = None) -> UUID | None:
        key: Any = None if viewer is None else viewer.__dict__["author_id"]
        if type(key) is _Unread:
            key.reads.append(None)
            return None
        return key  # type: ignore[no-any-return]

    def __set__(self, viewer: Viewer, key: UUID | None) -> None:
        viewer.__dict__["author_id"] = key


@dataclass(frozen=True)
class Viewer:
    """The signed-in person who makes a request, as the host knows them.

    :raises ConfigurationError: for an invalid subject or name, an error of the host's code.
    """

    subject: str
    """The host's own id of the person: a user id, an OIDC ``sub``; 1 to 255 characters.

    It must never identify someone else later. It is never shown."""

    name: str | None = None
    """The display name, 1 to 100 characters; None if the host knows none."""

    is_moderator: bool = False
    """Whether the default policy lets them change the texts of others."""

    author_id: UUID | None = _AuthorKey()  # type: ignore[assignment]
    """The key of their :class:`~tallied.models.Author`, which Tallied sets before it asks a policy;
    None if they have written nothing yet."""

    def __post_init__(self) -> None:
        _check_text("subject", self.subject, SUBJECT_LENGTH)
        if self.name is not None:
            _check_text("name", self.name, NAME_LENGTH)
            _check_name(self.name)
        if not isinstance(self.is_moderator, bool):
            raise ConfigurationError(
                "The viewer's is_moderator must be True or False,"
                f" not of the type {type(self.is_moderator).__name__}."
            )


def with_author_key(viewer: Viewer, key: UUID) -> Viewer:
    """Return the same viewer with the key of their author, without checking their texts again."""
    if type(viewer) is not Viewer:
        return replace(viewer, author_id=key)
    person = object.__new__(Viewer)
    person.__dict__.update(viewer.__dict__, author_id=key)
    return person


def call_without_author(function: Callable[[Viewer], T], viewer: Viewer) -> tuple[T | None, bool]:
    """Return the result of a function, and whether it may depend on the key of the author.

    It does not if the function has not read the key, which is None meanwhile, and has kept nothing
    by which it could read it later.
    """
    unread, is_own = _Unread(), type(viewer) is Viewer
    person = object.__new__(Viewer) if is_own else copy(viewer)
    if is_own:  # which costs a tenth of a copy
        person.__dict__.update(viewer.__dict__)
    object.__setattr__(person, "author_id", unread)
    reads, is_kept = unread.reads, ref(unread)
    del unread
    if not is_own and (person.author_id is not None or not reads):
        return None, True  # A class of the host has an attribute of its own.
    reads.clear()
    try:
        result = function(person)
    except Exception:
        return None, True  # It is raised again with the key.
    del person
    return result, bool(reads) or is_kept() is not None


def _check_text(field: str, value: object, max_length: int) -> None:
    # Never the value itself: an identity does not belong in a log.
    if not isinstance(value, str):
        raise ConfigurationError(
            f"The viewer's {field} must be a string, not of the type {type(value).__name__};"
            " pass str(...) of it."
        )
    if not value.strip() or len(value) > max_length:
        raise ConfigurationError(
            f"The viewer's {field} must have 1 to {max_length} characters that are not all blank,"
            f" not {len(value)}."
        )
    # NUL and halves of surrogate pairs cannot be stored. Other control characters are not part of a
    # name, and a line break would forge a line of a log.
    if not value.isprintable() and any(_is_control(character) for character in value):
        raise ConfigurationError(
            f"The viewer's {field} has a control character or half a surrogate pair;"
            " pass it without."
        )


def _check_name(name: str) -> None:
    """Check a display name by the rules for the name of a guest."""
    if is_blank(name):
        raise ConfigurationError("The viewer's name has nothing that can be seen; pass None.")
    character = find_control(name)
    if character is not None:
        raise ConfigurationError(
            f"The viewer's name has {describe_control(character)}; pass it without."
        )


def _is_control(character: str) -> bool:
    return character < " " or "\x7f" <= character <= "\x9f" or "\ud800" <= character <= "\udfff"
