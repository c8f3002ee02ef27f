"""What someone writes: the new comment of the API and of a host's own code, by the same rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from ..errors import NotAllowed, Rejected
from ..host.access import Access
from .validation import clean_author_name, clean_message


class NewComment(NamedTuple):
    """What someone wrote."""

    message: str
    author_name: str | None = None
    """The name of a guest, who must give one; None for a viewer. Where the host writes in nobody's
    name (:meth:`.Discussion.access_as_host`), it may give one, as for a comment that it imports."""


def checks(
    access: Access, new: NewComment, longest: int, path: str = ""
) -> tuple[Callable[[], str | None], Callable[[], str]]:
    """The checks of a new comment: of its author's name, and of its message.

    Each hands out the text as it is to be written, or raises what :func:`clean_comment` raises.

    :param longest: how many characters its message may have.
    :param path: what comes before the names of its fields, such as ``comment.``.
    """
    name = partial(_clean_name, access, new.author_name, f"{path}authorName")
    return name, partial(clean_message, new.message, f"{path}message", longest)


def clean_comment(access: Access, new: NewComment, longest: int, path: str = "") -> NewComment:
    """A new comment as it is written: a guest's name without the whitespace around it.

    :raises InvalidText: for a message or a name that breaks a rule.
    :raises NotAllowed: for the name of someone who is signed in.
    """
    name, message = checks(access, new, longest, path)
    author_name = name()
    return NewComment(message(), author_name)


@contextmanager
def of_comment() -> Iterator[None]:
    """Have what a host's code rejects of a new thread's first comment name its field as there."""
    try:
        yield
    except Rejected as error:
        if error.field not in ("message", "authorName"):
            raise
        # Another object: a host may raise the same one for any comment.
        told = error.__class__.__new__(error.__class__, *error.args)
        told.__dict__.update(error.__dict__, field=f"comment.{error.field}")
        raise told from error


def _clean_name(access: Access, name: str | None, field: str) -> str | None:
    if access.viewer is not None and name is not None:
        who = "The viewer is" if access.is_host else "You are"
        raise NotAllowed(f"{who} signed in, so leave this out; it is for guests.", field=field)
    if name is None and (access.viewer is not None or access.is_host):
        return None
    return clean_author_name("" if name is None else name, field)
