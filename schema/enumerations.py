"""The enumerations of comments and of moderation."""

from __future__ import annotations

from enum import Enum

import strawberry


@strawberry.enum(description="The status of a comment. Readers see published ones only.")
class CommentStatus(Enum):
    PUBLISHED = strawberry.enum_value("PUBLISHED", description="Shown to readers.")
    PENDING = strawberry.enum_value("PENDING", description="Hidden until a moderator decides.")
    REJECTED = strawberry.enum_value("REJECTED", description="Hidden by a moderator.")
    SPAM = strawberry.enum_value("SPAM", description="Hidden as spam.")
    DELETED = strawberry.enum_value("DELETED", description="Deleted, and kept for its replies.")


@strawberry.enum(description="The role of who has deleted a comment.")
class DeletedBy(Enum):
    AUTHOR = strawberry.enum_value("AUTHOR", description="The author of the comment.")
    MODERATOR = strawberry.enum_value(
        "MODERATOR", description="Another viewer who may delete the comment."
    )
    HOST = strawberry.enum_value("HOST", description="The host application itself.")
    ERASURE = strawberry.enum_value(
        "ERASURE", description="The author was deleted together with all comments."
    )


@strawberry.enum(description="A status that a moderator can give a comment.")
class ModerationStatus(Enum):
    PUBLISHED = strawberry.enum_value("PUBLISHED", description="Shown to readers.")
    PENDING = strawberry.enum_value("PENDING", description="Hidden until a moderator decides.")
    REJECTED = strawberry.enum_value("REJECTED", description="Hidden by a moderator.")
    SPAM = strawberry.enum_value("SPAM", description="Hidden as spam.")


@strawberry.enum(description="A part of the queue of moderation.")
class QueuePart(Enum):
    PENDING = strawberry.enum_value(
        "PENDING", description="The comments that wait for a moderator."
    )
    FLAGGED = strawberry.enum_value(
        "FLAGGED", description="The comments that were flagged since a moderator last decided."
    )
    ALL = strawberry.enum_value("ALL", description="Both.")


@strawberry.enum(description="The reason for which a comment is flagged.")
class FlagReason(Enum):
    SPAM = strawberry.enum_value("SPAM", description="Advertising.")
    ABUSE = strawberry.enum_value("ABUSE", description="An attack on somebody.")
    OFF_TOPIC = strawberry.enum_value("OFF_TOPIC", description="Not about the thread's subject.")
    OTHER = strawberry.enum_value(
        "OTHER", description="Another reason, which can be explained in note."
    )
