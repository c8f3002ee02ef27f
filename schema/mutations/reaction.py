"""The mutations of reactions."""

from __future__ import annotations

import strawberry

from ...execution.context import SharedChange
from ...resolvers import reactions
from ...resolvers.reaction_drafts import draft_addition, draft_removal
from ...resolvers.shared_reactions import SHARED_REACTIONS
from ..types import Comment
from .declaration import ChangePayload, InputField, change, changed_row
from .inputs import COMMENT_ID
from .rows import CHANGED_COMMENT

KIND = InputField("The name of the kind, one of Query.reactionKinds.")


@strawberry.type
class ReactionPayload(ChangePayload):
    comment: Comment | None = changed_row(
        "The comment with its new reactions. Null if the mutation was rejected.", CHANGED_COMMENT
    )


@strawberry.type
class ReactionMutations:
    add_reaction = change(
        "add_reaction",
        "React to a comment. If the viewer has reacted with this kind already, nothing changes.",
        reactions.add_reaction,
        ReactionPayload,
        shared=SharedChange(SHARED_REACTIONS, draft_addition),
        comment_id=COMMENT_ID,
        kind=KIND,
    )
    remove_reaction = change(
        "remove_reaction",
        "Take a reaction to a comment back. If there is none, nothing changes.",
        reactions.remove_reaction,
        ReactionPayload,
        shared=SharedChange(SHARED_REACTIONS, draft_removal),
        comment_id=COMMENT_ID,
        kind=KIND,
    )
