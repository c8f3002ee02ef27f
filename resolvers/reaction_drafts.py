"""Drafts: changes of reactions that have been checked, before anything is read or written."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from ..errors import SignInRequired, UnknownReaction
from ..host.access import Access
from ..host.hooks import HookedOperation, has_before_hook
from .validation import expect_type


class ReactionDraft(NamedTuple):
    """A reaction that a viewer adds or removes, of a kind that there may be."""

    access: Access
    comment_id: UUID
    kind: str
    removing: bool

    @property
    def operation(self) -> HookedOperation:
        """The operation as hooks know it."""
        return "remove_reaction" if self.removing else "add_reaction"

    @property
    def may_share(self) -> bool:
        """Whether other reactions may be written in the same transaction.

        No hook may use the session, and no condition may select the thread.
        """
        rules = self.access.rules
        return rules.shows_all and not has_before_hook(rules.hooks, self.operation)


def draft_addition(access: Access, comment_id: UUID, kind: str) -> ReactionDraft:
    """Check a new reaction without reading anything.

    :raises UnknownReaction: for a kind that the settings have not.
    :raises SignInRequired: for a guest.
    """
    _check(access, comment_id, kind)
    require_kind(access, kind)
    return ReactionDraft(access, comment_id, kind, removing=False)


def draft_removal(access: Access, comment_id: UUID, kind: str) -> ReactionDraft:
    """Check the removal of a reaction without reading anything.

    :param kind: also one that the settings have no more.
    :raises UnknownReaction: for a kind that there cannot be.
    :raises SignInRequired: for a guest.
    """
    _check(access, comment_id, kind)
    if not kind.isidentifier():  # which no kind has ever been, and no database may store
        raise _unknown_kind(access)
    return ReactionDraft(access, comment_id, kind, removing=True)


def require_kind(access: Access, kind: str) -> None:
    """Check that the settings have a kind of reaction.

    :raises UnknownReaction: otherwise.
    """
    if kind not in access.rules.reaction_kinds:
        raise _unknown_kind(access)


def _unknown_kind(access: Access) -> UnknownReaction:
    names = ", ".join(access.rules.reaction_kinds) or "none"
    return UnknownReaction(
        f"There is no such kind of reaction; the kinds are: {names}.", field="kind"
    )


def _check(access: Access, comment_id: UUID, kind: str) -> None:
    expect_type(Access, access=access)
    expect_type(UUID, comment_id=comment_id)
    expect_type(str, kind=kind)
    if access.viewer is None:
        raise SignInRequired("Guests may not react to comments; sign in first.")
