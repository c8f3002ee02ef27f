"""The settings, each declared once: name, default, allowed values and text.

A host passes a :class:`Settings` of its own; the server on its own reads the
environment with :meth:`Settings.from_environ`. The ``TALLIED_*`` variables, the
validation, its messages and the options of ``tallied serve`` follow from the
declarations, as :data:`SETTINGS` holds them. A value that cannot be used raises
:class:`~tallied.errors.ConfigurationError`, which names the setting and what is
allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeAlias, TypeVar, get_args

from .errors import ConfigurationError
from .setting_checks import ANY_HOST as ANY_HOST
from .setting_checks import ANY_ORIGIN as ANY_ORIGIN
from .setting_checks import MIN_SECRET_SIZE as MIN_SECRET_SIZE
from .setting_checks import (
    check_hosts,
    check_origins,
    check_reactions,
    check_schema,
    check_secret,
)
from .setting_checks import is_strong_secret as is_strong_secret
from .setting_checks import split_list as split_list

T = TypeVar("T")

Environment: TypeAlias = Literal["development", "production"]
Guests: TypeAlias = Literal["read", "write", "moderate"]
LogFormat: TypeAlias = Literal["text", "json"]
AccessLog: TypeAlias = Literal["auto", "on", "off"]
Validator: TypeAlias = Callable[[str, str], None]
"""Called with both names and the value of a setting; raises ConfigurationError."""

MESSAGE_LENGTHS = (1, 100_000)
"""The lowest and the highest limit on the characters of a comment."""

REPLY_DEPTHS = (0, 50)
"""The lowest and the highest limit on the depth of replies."""


def _number(default: int, low: int, high: int, text: str) -> int:
    return _declare(default, text, bounds=(low, high))


def _choice(default: Any, literal: Any, text: str) -> Any:
    return _declare(default, text, choices=get_args(literal))


def _text(default: str, text: str, check: Validator | None = None, repr: bool = True) -> str:
    return _declare(default, text, repr, check=check)


def _switch(default: Any, text: str) -> Any:
    """Declare true or false; None is true in development, and false in production."""
    return _declare(default, text)


def _declare(default: T, text: str, repr: bool = True, **allowed: Any) -> T:
    """Return a dataclass field from which :data:`SETTINGS` is derived."""
    return field(default=default, repr=repr, metadata={"text": text, **allowed})


@dataclass(frozen=True)
class Settings:
    """The values of all settings.

    Limits count for one server process; sizes are in bytes, times in seconds.
    """

    database: str = _text(
        "sqlite+aiosqlite:///tallied.db", "The URL of an SQLite or PostgreSQL database."
    )
    database_schema: str = _text(
        "",
        "The schema of a PostgreSQL database that has Tallied's tables: up to 63 letters, digits"
        " and _; by default, the first of the connection's search path.",
        check_schema,
    )
    database_wait: int = _number(
        0, 0, 3600, "How long the server and the commands wait for a PostgreSQL that starts."
    )
    pool_size: int = _number(12, 2, 1000, "Maximum connections to the database.")
    group_commit: bool = _switch(
        True,
        "Whether comments, or reactions, that arrive at the same time are written in one"
        " transaction.",
    )
    host: str = _text("127.0.0.1", "The address to listen on.")
    port: int = _number(8000, 1, 65535, "The port to listen on.")
    workers: int = _number(1, 1, 64, "How many processes share the port.")
    page_size: int = _number(100, 1, 1000, "Maximum rows of one page of a connection.")
    body_size: int = _number(1_048_576, 1024, 2**30, "Maximum bytes of a request's body.")
    header_size: int = _number(
        32_768, 1024, 2**20, "Maximum bytes of a request's first line and headers."
    )
    header_time: int = _number(10, 1, 3600, "How long a client may take to send the headers.")
    body_time: int = _number(20, 1, 3600, "How long a client may take to send the body.")
    concurrent_requests: int = _number(
        100, 1, 10_000, "Maximum GraphQL requests that are executed at once."
    )
    concurrent_sockets: int = _number(500, 1, 100_000, "Maximum open WebSockets.")
    sockets_per_address: int = _number(
        250,
        1,
        100_000,
        "Maximum open WebSockets of one client address; an IPv6 network of 64 bits is one address.",
    )
    connections_per_address: int = _number(
        250,
        1,
        100_000,
        "Maximum open HTTP connections of one client address that is not a trusted proxy's.",
    )
    socket_operations: int = _number(
        50, 1, 1000, "Maximum operations that one WebSocket executes at once."
    )
    origins: str = _text(
        "",
        "The origins, besides the server's own, whose pages may use the API, such as"
        " https://forum.example; separated by commas, or * for any. Inside a host's application"
        " it applies to WebSockets only; the host's own middleware decides about HTTP.",
        check_origins,
    )
    allowed_hosts: str = _text(
        "",
        "The names by which the server may be addressed (the Host header), such as forum.example;"
        " separated by commas. *.forum.example is any name below it, and * any name at all. For"
        " the default, see tallied.transport.allowed_hosts.HostGuard.",
        check_hosts,
    )
    execution_time: int = _number(10, 1, 3600, "How long one GraphQL request may be executed.")
    cache_time: int = _number(
        0,
        0,
        31_536_000,
        "How long caches may use the response to an anonymous GET without revalidation.",
    )
    document_size: int = _number(
        100_000, 1000, 10_000_000, "Maximum characters of a GraphQL document."
    )
    persisted_documents: str = _text(
        "",
        "The file of the documents that clients may name by an id: a JSON object of documents by"
        " their ids, or a manifest in Apollo's format.",
    )
    only_persisted: bool = _switch(False, "Whether only documents of that file are executed.")
    automatic_documents: int = _number(
        1_000_000,
        0,
        1_000_000_000,
        "Maximum characters of automatically persisted documents; the least recently used are"
        " dropped first.",
    )
    document_tokens: int = _number(5000, 100, 1_000_000, "Maximum lexical tokens of a document.")
    document_fields: int = _number(
        500, 50, 100_000, "Maximum fields of a document, its fragments included where spread."
    )
    document_depth: int = _number(15, 5, 100, "Maximum levels of nested fields.")
    document_aliases: int = _number(30, 0, 100_000, "Maximum aliases of a document.")
    document_root_fields: int = _number(
        20, 1, 10_000, "How often an operation may select the same root field."
    )
    document_fragments: int = _number(50, 0, 10_000, "Maximum fragments of a document.")
    document_directives: int = _number(50, 0, 10_000, "Maximum directives of a document.")
    document_operations: int = _number(20, 1, 10_000, "Maximum operations of a document.")
    introspection_depth: int = _number(
        15, 5, 100, "Maximum levels of nested fields of an introspection."
    )
    operation_cost: int = _number(
        20_000, 100, 10_000_000, "Maximum nodes that an operation may reach."
    )
    answer_size: int = _number(10_485_760, 65_536, 2**30, "Maximum bytes of a response.")
    transaction_attempts: int = _number(
        30, 1, 100, "How often a unit of work is run while the database asks for a retry."
    )
    playground: bool | None = _switch(
        None,
        "Whether /graphql shows the playground to a browser, and / a page that leads to it."
        " `tallied serve --demo` and `--open` show both, unless this is false.",
    )
    introspection: bool = _switch(
        True, "Whether clients may read the schema, by introspection and as a file."
    )
    environment: Environment = _choice(
        "production",
        Environment,
        "The purpose of the server. In production, `tallied check` and the start of the server"
        " warn of settings for development.",
    )
    log_format: LogFormat = _choice(
        "text", LogFormat, "The format of the server's log: lines for people, or JSON objects."
    )
    access_log: AccessLog = _choice(
        "auto",
        AccessLog,
        "Whether the server logs a line for each request: on, off, or auto, which is on in"
        " development.",
    )
    guests: Guests = _choice(
        "read",
        Guests,
        "What viewers may do who are not signed in: read; also write threads and comments; or"
        " moderate, which is not for production.",
    )
    message_length: int = _number(10_000, *MESSAGE_LENGTHS, "Maximum characters of a comment.")
    restore_days: int = _number(
        30,
        0,
        3650,
        "For how many days a deleted comment with replies can be restored; its text is purged"
        " after that. With 0, no text is kept.",
    )
    flag_limit: int = _number(
        0,
        0,
        1000,
        "With how many open flags a comment is hidden until a moderator decides; 0 for never.",
    )
    link_limit: int = _number(
        0, 0, 1000, "With how many links a comment waits for a moderator; 0 for never."
    )
    blocked_words: str = _text(
        "",
        "The words and phrases with which a comment waits for a moderator, separated by commas; *"
        " stands for any letters of a word.",
    )
    first_comments: int = _number(
        0,
        0,
        1000,
        "How many comments of an author must have been published before others are published"
        " without a moderator; guests' always wait then. 0 for none.",
    )
    repeat_time: int = _number(
        0, 0, 2_592_000, "How long the same person cannot write the same text again; 0 for never."
    )
    comment_rate: int = _number(
        0,
        0,
        10_000,
        "How many comments the same author, or the guests of one network, can write within"
        " comment_rate_time; 0 for any number.",
    )
    comment_rate_time: int = _number(
        60, 1, 86_400, "The time of comment_rate, which begins with the first comment."
    )
    reply_depth: int = _number(
        4,
        *REPLY_DEPTHS,
        "Maximum levels of replies; 0 is a flat discussion. A deeper reply is written at the last"
        " level, and remembers which comment it answers.",
    )
    revisions: int = _number(
        20,
        0,
        1000,
        "Maximum revisions that are kept of one comment, the original and the present message"
        " included; the oldest are deleted first. With 0, there is no history.",
    )
    reactions: str = _text(
        "like:👍:Like,heart:❤️:Heart,laugh:😄:Laugh,hooray:🎉:Hooray,surprise:😮:Surprise,sad:😢:Sad",
        "The kinds of reactions to comments in their order, each as name:emoji:label; separated by"
        " commas. Empty for no reactions.",
        check_reactions,
    )
    secret: str = _text(
        "",
        "The key that tokens of viewers are signed with, at least 32 random bytes. Without it no"
        " token is accepted and every viewer is a guest; only a server on its own makes one in"
        " development.",
        check_secret,
        repr=False,
    )
    previous_secret: str = _text(
        "", "The former secret, whose tokens are accepted until they expire.", check_secret, False
    )

    def __post_init__(self) -> None:
        for name, setting in SETTINGS.items():
            setting.validate(getattr(self, name))
        if self.previous_secret and not self.secret:
            raise ConfigurationError(
                f"{SETTINGS['previous_secret']} is set and {SETTINGS['secret']} is not; set both,"
                " or neither."
            )

    @property
    def shows_playground(self) -> bool:
        """Whether there is a playground."""
        return self.environment == "development" if self.playground is None else self.playground

    @property
    def logs_requests(self) -> bool:
        """Whether the server logs a line for each request."""
        if self.access_log == "auto":
            return self.environment == "development"
        return self.access_log == "on"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Read the ``TALLIED_*`` variables of `environ`.

        :raises ConfigurationError: for a value that cannot be used.
        """
        texts = {name: environ.get(s.variable, "").strip() for name, s in SETTINGS.items()}
        return cls(**{name: SETTINGS[name].parse(text) for name, text in texts.items() if text})

    def to_environ(self) -> dict[str, str]:
        """Return the ``TALLIED_*`` variables from which the same settings are read."""
        values = {s.variable: getattr(self, name) for name, s in SETTINGS.items()}
        return {name: "" if value is None else str(value) for name, value in values.items()}


@dataclass(frozen=True)
class Setting:
    """The declaration of one setting."""

    name: str
    default: Any
    text: str
    bounds: tuple[int, int] | None = None
    choices: tuple[str, ...] = ()
    check: Validator | None = None

    def __str__(self) -> str:
        """Return both names: the variable's, and that of the argument of ``Settings(...)``."""
        return f"{self.variable} (Settings.{self.name})"

    @property
    def variable(self) -> str:
        """The environment variable."""
        return f"TALLIED_{self.name.upper()}"

    @property
    def is_switch(self) -> bool:
        """Whether the values are true and false."""
        return isinstance(self.default, bool | None)

    def validate(self, value: Any) -> None:
        """Refuse a value that is not allowed.

        :raises ConfigurationError: which says what is.
        """
        if self.check is not None:
            self.check(str(self), value)
        if self.bounds and not self.bounds[0] <= value <= self.bounds[1]:
            raise self._not_a_number(str(self), value)
        if self.choices and value not in self.choices:
            raise ConfigurationError(f"{self} must be {' or '.join(self.choices)}, not {value!r}.")

    def parse(self, text: str) -> Any:
        """Return the value that the environment variable stands for.

        :raises ConfigurationError: for a text of another type.
        """
        if self.bounds:
            if not (text.isascii() and text.isdigit() and len(text) <= 10):
                raise self._not_a_number(self.variable, text)
            return int(text)
        if not self.is_switch:
            return text
        if text.lower() not in ("true", "1", "false", "0"):
            raise ConfigurationError(f"{self.variable} must be true or false, not {text!r}.")
        return text.lower() in ("true", "1")

    def _not_a_number(self, name: str, value: Any) -> ConfigurationError:
        low, high = self.bounds or (0, 0)
        return ConfigurationError(
            f"{name} must be a whole number from {low} to {high}, not {value!r}."
        )


SETTINGS: Mapping[str, Setting] = {
    field.name: Setting(field.name, field.default, **field.metadata) for field in fields(Settings)
}
"""The declarations by name."""


def assignment(name: str, value: str | bool) -> str:
    """Return how to give a setting that value, in both ways."""
    text = str(value).lower() if isinstance(value, bool) else value
    return f"Settings({name}={value!r}) or {SETTINGS[name].variable}={text}"
