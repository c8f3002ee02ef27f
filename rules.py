"""The rules of one discussion: what the host decides, and what follows for one viewer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from uuid import UUID

from sqlalchemy import ColumnElement, false, true

from .errors import NotAllowed, SignInRequired, UnknownTargetType
from .hooks import Hooks
from .models import Thread
from .policy import CommentAction, CommentFacts, Policy, ThreadAction, ThreadFacts
from .rendering import render_message
from .settings import Guests
from .targets import Target
from .viewer import Viewer


def accept(message: str) -> None:
    pass


def nobody() -> str | None:
    return None


@dataclass(frozen=True)
class Rules:
    """What a host decides about its discussions."""

    policy: Policy = field(default_factory=Policy)
    hooks: tuple[Hooks, ...] = ()
    targets: Mapping[str, Target] = field(default_factory=lambda: MappingProxyType({}))
    guests: Guests = "read"
    message_length: int = 10_000
    render: Callable[[str], str] = render_message
    """From a message to the HTML that ``messageHtml`` hands out, safe as it is."""
    check_message: Callable[[str], None] = accept
    """Raises :class:`~tallied.errors.Rejected` for a message that the host does not want."""
    deleted_author: Callable[[], str | None] = nobody
    """What ``authorName`` says of an author who has been deleted."""

    def target(self, name: str) -> Target:
        """The target that is registered under that name.

        :raises UnknownTargetType: where there is none.
        """
        if name not in self.targets:
            known = ", ".join(sorted(self.targets)) or "none"
            raise UnknownTargetType(
                f"target.type must be one that is registered ({known}).", field="target.type"
            )
        return self.targets[name]

    @property
    def guests_vary(self) -> bool:
        """Whether what guests may do depends on what a thread is about."""
        return any(self.guests_of(name) != self.guests for name in self.targets)

    def guests_of(self, target_type: str | None) -> Guests:
        """What guests may do in the threads of that kind."""
        target = self.targets.get(target_type or "")
        return self.guests if target is None or target.guests is None else target.guests

    @property
    def longest_message(self) -> int:
        """The most characters of a comment anywhere."""
        return max(map(self.message_length_of, (None, *self.targets)))

    @property
    def guests_write(self) -> bool:
        """Whether there may be a thread in which guests write."""
        return any(self.guests_of(name) != "read" for name in (None, *self.targets))

    def message_length_of(self, target_type: str | None) -> int:
        """The most characters of a comment in the threads of that kind."""
        target = self.targets.get(target_type or "")
        if target is None or target.message_length is None:
            return self.message_length
        return target.message_length


@dataclass(frozen=True)
class Access:
    """What one viewer may do, by these rules."""

    rules: Rules
    viewer: Viewer | None = None

    def known_as(self, author_id: UUID | None) -> Access:
        """The same for a viewer whose author is known."""
        if self.viewer is None or author_id is None:
            return self
        return replace(self, viewer=replace(self.viewer, author_id=author_id))

    def readable(self) -> ColumnElement[bool] | None:
        """The condition that threads must meet for the viewer; None for no condition."""
        allowed = self.rules.policy.may_read(self.viewer, Thread)
        if isinstance(allowed, bool):
            return None if allowed else false()
        return true() & allowed

    @property
    def reads_by_author(self) -> bool:
        """Whether :meth:`readable` may differ once the viewer's author is known."""
        return self.viewer is not None and type(self.rules.policy).may_read is not Policy.may_read

    def may_start(self, target_type: str | None = None) -> bool:
        """Whether the viewer may begin a thread, about an object of that kind if one is given."""
        guests = self._guest(target_type)
        return self.rules.policy.may_start(self.viewer) if guests is None else guests

    @property
    def asks_for_target_type(self) -> bool:
        """Whether :meth:`may` has to be told of the thread that a comment is in."""
        return self.viewer is None and self.rules.guests_vary

    def may(
        self,
        action: ThreadAction | CommentAction,
        row: ThreadFacts | CommentFacts,
        target_type: str | None = None,
    ) -> bool:
        """Whether the viewer may do that with the row.

        :param target_type: what the thread of a comment is about.
        """
        guests = self._guest(row.target_type if isinstance(row, ThreadFacts) else target_type)
        if guests is not None:
            return guests
        return bool(getattr(self.rules.policy, action)(self.viewer, row))

    def may_delete_author(self, author_id: UUID) -> bool:
        """Whether the viewer may delete the author."""
        guests = self._guest(None)
        if guests is not None:
            return guests
        return self.rules.policy.may_delete_author(self.viewer, author_id)

    def require(self, allowed: bool, what: str) -> None:
        """Refuse what is not allowed.

        :param what: what the viewer may not do, as in "edit this comment".
        :raises SignInRequired: for a guest.
        :raises NotAllowed: for anyone else.
        """
        if allowed:
            return
        if self.viewer is None:
            raise SignInRequired(f"Guests may not {what}; sign in first.")
        raise NotAllowed(f"You may not {what}.")

    def _guest(self, target_type: str | None) -> bool | None:
        """What the settings decide for a guest; None where the policy is to be asked."""
        if self.viewer is not None:
            return None
        guests = self.rules.guests_of(target_type)
        return None if guests == "write" else guests == "moderate"
