"""The input fields that several mutations share."""

from __future__ import annotations

import strawberry
from strawberry import UNSET

from ...resolvers.validation import AUTHOR_NAME_LENGTH, REASON_LENGTH, TITLE_LENGTH
from ...settings import Settings
from .declaration import InputField, key_field

THREAD_ID = key_field("Thread", "The id of the thread.")
COMMENT_ID = key_field("Comment", "The id of the comment.")
REPLY_TO_ID = InputField(
    "The id of the comment to reply to, which must be in the same thread. Leave it out for a "
    "comment at the top level. A reply to a comment at the maximum depth gets the same parent as "
    "that comment, which is then its inReplyTo.",
    strawberry.ID | None,
    UNSET,
    key_of="Comment",
)
MOVED_TO_ID = InputField(
    "The id of the comment of that thread to which the comment becomes a reply. Leave it out for "
    "the top level.",
    strawberry.ID | None,
    UNSET,
    key_of="Comment",
)
AUTHOR_ID = key_field("Author", "The id of the author.")
TITLE = InputField(
    f"The title: one line of 1 to {TITLE_LENGTH} characters, at least one of them "
    "visible. Whitespace around it is removed."
)
MESSAGE = InputField(
    f"The text of the comment: 1 to {Settings.message_length:,} characters, at least one of them "
    "visible. It is stored unchanged. The server can have another limit: see Query.limits."
)
AUTHOR_NAME = InputField(
    f"The guest's name: one line of 1 to {AUTHOR_NAME_LENGTH} characters, at least one of them "
    "visible. Whitespace around it is removed. Guests must give it. Leave it out if "
    "you are signed in.",
    str | None,
    UNSET,
)
REASON = InputField(
    f"The reason, for the host: 1 to {REASON_LENGTH} characters. Nobody else sees it.",
    str | None,
    UNSET,
)


@strawberry.input(description="The first comment of a new thread.")
class FirstCommentInput:
    message: str = strawberry.field(description=MESSAGE.description)
    author_name: str | None = strawberry.field(default=UNSET, description=AUTHOR_NAME.description)
