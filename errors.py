"""Every error that Tallied raises, as one tree::

    TalliedError
    ├── UserError                  an input that is refused, with a message for the user
    │   ├── BadUserInput           cannot be read
    │   ├── Unauthenticated        does not prove who sends it
    │   ├── Rejected               can be read, but cannot be done
    │   │   ├── NotFound           the record does not exist
    │   │   ├── InvalidText        breaks a rule for texts
    │   │   ├── SignInRequired     the viewer must sign in
    │   │   ├── NotAllowed         the viewer lacks the right
    │   │   ├── Locked             the thread accepts no comments
    │   │   ├── NotMovable         the comment, with its replies, cannot be moved there
    │   │   ├── NotRestorable      the deleted comment has no text any more
    │   │   ├── Vetoed             the host's own code forbids it
    │   │   ├── UnknownTargetType  the type is not registered
    │   │   ├── Conflict           the row has been changed meanwhile
    │   │   ├── UnknownReaction    the kind of reaction is not among the settings
    │   │   ├── RateLimited        the viewer has written too many comments
    │   │   └── RepeatedText       the viewer has written the same text just before
    │   ├── Busy                   the input is correct: try again
    │   ├── Unavailable            the input is correct: the database cannot be used at present
    │   └── OutcomeUnknown         the change may have been made: look first
    ├── ConfigurationError         a wrong setting or argument, a missing database
    └── CounterError               the counter engine
        ├── CounterDeclarationError    a counter that cannot work as declared
        ├── CounterAssignmentError     a counter was assigned to
        └── UncountedStatementError    a statement that the engine cannot count

A :class:`UserError` has a stable ``code``, which the API sends as ``extensions.code``; a
mutation sends that of a :class:`Rejected` in the payload's ``userErrors``. Its message is
one sentence with the remedy, and ``field`` names the input field. After any of these errors
except :class:`OutcomeUnknown`, nothing has been changed.
"""

from __future__ import annotations

from collections.abc import Mapping

from .documentation import find_finding


class TalliedError(Exception):
    """The root of the tree."""


class UserError(TalliedError):
    """A request that is refused, with a message for its author.

    :param message: one sentence with the remedy. That of a :class:`Rejected` can be shown to
        people beside the field; other messages name the field.
    :param field: the name of the input field in the API's spelling, or None.
    :param params: values in the message, for translations: ``max`` and ``actual``, numbers of
        characters, ``character``, such as ``U+0000``, and ``seconds`` to wait.
    """

    code: str = "USER_ERROR"

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        params: Mapping[str, int | str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.params = params or {}


class BadUserInput(UserError):
    """An input that cannot be read: an id, a cursor, a size, a value of the wrong type."""

    code = "BAD_USER_INPUT"


class Unauthenticated(UserError):
    """A request whose token or header does not prove who sends it; without any, it is a guest's."""

    code = "UNAUTHENTICATED"


class Rejected(UserError):
    """An input that can be read but not carried out."""

    others: tuple[Rejected, ...] = ()
    """Further errors of the same input, which the API reports together with this one."""


class NotFound(Rejected):
    """An input that names a record that does not exist."""

    code = "NOT_FOUND"


class InvalidText(Rejected):
    """A text that breaks a documented rule.

    :param code: ``BLANK``, ``TOO_LONG`` or ``INVALID_CHARACTERS``.
    """

    def __init__(
        self,
        message: str,
        *,
        field: str,
        code: str,
        params: Mapping[str, int | str] | None = None,
    ) -> None:
        super().__init__(message, field=field, params=params)
        self.code = code

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


class SignInRequired(Rejected):
    """What guests may not do, asked for by one."""

    code = "SIGN_IN_REQUIRED"


class NotAllowed(Rejected):
    """What the policy does not let the viewer do."""

    code = "NOT_ALLOWED"


class Locked(Rejected):
    """A comment for a thread that takes none."""

    code = "LOCKED"


class NotRestorable(Rejected):
    """A deleted comment whose text is not kept any more."""

    code = "NOT_RESTORABLE"


class NotMovable(Rejected):
    """A comment that cannot be moved there: below itself, too deep, or with too many replies."""

    code = "NOT_MOVABLE"


class Vetoed(Rejected):
    """What the host's own code forbids: raised by its hooks, with a message of its own."""

    code = "VETOED"


class UnknownTargetType(Rejected):
    """A kind of objects that nobody has registered."""

    code = "UNKNOWN_TARGET_TYPE"


class Conflict(Rejected):
    """A change of a row that has another state than the client expects."""

    code = "CONFLICT"

    change: object = None
    """The rows as they are, in the form of the change's result."""


class UnknownReaction(Rejected):
    """A kind of reaction that the settings do not have."""

    code = "UNKNOWN_REACTION"


class RateLimited(Rejected):
    """One comment more than the viewer may write within a time; ``params`` has ``seconds``."""

    code = "RATE_LIMITED"


class RepeatedText(Rejected):
    """A text that the viewer has written just before."""

    code = "REPEATED_TEXT"


class Busy(UserError):
    """The database had no room for the change; the same request may succeed later."""

    code = "BUSY"


class Unavailable(UserError):
    """The database cannot be used at present; the same request may succeed once it can be."""

    code = "UNAVAILABLE"


class OutcomeUnknown(UserError):
    """The database was lost while it committed: the change may or may not have been made.

    Nothing repeats such a change by itself.
    """

    code = "OUTCOME_UNKNOWN"


class ConfigurationError(TalliedError):
    """A setting that cannot be used; the message names it and what is allowed."""


class MissingExtraError(ConfigurationError, ImportError):
    """An import or a database URL that needs an extra of the distribution; the message names it.

    :param name: the module that is missing.
    """

    def __init__(self, message: str, *, name: str) -> None:
        ImportError.__init__(self, message, name=name)


class CounterError(TalliedError):
    """The root of what the counter engine raises."""


class CounterDeclarationError(CounterError):
    """Counters that cannot work as they were declared: all that was found, not the first alone.

    :param id: a stable identifier, such as ``counters.E001``.
    :param sentence: what is wrong.
    :param hint: what to do about it.
    :param more: the id, the sentence and the hint of each further finding.
    """

    def __init__(self, id: str, sentence: str, hint: str, *more: tuple[str, str, str]) -> None:
        self.findings = ((id, sentence, hint), *more)
        """Every finding, as its id, sentence and hint; the attributes tell the first one's."""
        lines = [f"({i}) {what} HINT: {how}" for i, what, how in self.findings]
        super().__init__("\n".join([*lines, f"See {find_finding(id)}"]))
        self.id = id
        self.sentence = sentence
        self.hint = hint


class CounterAssignmentError(CounterError, AttributeError):
    """A counter was assigned to; counters are kept by the engine alone."""


class UncountedStatementError(CounterError):
    """A change of counted rows that the engine cannot count: by its form, or by its session."""
