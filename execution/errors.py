"""How errors are told: to the client with a code, to the log as far as it must know.

A client's mistake is one sentence and a code, and one line in the log at the level
INFO; so is a GraphQLError that a host's resolver raises, which is told as it is. Whatever else
goes wrong is masked, and logged as an ERROR with its traceback, under an id that the client is
told. That id is of one error, and never a client's own; its line has the id of the request as well.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections import deque
from collections.abc import Mapping, Sequence
from traceback import walk_tb
from types import FrameType
from typing import Any

import orjson
import strawberry.permission
from graphql import FieldNode, GraphQLError
from strawberry.exceptions import StrawberryInputCoercionError

from ..concurrency.scheduler import yield_if_due
from ..database.failures import classify, translate
from ..errors import (
    BadUserInput,
    Busy,
    NotAllowed,
    Unavailable,
    UserError,
    Vetoed,
)
from ..logs.errors import log_error

logger = logging.getLogger("tallied.api")

PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
BAD_REQUEST = "BAD_REQUEST"
METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
BAD_USER_INPUT = BadUserInput.code
INTERNAL = "INTERNAL_SERVER_ERROR"

MAX_LOGGED_CHARACTERS = 500
"""How many characters of a client's mistake the log takes."""

MAX_LOGGED_ERRORS = 10
"""How many mistakes of one request the log takes."""

OUTAGES = frozenset({Busy.code, Unavailable.code})
"""The codes of errors after which nothing was changed, and the same request may succeed."""

UNREADABLE_PAYLOAD = "The change was made, but this could not be read after it; {}."
"""What a client is told of a part of a mutation's payload."""


def report_error(
    error: GraphQLError, code: str | None = None, *, of_mutation: bool = False, raised: bool = False
) -> dict[str, Any]:
    """:func:`describe` an error, and log it if it is a client's mistake."""
    told = format_error(error, code, of_mutation=of_mutation, raised=raised)
    if told["extensions"]["code"] != INTERNAL:
        log_client_error(told)
    return told


async def report_errors(
    errors: Sequence[GraphQLError], *, of_mutation: bool
) -> list[dict[str, Any]]:
    """:func:`report` the errors of fields, which may be as many as the answer has fields.

    The log takes the first of a client's mistakes, and how many more there were.
    """
    told: list[dict[str, Any]] = []
    mistakes = 0
    for error in errors:
        told.append(format_error(error, of_mutation=of_mutation))
        if told[-1]["extensions"]["code"] != INTERNAL:
            mistakes += 1
            if mistakes <= MAX_LOGGED_ERRORS:
                log_client_error(told[-1])
        await yield_if_due()
    if mistakes > MAX_LOGGED_ERRORS:
        logger.info("and %d more mistakes in the same request", mistakes - MAX_LOGGED_ERRORS)
    return told


def format_error(
    error: GraphQLError, code: str | None = None, *, of_mutation: bool = False, raised: bool = False
) -> dict[str, Any]:
    """An error as the response carries it (GraphQL specification, section 7.1.2).

    :param code: the code of an error of the document itself.
    :param of_mutation: whether the operation is a mutation.
    :param raised: whether a resolver has raised it, also where it has no place in the answer.
    """
    cause = _cause(error)
    # A host's resolver may ask the database in its own way; what it has changed, nobody knows.
    if not of_mutation and cause is not None and (failure := classify(cause)):
        cause = translate(failure, cause)
    origin = error.original_error or error  # below the one by which graphql-core locates it
    of_field = raised or _is_of_a_field(error)
    # Below its root field, a mutation reads what it has changed: nobody must send it again.
    changed = of_mutation and len(error.path or ()) > 1
    extensions: dict[str, Any] = {}
    if isinstance(cause, UserError):
        message, extensions["code"] = cause.message, cause.code
        if cause.field:
            extensions["field"] = cause.field
        if changed and isinstance(cause, Busy):
            message = UNREADABLE_PAYLOAD.format("the database was too busy for it")
        elif changed and isinstance(cause, Unavailable):
            message = UNREADABLE_PAYLOAD.format("the database cannot be used at present")
    # A ValueError is what the parse_value of a host's scalar raises for a client's value.
    elif (code or not of_field) and isinstance(origin, GraphQLError | ValueError):
        message = simplify_message(error.message)
        extensions = {"code": code or BAD_USER_INPUT, **(error.extensions or {})}
    elif of_field and isinstance(origin, GraphQLError) and _is_raised_by_host(origin):
        message, extensions = _describe_host_error(origin)
    else:
        masked = mask_error(cause or error, f"at {error.path}")
        if changed:
            says = f"that has been logged, with the id {masked['extensions']['id']}"
            masked["message"] = UNREADABLE_PAYLOAD.format(says)
        return {**error.formatted, **masked}
    return {**error.formatted, "message": message, "extensions": extensions}


def mask_error(error: Exception, where: str) -> dict[str, Any]:
    """What a client is told of an error that is not its own; the rest is for the log.

    :param where: where it happened, for the log.
    """
    id = secrets.token_hex(8)
    fields = {"error_id": id}
    log_error(logger, "unexpected error %s %s", id, where, error=error, fields=fields)
    return {
        "message": f"Something went wrong on the server; it has been logged, with the id {id}.",
        "extensions": {"code": INTERNAL, "id": id},
    }


def log_client_error(told: Mapping[str, Any]) -> None:
    """Log a client's mistake, as it was told of it, in one line."""
    message = told["message"]
    short = (
        message
        if len(message) <= MAX_LOGGED_CHARACTERS
        else message[:MAX_LOGGED_CHARACTERS] + "..."
    )
    logger.info("%s: %r", told["extensions"]["code"], short)


def client_error(code: str, message: str) -> dict[str, Any]:
    """An error that has no place in a document; logged like any."""
    told = {"message": message, "extensions": {"code": code}}
    log_client_error(told)
    return told


def simplify_message(message: str) -> str:
    """A message of graphql-core without its Python spellings, and without rejected objects."""
    # What the parse_value of a host's scalar has raised, which is Python's and not for clients.
    message = re.sub(r", but encountered error '.*'(?=; found)", "", message, flags=re.DOTALL)
    message = re.sub(r"(, found|(?<=value)): [\[{].*", "", message, flags=re.DOTALL)
    message = message.replace(", found: ", ": ")
    message = message.replace("not to be None", "not to be null")
    return re.sub(r"(?<=: )(True|False|None)$", lambda found: _JSON[found[0]], message)


_JSON = {"True": "true", "False": "false", "None": "null"}


def _describe_host_error(error: GraphQLError) -> tuple[str, dict[str, Any]]:
    """The message and the extensions of a GraphQLError that is meant for the client.

    Where it has no code of its own, its message is what the host wants; that of a permission
    class of Strawberry's is about the viewer, and Strawberry's own are about an argument.
    """
    code = Vetoed.code
    if isinstance(error, StrawberryInputCoercionError):
        code = BAD_USER_INPUT
    elif _module(_last_frame(error)) == strawberry.permission.__name__:
        code = NotAllowed.code
    given = {key: value for key, value in (error.extensions or {}).items() if _is_json(value)}
    message = error.message or "The viewer may not do this."
    return message, {"code": code, **given}


def _is_raised_by_host(error: GraphQLError) -> bool:
    """Return whether a resolver has raised `error`, and not graphql-core, of a field's result.

    graphql-core raises those likewise, such as that of an Int with more than 32 bits. They are told
    apart by where they were raised; ``complete_value()`` raises what a resolver returns.
    """
    frame = _last_frame(error)
    is_core = _module(frame).partition(".")[0] == "graphql"
    return frame is not None and (not is_core or frame.f_code.co_name == "complete_value")


def _last_frame(error: Exception) -> FrameType | None:
    """The frame that has raised `error`; None where nothing has."""
    last = deque(walk_tb(error.__traceback__), maxlen=1)
    return last[0][0] if last else None


def _module(frame: FrameType | None) -> str:
    return "" if frame is None else str(frame.f_globals.get("__name__", ""))


def _is_json(value: object) -> bool:
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return True


def _cause(error: GraphQLError) -> Exception | None:
    """The exception below graphql-core's own ones; None where there is none."""
    cause: Exception | None = error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    return cause


def _is_of_a_field(error: GraphQLError) -> bool:
    """Whether graphql-core found fault with a field's result, and not with an input."""
    return bool(error.path and error.nodes and isinstance(error.nodes[0], FieldNode))
