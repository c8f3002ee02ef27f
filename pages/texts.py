"""The texts of the pages, which a host can replace one by one."""

from __future__ import annotations

from collections.abc import Mapping
from string import Formatter
from typing import Any

from ..errors import ConfigurationError, UserError
from ..schema.payloads import UserErrorCode

TEXTS: Mapping[str, str] = {
    "language": "en",
    "discussions": "Discussions",
    "no_discussions": "There is no discussion yet.",
    "new_discussion": "Start a discussion",
    "title": "Title",
    "comments_one": "1 comment",
    "comments_other": "{count} comments",
    "words_one": "1 word",
    "words_other": "{count} words",
    "replies_one": "1 reply",
    "replies_other": "{count} replies",
    "no_comments": "No comments yet.",
    "by": "by {name}",
    "guest": "Somebody",
    "deleted_comment": "Deleted comment",
    "hidden_comment": "Hidden comment",
    "time": "%Y-%m-%d %H:%M UTC",
    "edited": "edited",
    "comment": "Comment",
    "message": "Your comment",
    "message_help": "You may use Markdown.",
    "author_name": "Your name",
    "send_comment": "Comment",
    "reply": "Reply",
    "reply_to": "Your reply to {name}",
    "edit": "Edit",
    "edit_comment": "Edit this comment",
    "save": "Save",
    "cancel": "Cancel",
    "delete": "Delete",
    "delete_comment": "Delete this comment?",
    "lock": "Close the discussion",
    "unlock": "Open the discussion again",
    "locked": "The discussion is closed.",
    "sign_in": "Sign in",
    "sign_in_to_comment": "Sign in to comment.",
    "may_not_comment": "You may not comment here.",
    "react": "{label}: {count}",
    "context": "A comment in “{title}”",
    "earlier": "Earlier comments",
    "later": "Later comments",
    "newer": "Newer comments",
    "older": "Older comments",
    "previous_page": "Previous page",
    "next_page": "Next page",
    "more_replies": "More replies",
    "page_of_comments": "Pages of comments",
    "page_of_discussions": "Pages of discussions",
    "feed": "Atom feed",
    "feed_of_all": "Latest comments",
    "feed_entry": "{name} on “{title}”",
    "pending": "Your comment waits for a moderator.",
    "conflict": "Somebody has changed this comment since you opened it. It now reads:",
    "conflict_help": "Save again to replace that text by yours.",
    "error": "This did not work",
    "your_text": "Your text, to copy it",
    "back": "Back to the discussions",
    "error_BAD_USER_INPUT": "The address or the form of this page has a value that cannot be read.",
    "error_EXPIRED_FORM": "This form is out of date; open the page again, and send it once more.",
    "not_found": "There is no such page; it may have been deleted.",
}
"""The texts by their names. An error's code, as ``error_TOO_LONG``, names the text in its place."""

ERROR_VALUES: Mapping[str, frozenset[str]] = {
    **{f"error_{code}": frozenset[str]() for code in UserErrorCode.__members__ if code != "VETOED"},
    "error_BLANK": frozenset({"max"}),
    "error_TOO_LONG": frozenset({"max", "actual"}),
    "error_INVALID_CHARACTERS": frozenset({"character"}),
    "error_RATE_LIMITED": frozenset({"seconds"}),
}
"""The values in the texts of errors; those of a host's own codes are the host's."""


class Texts:
    """The texts of one host.

    :param others: the texts that take the place of :data:`TEXTS`, by their names.
    :raises ConfigurationError: for a name that there is not, of a text or of a value in it.
    """

    def __init__(self, others: Mapping[str, str]) -> None:
        unknown = [name for name in others if name not in TEXTS and not name.startswith("error_")]
        if unknown:
            raise ConfigurationError(
                f"texts has no {unknown[0]!r}; the names are those of tallied.pages.texts.TEXTS,"
                " and error_CODE for an error."
            )
        for name, text in others.items():
            _check_values(name, text)
        self._texts = {**TEXTS, **others}

    def __call__(self, name: str, /, **values: Any) -> str:
        """Return a text with these values."""
        text = self._texts[name]
        return text.format(**values) if values else text

    def count(self, name: str, count: int) -> str:
        """Return a text about a number."""
        return self(f"{name}_{'one' if count == 1 else 'other'}", count=count)

    def error(self, error: UserError) -> str:
        """Return the sentence about an error."""
        text = self._texts.get(f"error_{error.code}")
        return error.message if text is None else text.format(**error.params)


def _check_values(name: str, text: str) -> None:
    """Check that a text names only values that it gets; one that gets none may have any braces.

    :raises ConfigurationError: for another name, and for a brace without a partner.
    """
    pattern = TEXTS.get(f"{name.removesuffix('_one')}_other", TEXTS.get(name, ""))
    values = ERROR_VALUES.get(name, _values_in(pattern))
    if not values and name not in ERROR_VALUES:
        return
    try:
        unknown = _values_in(text) - values
    except ValueError as error:
        raise ConfigurationError(f"The text {name!r}: {error}; write a brace as {{{{.") from error
    if unknown:
        names = ", ".join(f"{{{value}}}" for value in sorted(values)) or "no value"
        raise ConfigurationError(f"The text {name!r} may have {names}, not {{{min(unknown)}}}.")


def _values_in(text: str) -> frozenset[str]:
    """Return the names of the values in a text."""
    return frozenset(name for _, name, _, _ in Formatter().parse(text) if name is not None)
