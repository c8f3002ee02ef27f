"""How errors are told: to the client with a code, to the log as far as it must know.

A client's mistake is one sentence and a code, and one line in the log at the level
INFO. Whatever else goes wrong is masked, and logged as an ERROR with its traceback.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from graphql import FieldNode, GraphQLError

from ..errors import BadUserInput, UserError

logger = logging.getLogger("tallied.api")

PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
BAD_REQUEST = "BAD_REQUEST"
METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
BAD_USER_INPUT = BadUserInput.code
INTERNAL = "INTERNAL_SERVER_ERROR"

MASK = "Something went wrong on the server; it has been logged."


def report(error: GraphQLError, code: str | None = None) -> dict[str, Any]:
    """An error as the response carries it (GraphQL specification, section 7.1.2).

    :param code: the code of an error of the document itself.
    """
    cause = _cause(error)
    extensions: dict[str, Any] = {}
    if isinstance(cause, UserError):
        message, extensions["code"] = cause.message, cause.code
        if cause.field:
            extensions["field"] = cause.field
    elif cause is None and (code or not _is_of_a_field(error)):
        message = plain(error.message)
        extensions = {"code": code or BAD_USER_INPUT, **(error.extensions or {})}
    else:
        logger.error("unexpected error at %s", error.path, exc_info=cause or error)
        message, extensions["code"] = MASK, INTERNAL
    if extensions["code"] != INTERNAL:
        logger.info("%s: %r", extensions["code"], message)
    told = error.formatted
    return {**told, "message": message, "extensions": extensions}


def plain(message: str) -> str:
    """A message of graphql-core without its Python spellings, and without rejected objects."""
    message = re.sub(r"(, found|(?<=value)): [\[{].*", "", message, flags=re.DOTALL)
    message = message.replace(", found: ", ": ")
    message = message.replace("not to be None", "not to be null")
    return re.sub(r"(?<=: )(True|False|None)$", lambda found: _JSON[found[0]], message)


_JSON = {"True": "true", "False": "false", "None": "null"}


def _cause(error: GraphQLError) -> Exception | None:
    """The exception below graphql-core's own ones; None where there is none."""
    cause: Exception | None = error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    return cause


def _is_of_a_field(error: GraphQLError) -> bool:
    """Whether graphql-core found fault with a field's result, and not with an input."""
    return bool(error.path and error.nodes and isinstance(error.nodes[0], FieldNode))
