"""The host's rules of a discussion, and the access of one viewer by these rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from functools import cached_property
from inspect import iscoroutine
from types import MappingProxyType
from typing import Any, NamedTuple, cast
from uuid import UUID

from sqlalchemy import (
    BinaryExpression,
    Boolean,
    BooleanClauseList,
    ColumnElement,
    SQLColumnExpression,
    false,
    true,
)
from starlette.requests import HTTPConnection

from ..auth.viewer import Viewer, call_without_author, with_author_key
from ..content.markdown import render_message
from ..errors import (
    ConfigurationError,
    NotAllowed,
    SignInRequired,
    UnknownTargetType,
)
from ..models import Thread
from ..models.base import now
from ..settings import Guests, Settings, split_list
from .comment_checks import CommentCheck
from .hooks import Hooks
from .policy import (
    CommentAction,
    CommentContext,
    Policy,
    ThreadAction,
    ThreadContext,
)
from .read_conditions import viewer_values, with_viewer_values
from .standard_checks import standard_checks
from .targets import Target

_CONDITIONS = (BinaryExpression, BooleanClauseList)
"""What is a condition as it is, if its type is."""


def accept_any(message: str) -> None:
    """Accept every message."""


def no_name() -> str | None:
    """Return no name for deleted authors."""
    return None


class ReactionKind(NamedTuple):
    """A kind of reactions to comments."""

    name: str
    emoji: str
    label: str


@dataclass(frozen=True)
class HostRules:
    """The decisions of a host about its discussions."""

    policy: Policy = field(default_factory=Policy)
    hooks: tuple[Hooks, ...] = ()
    targets: Mapping[str, Target] = field(default_factory=lambda: MappingProxyType({}))
    guests: Guests = Settings.guests
    message_length: int = Settings.message_length
    reply_depth: int = Settings.reply_depth
    """The greatest depth of a reply; 0 for a flat discussion."""
    revisions: int = Settings.revisions
    """How many revisions are kept of one comment."""
    reactions: str = Settings.reactions
    """The setting of the kinds of reactions."""
    render: Callable[[str], str] = render_message
    """Renders a message to the HTML of ``messageHtml``, which has to be safe."""
    check_message: Callable[[str], None] = accept_any
    """Raises :class:`~tallied.errors.Rejected` for a message that the host rejects."""
    deleted_author: Callable[[], str | None] = no_name
    """Returns the ``authorName`` of a deleted author."""
    comment_checks: tuple[CommentCheck, ...] = ()
    """The checks of comments before they are published, in their order."""
    flag_limit: int = Settings.flag_limit
    """With how many open flags a comment is hidden; 0 for never."""
    restore_days: int = Settings.restore_days
    """For how many days a deleted comment can be restored if it has replies."""

    @classmethod
    def from_settings(cls, settings: Settings, **others: Any) -> HostRules:
        """Return the rules that follow from the settings, and others."""
        others.setdefault("comment_checks", standard_checks(settings))
        names = {item.name for item in fields(cls)} & {item.name for item in fields(Settings)}
        return cls(**{name: getattr(settings, name) for name in names}, **others)

    @cached_property
    def shows_all(self) -> bool:
        """Whether every viewer may read every thread, since the policy decides nothing."""
        return getattr(self.policy.may_read, "__func__", None) is Policy.may_read

    def is_restorable(self, deleted_at: datetime | None, deleted_by: str | None) -> bool:
        """Return whether a comment is deleted, and not for so long that it cannot be restored."""
        if deleted_at is None or deleted_by == "erasure":
            return False
        return now() - deleted_at < timedelta(days=self.restore_days)

    @cached_property
    def reaction_kinds(self) -> Mapping[str, ReactionKind]:
        """The kinds of reactions by their names, in the order of the setting."""
        kinds = (ReactionKind(*kind.split(":")) for kind in split_list(self.reactions))
        return MappingProxyType({kind.name: kind for kind in kinds})

    def target(self, name: str, field: str = "target.type") -> Target:
        """Return the target that is registered under that name.

        :param field: the argument or input field of the name.
        :raises UnknownTargetType: if there is none.
        """
        if name not in self.targets:
            names = ", ".join(sorted(self.targets)) or "none"
            raise UnknownTargetType(
                f"There are no discussions about this kind; the registered ones are: {names}.",
                field=field,
            )
        return self.targets[name]

    @cached_property
    def guests_vary(self) -> bool:
        """Whether the permissions of guests depend on the target of a thread."""
        return any(self.guests_of(name) != self.guests for name in self.targets)

    def guests_of(self, target_type: str | None) -> Guests:
        """Return what guests may do in threads with targets of that type."""
        target = self.targets.get(target_type or "")
        return self.guests if target is None or target.guests is None else target.guests

    @cached_property
    def max_message_length(self) -> int:
        """The most characters of a comment in any thread."""
        return max(map(self.message_length_of, (None, *self.targets)))

    @cached_property
    def guests_write(self) -> bool:
        """Whether there may be a thread in which guests may write."""
        return any(self.guests_of(name) != "read" for name in (None, *self.targets))

    def message_length_of(self, target_type: str | None) -> int:
        """Return the most characters of a comment in threads with targets of that type."""
        target = self.targets.get(target_type or "")
        if target is None or target.message_length is None:
            return self.message_length
        return target.message_length


@dataclass(frozen=True)
class Access:
    """The permissions of one viewer by the host's rules."""

    rules: HostRules
    viewer: Viewer | None = None
    is_host: bool = False
    """Whether the host itself acts, which may do everything, and writes in the name of the viewer
    if there is one."""
    request: HTTPConnection | None = field(default=None, compare=False, repr=False)
    """The request, for hooks."""
    has_read_author: bool = field(default=False, compare=False, repr=False)
    """Whether the viewer's author has been looked up, also if there was none."""

    @classmethod
    def of(cls, rules: HostRules, viewer: Viewer | None, **options: Any) -> Access:
        """Return the access of what a host's code passes as a viewer.

        :raises TypeError: for anything else.
        """
        if viewer is not None and not isinstance(viewer, Viewer):
            actual = type(viewer).__name__
            raise TypeError(f"viewer must be a Viewer or None, not a value of type {actual}.")
        return cls(rules, viewer, **options)

    def as_host(self, viewer: Viewer | None = None) -> Access:
        """Return the access of the host; see :meth:`.Discussion.access_as_host`."""
        return Access.of(self.rules, viewer, is_host=True, request=self.request)

    def with_author(self, author_id: UUID | None) -> Access:
        """Return the same access with the key of the viewer's author; None if there is none."""
        if self.viewer is None:
            return self
        viewer = self.viewer if author_id is None else with_author_key(self.viewer, author_id)
        return Access(self.rules, viewer, self.is_host, self.request, has_read_author=True)

    def read_condition(self) -> ColumnElement[bool] | None:
        """Return the condition for the threads that the viewer may read; None for all threads.

        :raises ConfigurationError: if the policy returns neither a condition nor a bool.
        """
        if self.rules.shows_all:
            return None
        return with_viewer_values(self.ask_read_condition(), self.viewer)

    def ask_read_condition(self) -> ColumnElement[bool] | None:
        """Return the same as the policy has it, with the parameters of :func:`.viewer_value`.

        :raises ConfigurationError: as :meth:`read_condition` does.
        """
        return None if self.is_host else self._ask_read_condition(self.viewer)

    def find_read_condition(self) -> tuple[ColumnElement[bool] | None, bool]:
        """Return :meth:`ask_read_condition`, and whether it may depend on the viewer's author.

        If it does, the condition is not to be used: the author's key is not known here.
        """
        if not self.reads_by_author:
            return self.ask_read_condition(), False
        assert self.viewer is not None

        def ask(viewer: Viewer) -> ColumnElement[bool] | None:
            condition = self._ask_read_condition(viewer)
            if condition is not None:
                viewer_values(condition, viewer)  # A property of a host's may read the key.
            return condition

        return call_without_author(ask, self.viewer)

    def _ask_read_condition(self, viewer: Viewer | None) -> ColumnElement[bool] | None:
        allowed = self.rules.policy.may_read(viewer, Thread)
        if isinstance(allowed, bool):
            return None if allowed else false()
        if isinstance(allowed, _CONDITIONS) and isinstance(allowed.type, Boolean):
            return allowed
        if not isinstance(allowed, SQLColumnExpression):
            raise _policy_error("may_read", allowed, "a condition on the thread, True or False")
        return true() & allowed

    @property
    def reads_by_author(self) -> bool:
        """Whether :meth:`read_condition` may depend on the key of the viewer's author."""
        if self.is_host or self.viewer is None:
            return False
        return type(self.rules.policy).may_read is not Policy.may_read

    @property
    def constant_permission(self) -> bool | None:
        """The result of :meth:`may` for every row; None if it depends on the row."""
        varies = not self.is_host and self.rules.guests_vary
        return None if varies else self._decide_without_policy(None)

    @property
    def is_unrestricted(self) -> bool:
        """Whether the viewer may do everything with every row."""
        return self.constant_permission is True and self.read_condition() is None

    @property
    def may_comment_anywhere(self) -> bool:
        """Whether the viewer may comment in every thread that is not locked."""
        if self.is_host:
            return True
        asks = type(self.rules.policy).may_comment is not Policy.may_comment
        varies = self.viewer is None and self.rules.guests_vary
        return not asks and not varies and self.read_condition() is None

    @property
    def may_reply_anywhere(self) -> bool:
        """Whether the viewer may reply to every comment of a thread that is not locked."""
        asks = type(self.rules.policy).may_reply is not Policy.may_reply
        return self.may_comment_anywhere and (self.is_host or not asks)

    def comment_checks_in(self, thread: ThreadContext) -> tuple[CommentCheck, ...]:
        """Return the checks of what the viewer writes in a thread: none for its moderators.

        :raises ConfigurationError: if the policy returns no bool.
        """
        checks = self.rules.comment_checks
        return () if not checks or self.may("may_moderate", thread) else checks

    @property
    def moderates_all(self) -> bool:
        """Whether the viewer may moderate every thread that they may read.

        :raises ConfigurationError: if the policy returns no bool.
        """
        return self._decide("may_moderate", None, None)

    def may_start(self, target_type: str | None = None) -> bool:
        """Return whether the viewer may create a thread, about a target of that type if given.

        :raises ConfigurationError: if the policy returns no bool.
        """
        return self._decide("may_start", target_type, target_type)

    @property
    def may_write(self) -> bool:
        """Whether there may be a thread in which the viewer may write."""
        return self.is_host or self.viewer is not None or self.rules.guests_write

    def may(
        self, action: ThreadAction | CommentAction, row: ThreadContext | CommentContext
    ) -> bool:
        """Return whether the viewer may take an action on a row.

        :raises ConfigurationError: if the policy returns no bool.
        """
        if isinstance(row, ThreadContext):
            return self._decide(action, row.target_type, row)
        is_possible = row.admits(cast("CommentAction", action))
        return is_possible and self._decide(action, row.thread.target_type, row)

    def may_read_history(self, comment: CommentContext) -> bool:
        """Return whether the viewer may read the former messages of a comment.

        The policy decides for guests, too, also where they only read.

        :raises ConfigurationError: if the policy returns no bool.
        """
        decision = self._decide_without_policy(comment.thread.target_type)
        return decision or self._ask("may_read_history", comment)

    def may_delete_author(self, author_id: UUID) -> bool:
        """Return whether the viewer may delete the author.

        :raises ConfigurationError: if the policy returns no bool.
        """
        return self._decide("may_delete_author", None, author_id)

    def require(self, allowed: bool, action: str) -> None:
        """Reject an action that is not allowed.

        :param action: the action in words, as in "edit this comment".
        :raises SignInRequired: for a guest.
        :raises NotAllowed: for anyone else.
        """
        if allowed:
            return
        if self.viewer is None:
            raise SignInRequired(f"Guests may not {action}; sign in first.")
        raise NotAllowed(f"You may not {action}.")

    def _decide(self, method: str, target_type: str | None, subject: Any) -> bool:
        """Return the decision without the policy, or else that of the policy's method."""
        decision = self._decide_without_policy(target_type)
        return self._ask(method, subject) if decision is None else decision

    def _ask(self, method: str, subject: Any) -> bool:
        """Return the decision of the policy's method."""
        allowed = getattr(self.rules.policy, method)(self.viewer, subject)
        if not isinstance(allowed, bool):
            # A coroutine is true, and so are many values that are meant as a No.
            raise _policy_error(method, allowed, "True or False")
        return allowed

    def _decide_without_policy(self, target_type: str | None) -> bool | None:
        """Return the decision for the host, and for a guest by the settings; None for others."""
        if self.is_host:
            return True
        if self.viewer is not None:
            return None
        guests = self.rules.guests_of(target_type)
        return None if guests == "write" else guests == "moderate"


def _policy_error(method: str, returned: object, expected: str) -> ConfigurationError:
    remedy = ""
    if iscoroutine(returned):
        returned.close()  # Nobody awaits it.
        remedy = "; make it a plain function, not an asynchronous one"
    return ConfigurationError(
        f"The policy's {method} must return {expected}, not a {type(returned).__name__}{remedy}."
    )
