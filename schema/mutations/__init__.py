"""The root type Mutation, of mutations in one file a type.

A mutation is one unit of work. If the input is rejected, the reasons are data, in the payload's
``userErrors``; an input that cannot be read is an error of its field.
"""

from __future__ import annotations

import strawberry

from .author import AuthorMutations
from .comment import CommentMutations
from .mark import MarkMutations
from .moderation import ModerationMutations
from .reaction import ReactionMutations
from .thread import ThreadMutations


@strawberry.type(
    description="The mutations. Each succeeds as a whole or changes nothing, unless its input says "
    "that it works in batches. What it rejects is in "
    "userErrors of its payload, which returns the changed objects with their new "
    "counters."
)
class Mutation(
    ThreadMutations,
    AuthorMutations,
    CommentMutations,
    ReactionMutations,
    MarkMutations,
    ModerationMutations,
):
    pass
