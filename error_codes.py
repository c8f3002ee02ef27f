"""The codes of all errors that clients see, with what ``docs/reference/error-codes.md`` says.

Those of ``userErrors`` are in :class:`~tallied.schema.payloads.UserErrorCode`, too, with the
same descriptions.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from .documentation import find_page


class Description(NamedTuple):
    """What a code means, and what a client can do about it, in sentences of Markdown."""

    meaning: str
    remedy: str = ""


CODES: dict[str, Description] = {
    "NOT_FOUND": Description(
        "The object that the field names does not exist. It may have been deleted.",
        "Read the list that it was in again.",
    ),
    "BLANK": Description("The text is empty or has no visible character.", "Write at least one."),
    "TOO_LONG": Description(
        "The text is longer than the maximum length.",
        "Shorten it from params.actual to params.max characters.",
    ),
    "INVALID_CHARACTERS": Description(
        "The text contains a character that is not allowed, such as U+0000. A name or a title may "
        "contain no control character at all.",
        "Remove params.character.",
    ),
    "SIGN_IN_REQUIRED": Description("Guests may not do this.", "Sign in first."),
    "NOT_ALLOWED": Description(
        "The viewer may not do this.", "Fields such as viewerCanEdit predict this."
    ),
    "LOCKED": Description(
        "The thread is locked, and accepts no more comments.",
        "Hide the form while viewerCanComment is false.",
    ),
    "NOT_RESTORABLE": Description(
        "The text of the deleted comment is not kept any more.",
        "Offer this only while viewerCanRestore is true.",
    ),
    "NOT_MOVABLE": Description(
        "The comment cannot be moved there: below itself, so that its replies would be too deep, "
        "or with too many replies.",
        "Move it elsewhere.",
    ),
    "VETOED": Description(
        "The host has rejected the change, for the reason in message.", "Show the message."
    ),
    "UNKNOWN_TARGET_TYPE": Description(
        "The host has not registered this kind of object.", "Use a kind that it has registered."
    ),
    "CONFLICT": Description(
        "The object has been changed since the client read it. Some payloads have it as it is now.",
        "Show the change to the user, who decides.",
    ),
    "RATE_LIMITED": Description(
        "The viewer has written too many comments within a short time.",
        "Wait for params.seconds.",
    ),
    "REPEATED_TEXT": Description(
        "The viewer has written the same text just before.", "Write another text."
    ),
    "UNKNOWN_REACTION": Description(
        "The server has no such kind of reaction.", "Query.reactionKinds lists them."
    ),
    "BAD_USER_INPUT": Description(
        "A query has an invalid id, cursor, size or scalar. `extensions.field` names it.",
        "Follow the message.",
    ),
    "UNAUTHENTICATED": Description(
        "The request's token is invalid, or its `Authorization` header cannot be read.",
        "Get a new token, or send none.",
    ),
    "GRAPHQL_PARSE_FAILED": Description("The document is not GraphQL.", "Correct the document."),
    "GRAPHQL_VALIDATION_FAILED": Description(
        "The document does not fit the schema.", "Correct the document."
    ),
    "LIMIT_EXCEEDED": Description(
        "The document or the operation exceeds a limit. `extensions.limit` and "
        "`extensions.maximum` name it.",
        "Ask for less.",
    ),
    "BAD_REQUEST": Description(
        "The request is not one of GraphQL over HTTP, or it does not say which operation to run.",
        "Correct the request.",
    ),
    "PATH_NOT_FOUND": Description(
        "A standalone server has nothing at this path.", "Use the path that the message names."
    ),
    "PERSISTED_QUERY_NOT_FOUND": Description(
        "The server knows no document with this id.",
        "Send the document as well, as clients with APQ do.",
    ),
    "PERSISTED_QUERY_NOT_SUPPORTED": Description(
        "The server stores no documents of clients.", "Send the document."
    ),
    "DOCUMENT_NOT_ALLOWED": Description(
        "The server executes only the documents of its list.", "Add the document to the list."
    ),
    "METHOD_NOT_ALLOWED": Description(
        "The path takes only the methods in the `Allow` header, and a mutation only POST.",
        "Use POST for operations.",
    ),
    "HOST_NOT_ALLOWED": Description(
        "The server does not allow the name in the request's `Host` header.",
        "Add the name to `TALLIED_ALLOWED_HOSTS`.",
    ),
    "ORIGIN_NOT_ALLOWED": Description(
        "A page of another origin has sent a preflight, opened a WebSocket, or sent a POST that "
        "could change something.",
        "Add the origin to `TALLIED_ORIGINS`.",
    ),
    "NOT_ACCEPTABLE": Description(
        "`Accept` allows none of the media types of the server.", "Accept one of them."
    ),
    "UNSUPPORTED_MEDIA_TYPE": Description(
        "The body is not uncompressed `application/json` in UTF-8.", "Send JSON."
    ),
    "CONTENT_TOO_LARGE": Description("The body has too many bytes.", "Send less."),
    "REQUEST_TIMEOUT": Description(
        "The headers or the body took too long to arrive.", "Send the request again."
    ),
    "URI_TOO_LONG": Description("The address has too many bytes.", "Use POST."),
    "HEADERS_TOO_LARGE": Description("The headers have too many bytes.", "Send less."),
    "BUSY": Description(
        "The database had no room for the request.",
        "Try again. After a mutation, look first whether the change was made.",
    ),
    "UNAVAILABLE": Description(
        "The database cannot be used at present.",
        "Try again after `Retry-After` seconds, or later. After a mutation, look first whether "
        "the change was made.",
    ),
    "OUTCOME_UNKNOWN": Description(
        "The database was lost while it committed a mutation. The change may have been made.",
        "Look whether it was made, and only then send it again.",
    ),
    "OVERLOADED": Description(
        "The server executes its maximum number of requests.",
        "Try again after `Retry-After` seconds.",
    ),
    "TOO_MANY_CONNECTIONS": Description(
        "The client's address has its maximum number of connections or WebSockets open.",
        "Close one, or try again later.",
    ),
    "TIMEOUT": Description(
        "The request took too long, and was stopped. The message says whether a change was made.",
        "Ask for less.",
    ),
    "INTERNAL_SERVER_ERROR": Description(
        "The server has a bug, or something that it needs has failed. Its log has `extensions.id`.",
        "Report the id.",
    ),
}


def anchor_of(code: str) -> str:
    """Return the anchor of a code on the page of all codes."""
    return code.lower().replace("_", "-")


def make_extensions(code: str, values: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the ``extensions`` of an error: its code, where that is described, and `values`.

    A code of the host's own is described nowhere.
    """
    is_ours = isinstance(code, str) and code in CODES  # a host's may be of any type
    page = {"documentation": _find_description(code)} if is_ours else {}
    return {"code": code, **page, **(values or {})}


@cache
def _find_description(code: str) -> str:
    return find_page("reference/error-codes", anchor_of(code))
