"""A comment that is to be written: its texts, and the rules for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy.orm.attributes import instance_dict

from ..errors import NotAllowed, Rejected
from ..host.access import Access
from ..models import Comment
from ..models.comment import PUBLISHED
from .validation import clean_author_name, clean_message, expect_type


class NewComment(NamedTuple):
    """The texts of a new comment."""

    message: str
    author_name: str | None = None
    """The name of a guest, who must give one; None for a viewer. Where the host writes in nobody's
    name (:meth:`.Discussion.access_as_host`), it may give one, for a comment that it imports."""


def as_new_comment(comment: NewComment | str) -> NewComment:
    """Return a new comment, of which the message alone may be given."""
    new = NewComment(comment) if isinstance(comment, str) else comment
    expect_type(NewComment, comment=new)
    return new


def text_checks(
    access: Access, new: NewComment, max_length: int, path: str = ""
) -> tuple[Callable[[], str | None], Callable[[], str]]:
    """Return the checks of a guest's name and of a message; each returns the text to write.

    A name is not checked where the viewer may write nowhere: they have to sign in, and not to
    give one.

    :param max_length: the most characters of the message.
    :param path: the prefix of the fields that errors name, such as ``comment.``.
    """
    name = partial(_clean_author_name, access, new.author_name, f"{path}authorName")
    message = partial(clean_message, new.message, f"{path}message", max_length)
    return (name if access.may_write else lambda: None), message


def build_comment(author_name: str | None, message: str, **values: Any) -> Comment:
    """Build the row of a new comment, with every column set: none is missing after the flush.

    If one with a default of the server were missing, each INSERT would be built anew.
    """
    texts = {"author_name": author_name, "message": message, "status": PUBLISHED}
    # Nobody has to know of a value that says nothing.
    comment = Comment(**{k: value for k, value in (texts | values).items() if value is not None})
    memory = instance_dict(comment)
    memory.update({**_UNSET, **memory})
    return comment


_UNSET: dict[str, Any] = {
    "author_id": None,
    "author_name": None,
    "author_name_key": None,
    "edited_at": None,
    "revision": 1,
    "submission_key": None,
    "parent_id": None,
    "root_id": None,
    "in_reply_to_id": None,
    "depth": 0,
    "pending_reason": None,
    "placeholder": False,
    "flagged": False,
    "deleted_at": None,
    "deleted_by": None,
}


@contextmanager
def prefix_error_fields() -> Iterator[None]:
    """Name a field of a thread's first comment as its input does, such as ``comment.message``.

    Errors of a host's code, which is the same for every comment, name ``message``.
    """
    try:
        yield
    except Rejected as error:
        if error.field not in ("message", "authorName"):
            raise
        # A copy, because a host may raise the same object for another comment.
        renamed = error.__class__.__new__(error.__class__, *error.args)
        renamed.__dict__.update(error.__dict__, field=f"comment.{error.field}")
        raise renamed from error


def _clean_author_name(access: Access, name: str | None, field: str) -> str | None:
    if access.viewer is not None and name is not None:
        subject = "The viewer is" if access.is_host else "You are"
        raise NotAllowed(f"{subject} signed in, so leave this out; it is for guests.", field=field)
    if name is None and (access.viewer is not None or access.is_host):
        return None
    return clean_author_name("" if name is None else name, field)
