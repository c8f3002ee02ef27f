"""The type Limits: the limits of what clients send, as the schema shows them."""

from __future__ import annotations

from typing import Annotated

import strawberry

from ...execution.requested_fields import Info
from ...resolvers.pagination.arguments import DEFAULT_SIZE
from ...resolvers.validation import AUTHOR_NAME_LENGTH, TITLE_LENGTH
from ..arguments import unset_to_none
from ..fields import field

TargetType = Annotated[
    str | None,
    strawberry.argument(
        description="The kind of object that the thread is about, as in Target.type. Leave it "
        "out for a thread without a target."
    ),
]


@strawberry.type(
    description="The maximum lengths of texts, in Unicode code points, and of pages, in items. A "
    "form can check its fields against them."
)
class Limits:
    title_length: int = strawberry.field(
        default=TITLE_LENGTH, description="The maximum number of characters in a title."
    )
    author_name_length: int = strawberry.field(
        default=AUTHOR_NAME_LENGTH,
        description="The maximum number of characters in a guest's name.",
    )

    @field("The maximum number of characters in a comment's message.")
    def message_length(self, info: Info, target_type: TargetType = strawberry.UNSET) -> int:
        return info.context.rules.message_length_of(unset_to_none(target_type))

    @field("The maximum number of items on a page, and of ids in nodes.")
    def page_size(self, info: Info) -> int:
        return info.context.settings.page_size

    @field("The number of items on a page if neither first nor last is given.")
    def default_page_size(self, info: Info) -> int:
        return min(DEFAULT_SIZE, info.context.settings.page_size)
