"""The mutations of moderation."""

from __future__ import annotations

import strawberry
from strawberry import UNSET

from ...execution.field_declarations import ChangedRowsField
from ...resolvers import flags, moderation
from ...resolvers.moderation import MAX_MODERATED
from ...resolvers.validation import REASON_LENGTH
from ..enumerations import CommentStatus, FlagReason, ModerationStatus
from ..types import Comment
from .comment import encode_removed
from .declaration import ChangePayload, InputField, change, changed_row, changed_value
from .inputs import COMMENT_ID
from .rows import CHANGED_COMMENT


@strawberry.type
class ModeratedCommentsPayload(ChangePayload):
    comments: list[Comment] = strawberry.field(
        default_factory=list,
        description="The comments in the order of ids. Empty if the mutation was rejected.",
        metadata=ChangedRowsField("Comment", lambda change: change.comments).metadata,
    )
    removed_comment_ids: list[strawberry.ID] = changed_value(
        "The ids of the comments that are in no list for readers any more.",
        lambda change: encode_removed(change),
        default_factory=list,
    )


@strawberry.type
class FlaggedCommentPayload(ChangePayload):
    comment: Comment | None = changed_row(
        "The comment. Null if the mutation was rejected.", CHANGED_COMMENT
    )


@strawberry.type
class ModerationMutations:
    moderate_comments = change(
        "moderate_comments",
        "Show or hide comments as a moderator, and close their flags. All of them change, or none. "
        "Each change is written to the log of moderation.",
        lambda unit, access, ids, to, reason, expected: moderation.moderate_comments(
            unit, access, ids, to, reason=reason, expected_status=expected
        ),
        ModeratedCommentsPayload,
        ids=InputField(
            f"The ids of 1 to {MAX_MODERATED} comments.", list[strawberry.ID], key_of="Comment"
        ),
        to=InputField("The status that they get.", ModerationStatus),
        reason=InputField(
            f"The reason, for the log: 1 to {REASON_LENGTH} characters.", str | None, UNSET
        ),
        expected_status=InputField(
            "The status that all of them have now. If one has another, the error is CONFLICT.",
            CommentStatus | None,
            UNSET,
        ),
    )
    flag_comment = change(
        "flag_comment",
        "Flag a comment for moderators. If the viewer has flagged it already, nothing changes.",
        lambda unit, access, id, reason, note: flags.flag_comment(
            unit, access, id, reason, note=note
        ),
        FlaggedCommentPayload,
        comment_id=COMMENT_ID,
        reason=InputField("The reason.", FlagReason),
        note=InputField(
            f"A text for moderators: 1 to {REASON_LENGTH} characters.", str | None, UNSET
        ),
    )
