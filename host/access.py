"""The rules of one discussion: what the host decides, and what follows for one viewer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from inspect import iscoroutine
from types import MappingProxyType
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, SQLColumnExpression, false, true
from starlette.requests import HTTPConnection

from ..auth.viewer import Viewer
from ..content.markdown import render_message
from ..errors import (
    ConfigurationError,
    NotAllowed,
    SignInRequired,
    UnknownTargetType,
)
from ..models import Thread
from ..settings import Guests
from .hooks import Hooks
from .policy import (
    CommentAction,
    CommentContext,
    Policy,
    ThreadAction,
    ThreadContext,
)
from .targets import Target


def accept_any(message: str) -> None:
    pass


def no_name() -> str | None:
    return None


@dataclass(frozen=True)
class HostRules:
    """What a host decides about its discussions."""

    policy: Policy = field(default_factory=Policy)
    hooks: tuple[Hooks, ...] = ()
    targets: Mapping[str, Target] = field(default_factory=lambda: MappingProxyType({}))
    guests: Guests = "read"
    message_length: int = 10_000
    render: Callable[[str], str] = render_message
    """From a message to the HTML that ``messageHtml`` hands out, safe as it is."""
    check_message: Callable[[str], None] = accept_any
    """Raises :class:`~tallied.errors.Rejected` for a message that the host does not want."""
    deleted_author: Callable[[], str | None] = no_name
    """What ``authorName`` says of an author who has been deleted."""

    def target(self, name: str) -> Target:
        """The target that is registered under that name.

        :raises UnknownTargetType: where there is none.
        """
        if name not in self.targets:
            known = ", ".join(sorted(self.targets)) or "none"
            raise UnknownTargetType(
                f"There are no discussions about this kind; the registered ones are: {known}.",
                field="target.type",
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
    def max_message_length(self) -> int:
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

    rules: HostRules
    viewer: Viewer | None = None
    is_host: bool = False
    """Whether it is the host itself that acts, who is asked for no permission; what it writes, it
    writes in the viewer's name, if there is one."""
    request: HTTPConnection | None = field(default=None, compare=False, repr=False)
    """The request that asks, for hooks."""

    def as_host(self, viewer: Viewer | None = None) -> Access:
        """The host's own, by the same rules; see :meth:`.Discussion.access_as_host`."""
        return Access(self.rules, viewer, is_host=True, request=self.request)

    def with_author(self, author_id: UUID | None) -> Access:
        """The same for a viewer whose author is known."""
        if self.viewer is None or author_id is None:
            return self
        return replace(self, viewer=replace(self.viewer, author_id=author_id))

    def readable(self) -> ColumnElement[bool] | None:
        """The condition that threads must meet for the viewer; None for no condition.

        :raises ConfigurationError: where the policy returns no condition and no bool.
        """
        if self.is_host:
            return None
        allowed = self.rules.policy.may_read(self.viewer, Thread)
        if isinstance(allowed, bool):
            return None if allowed else false()
        if not isinstance(allowed, SQLColumnExpression):
            raise _policy_error("may_read", allowed, "a condition on the thread, True or False")
        return true() & allowed

    @property
    def reads_by_author(self) -> bool:
        """Whether :meth:`readable` may differ once the viewer's author is known."""
        if self.is_host or self.viewer is None:
            return False
        return type(self.rules.policy).may_read is not Policy.may_read

    @property
    def constant_permission(self) -> bool | None:
        """What :meth:`may` says of every row; None where it depends on the row."""
        varies = not self.is_host and self.rules.guests_vary
        return None if varies else self._decide_without_policy(None)

    @property
    def is_unrestricted(self) -> bool:
        """Whether no row has to be looked at to tell what may be done with it."""
        return self.constant_permission is True and self.readable() is None

    @property
    def may_comment_anywhere(self) -> bool:
        """Whether no thread has to be looked at to tell whether comments may be added to it."""
        if self.is_host:
            return True
        asks = type(self.rules.policy).may_comment is not Policy.may_comment
        varies = self.viewer is None and self.rules.guests_vary
        return not asks and not varies and self.readable() is None

    def may_start(self, target_type: str | None = None) -> bool:
        """Whether the viewer may begin a thread, about an object of that kind if one is given.

        :raises ConfigurationError: where the policy returns no bool.
        """
        return self._decide("may_start", target_type, target_type)

    @property
    def may_write(self) -> bool:
        """Whether there may be a thread in which the viewer writes."""
        return self.is_host or self.viewer is not None or self.rules.guests_write

    def may(
        self, action: ThreadAction | CommentAction, row: ThreadContext | CommentContext
    ) -> bool:
        """Whether the viewer may do that with the row.

        :raises ConfigurationError: where the policy returns no bool.
        """
        thread = row if isinstance(row, ThreadContext) else row.thread
        return self._decide(action, thread.target_type, row)

    def may_delete_author(self, author_id: UUID) -> bool:
        """Whether the viewer may delete the author.

        :raises ConfigurationError: where the policy returns no bool.
        """
        return self._decide("may_delete_author", None, author_id)

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

    def _decide(self, method: str, target_type: str | None, about: Any) -> bool:
        """What is settled; else what the policy's method says."""
        settled = self._decide_without_policy(target_type)
        if settled is not None:
            return settled
        allowed = getattr(self.rules.policy, method)(self.viewer, about)
        if not isinstance(allowed, bool):
            # A coroutine is true, and so is many a thing that was meant as a No.
            raise _policy_error(method, allowed, "True or False")
        return allowed

    def _decide_without_policy(self, target_type: str | None) -> bool | None:
        """What holds for the host, and for a guest by the settings; else the policy is asked."""
        if self.is_host:
            return True
        if self.viewer is not None:
            return None
        guests = self.rules.guests_of(target_type)
        return None if guests == "write" else guests == "moderate"


def _policy_error(method: str, returned: object, wanted: str) -> ConfigurationError:
    remedy = ""
    if iscoroutine(returned):
        returned.close()  # nobody awaits it
        remedy = "; make it a plain function, not an asynchronous one"
    return ConfigurationError(
        f"The policy's {method} must return {wanted}, not a {type(returned).__name__}{remedy}."
    )
