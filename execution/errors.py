"""Errors in responses and in the log.

A client's error is one sentence with a code, and one line in the log at the level INFO; so is a
GraphQLError of a host's resolver, whose message is kept. Any other error is masked, and logged as
an ERROR with its traceback, under an id that the client gets. The id is of one error, and never
chosen by the client; the line has the id of the request as well.
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
from ..error_codes import make_extensions
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
"""The most characters of a client's error in the log."""

MAX_LOGGED_ERRORS = 10
"""The most client errors of one request in the log."""

OUTAGES = frozenset({Busy.code, Unavailable.code})
"""The codes of errors that changed nothing, and after which the same request may succeed."""

UNREADABLE_PAYLOAD = "The change was made, but this could not be read after it; {}."
"""The message for a part of a mutation's payload that could not be read."""


def report_error(error: GraphQLError, *, raised: bool = False) -> dict[str, Any]:
    """Format an error as :func:`format_error` does, and log it if it is a client's."""
    payload = format_error(error, raised=raised)
    if payload["extensions"]["code"] != INTERNAL:
        log_client_error(payload)
    return payload


async def report_errors(
    errors: Sequence[GraphQLError], *, of_mutation: bool
) -> list[dict[str, Any]]:
    """Report the errors of fields, which may be as many as the response has fields.

    The log has the first client errors, and the number of further ones.
    """
    payloads: list[dict[str, Any]] = []
    client_errors = 0
    for error in errors:
        payload = format_error(error, of_mutation=of_mutation)
        payloads.append(payload)
        if payload["extensions"]["code"] != INTERNAL:
            client_errors += 1
            if client_errors <= MAX_LOGGED_ERRORS:
                log_client_error(payload)
        await yield_if_due()
    if client_errors > MAX_LOGGED_ERRORS:
        logger.info("and %d more mistakes in the same request", client_errors - MAX_LOGGED_ERRORS)
    return payloads


def format_error(
    error: GraphQLError, code: str | None = None, *, of_mutation: bool = False, raised: bool = False
) -> dict[str, Any]:
    """Return an error in the form of a response (GraphQL specification, section 7.1.2).

    :param code: the code of an error of the document itself.
    :param of_mutation: whether the operation is a mutation.
    :param raised: whether a resolver has raised it, even if it has no path in the response.
    """
    cause = _cause(error)
    # A host's resolver may use the database in its own way; in a mutation, its effect is unknown.
    if not of_mutation and cause is not None and (failure := classify(cause)):
        cause = translate(failure, cause)
    origin = error.original_error or error  # without the error by which graphql-core locates it
    of_field = raised or _is_of_a_field(error)
    # Below its root field, a mutation reads what it has changed, so no client may send it again.
    changed = of_mutation and len(error.path or ()) > 1
    if isinstance(cause, UserError):
        message = cause.message
        extensions = make_extensions(cause.code, {"field": cause.field} if cause.field else None)
        if changed and isinstance(cause, Busy):
            message = UNREADABLE_PAYLOAD.format("the database was too busy for it")
        elif changed and isinstance(cause, Unavailable):
            message = UNREADABLE_PAYLOAD.format("the database cannot be used at present")
    # The parse_value of a host's scalar raises a ValueError for a client's value.
    elif (code or not of_field) and isinstance(origin, GraphQLError | ValueError):
        message = simplify_message(error.message)
        details = error.extensions or {}
        extensions = make_extensions(details.get("code", code or BAD_USER_INPUT), details)
    elif of_field and isinstance(origin, GraphQLError) and _is_raised_by_host(origin):
        message, extensions = _describe_host_error(origin)
    else:
        masked = mask_error(cause or error, f"at {error.path}")
        if changed:
            reason = f"that has been logged, with the id {masked['extensions']['id']}"
            masked["message"] = UNREADABLE_PAYLOAD.format(reason)
        return {**error.formatted, **masked}
    return {**error.formatted, "message": message, "extensions": extensions}


def mask_error(error: Exception, where: str) -> dict[str, Any]:
    """Log an unexpected error, and return what its client gets.

    :param where: the place of the error, for the log.
    """
    id = secrets.token_hex(8)
    fields = {"error_id": id}
    log_error(logger, "unexpected error %s %s", id, where, error=error, fields=fields)
    return {
        "message": f"Something went wrong on the server; it has been logged, with the id {id}.",
        "extensions": make_extensions(INTERNAL, {"id": id}),
    }


def log_client_error(payload: Mapping[str, Any]) -> None:
    """Log a client's error, as it is in the response, in one line."""
    message = payload["message"]
    short = (
        message
        if len(message) <= MAX_LOGGED_CHARACTERS
        else message[:MAX_LOGGED_CHARACTERS] + "..."
    )
    logger.info("%s: %r", payload["extensions"]["code"], short)


def client_error(code: str, message: str) -> dict[str, Any]:
    """Log and return a client's error that has no place in a document."""
    payload = {"message": message, "extensions": make_extensions(code)}
    log_client_error(payload)
    return payload


def simplify_message(message: str) -> str:
    """Return a message of graphql-core without Python's spellings and without rejected objects."""
    # The error of a host's scalar is one of Python's, and not for clients.
    message = re.sub(r", but encountered error '.*'(?=; found)", "", message, flags=re.DOTALL)
    message = re.sub(r"(, found|(?<=value)): [\[{].*", "", message, flags=re.DOTALL)
    message = message.replace(", found: ", ": ")
    message = message.replace("not to be None", "not to be null")
    return re.sub(r"(?<=: )(True|False|None)$", lambda match: _JSON[match[0]], message)


_JSON = {"True": "true", "False": "false", "None": "null"}


def _describe_host_error(error: GraphQLError) -> tuple[str, dict[str, Any]]:
    """Return the message and the extensions of a GraphQLError of a host's resolver.

    Without a code of its own, it is a veto of the host. An error of a permission class of
    Strawberry's is about the viewer, and Strawberry's own errors are about an argument.
    """
    code = Vetoed.code
    if isinstance(error, StrawberryInputCoercionError):
        code = BAD_USER_INPUT
    elif _module(_last_frame(error)) == strawberry.permission.__name__:
        code = NotAllowed.code
    extensions = {key: value for key, value in (error.extensions or {}).items() if _is_json(value)}
    message = error.message or "The viewer may not do this."
    # A code of the host's own may be spelled like one of ours, and mean something else.
    return message, extensions if "code" in extensions else make_extensions(code, extensions)


def _is_raised_by_host(error: GraphQLError) -> bool:
    """Return whether a resolver has raised `error`, and not graphql-core for a field's result.

    graphql-core raises GraphQLErrors, too, for an Int with more than 32 bits for example. The frame
    that raised it tells them apart; ``complete_value()`` raises errors that a resolver returns.
    """
    frame = _last_frame(error)
    is_core = _module(frame).partition(".")[0] == "graphql"
    return frame is not None and (not is_core or frame.f_code.co_name == "complete_value")


def _last_frame(error: Exception) -> FrameType | None:
    """Return the frame that raised `error`, or None if it was not raised."""
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
    """Return the exception below graphql-core's own errors, or None."""
    cause: Exception | None = error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    return cause


def _is_of_a_field(error: GraphQLError) -> bool:
    """Return whether an error is about a field's result, and not about an input."""
    return bool(error.path and error.nodes and isinstance(error.nodes[0], FieldNode))
