"""The limits of what clients send, as the schema tells them."""

from __future__ import annotations

from typing import Annotated

import strawberry

from ..execution.requested_fields import Info
from ..resolvers.pagination.arguments import DEFAULT_SIZE
from ..resolvers.validation import AUTHOR_NAME_LENGTH, TITLE_LENGTH
from .arguments import unset_to_none
from .fields import field

TargetType = Annotated[
    str | None,
    strawberry.argument(
        description="The kind of object that the thread is about, as in Target; left out for a "
        "thread that is about none."
    ),
]


@strawberry.type(
    description="How long texts and pages may be, in Unicode code points and items; what a form "
    "needs before it is sent."
)
class Limits:
    title_length: int = strawberry.field(
        default=TITLE_LENGTH, description="The most characters of a title."
    )
    author_name_length: int = strawberry.field(
        default=AUTHOR_NAME_LENGTH, description="The most characters of a guest's name."
    )

    @field("The most characters of a comment.")
    def message_length(self, info: Info, target_type: TargetType = strawberry.UNSET) -> int:
        return info.context.rules.message_length_of(unset_to_none(target_type))

    @field("The most items that a page may have, and the most ids of nodes.")
    def page_size(self, info: Info) -> int:
        return info.context.settings.page_size

    @field("How many items a page has that is asked for without first and last.")
    def default_page_size(self, info: Info) -> int:
        return min(DEFAULT_SIZE, info.context.settings.page_size)
