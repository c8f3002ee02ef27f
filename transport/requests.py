"""From an HTTP request to the GraphQL-over-HTTP request that it carries, or why it does not."""

from __future__ import annotations

import asyncio
import codecs
import re
from typing import Any

import orjson
from starlette.requests import Request as HTTPRequest

from ..execution.errors import BAD_REQUEST
from ..execution.executor import Request
from ..execution.persisted_documents import is_identifier
from ..settings import Settings
from .media_types import is_json
from .request_errors import RequestError

CLOSE = {"Connection": "close"}
"""Sent where the rest of a body is not wanted, which the client may be sending still."""


async def read_body(request: HTTPRequest, settings: Settings) -> Request:
    """The request in a POST's body.

    JSON alone is taken. No form of a foreign page can send that, and its scripts have to ask
    first (CORS), which is not answered: so no page can act with its visitor's cookies.

    :raises RequestError: for what is no JSON, no GraphQL-over-HTTP request, too large or too slow.
    """
    if not is_json(request.headers.get("content-type", "")):
        raise RequestError(
            415,
            "UNSUPPORTED_MEDIA_TYPE",
            "Send the request as JSON in UTF-8, with Content-Type: application/json.",
        )
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise RequestError(
            415,
            "UNSUPPORTED_MEDIA_TYPE",
            "Send the request's body as it is, without a Content-Encoding.",
            {"Accept-Encoding": "identity"},
        )
    try:
        async with asyncio.timeout(settings.body_time):
            body = await _read(request, settings.body_size)
    except TimeoutError as error:
        raise RequestError(
            408,
            "REQUEST_TIMEOUT",
            f"The request's body must be sent within {settings.body_time} seconds.",
            CLOSE,
        ) from error
    return parse_request(_loads(body, "The request's body"))


def read_query(request: HTTPRequest) -> Request:
    """The request in a GET's address.

    :raises RequestError: for what is no GraphQL-over-HTTP request.
    """
    given: dict[str, Any] = {}
    for name, text in request.query_params.multi_items():
        if name in given:
            raise RequestError(
                400, BAD_REQUEST, f"The parameter {name[:50]} is given more than once."
            )
        given[name] = text
    for name in ("variables", "extensions"):
        if name in given:
            given[name] = _loads(given[name], f"The parameter {name}") if given[name] else None
    # An optional parameter that is empty is as good as none.
    return parse_request(
        {name: value for name, value in given.items() if value != "" or name == "query"}
    )


async def _read(request: HTTPRequest, limit: int) -> bytes:
    too_large = RequestError(
        413, "CONTENT_TOO_LARGE", f"The request's body must have at most {limit} bytes.", CLOSE
    )
    length = request.headers.get("content-length", "0")
    if length.isascii() and length.isdigit() and (len(length) > 20 or int(length) > limit):
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise too_large
    return bytes(body)


def _loads(text: bytes | str, what: str) -> Any:
    """Strict JSON (RFC 8259): no NaN, nothing too deep, no number that is infinite."""
    try:
        return orjson.loads(text)
    except ValueError as error:
        raise RequestError(400, BAD_REQUEST, f"{what} {describe_json_fault(text)}") from error


def describe_json_fault(text: bytes | str) -> str:
    """Return what is wrong with a text that is no JSON, as the end of a sentence.

    A byte order mark is named: editors and Windows tools write it, and nobody sees it. RFC 8259,
    section 8.1, forbids it.
    """
    start = text[:4] if isinstance(text, bytes) else text[:4].encode(errors="replace")
    if start.startswith(codecs.BOM_UTF8):
        return "begins with a byte order mark (U+FEFF); send the JSON without it."
    if start.startswith((codecs.BOM_UTF16_BE, codecs.BOM_UTF16_LE)):
        return "is in UTF-16 or UTF-32; send JSON in UTF-8."
    return "is not valid JSON in UTF-8."


def parse_request(given: Any) -> Request:
    """The request that a client's JSON is.

    :raises RequestError: for what is no GraphQL-over-HTTP request.
    """
    if not isinstance(given, dict):
        raise RequestError(
            400, BAD_REQUEST, 'Send one JSON object, such as {"query": "{ __typename }"}.'
        )
    for name, type_, shape in _SHAPES:
        value = given.get(name)
        if value is not None and not isinstance(value, type_):
            says = f"{name} must be {shape}, not {_kind(value)}."
            raise RequestError(400, BAD_REQUEST, says)
    query, id = given.get("query"), given.get("documentId")
    if id is not None and not is_identifier(id):
        raise RequestError(
            400,
            BAD_REQUEST,
            "documentId must be a document identifier, such as sha256: and 64 hexadecimal digits.",
        )
    id = id or _hash_of_apollo(given.get("extensions") or {})
    if query is None and id is None:
        raise RequestError(400, BAD_REQUEST, "query must be a string: the GraphQL document.")
    return Request(
        query,
        given.get("variables"),
        given.get("operationName") or None,
        id,
    )


def _kind(value: Any) -> str:
    """Return what a value of JSON is; never the value itself, which may be secret."""
    if value == "":
        return "an empty string; leave it out where there is none"
    return _KINDS.get(type(value), "a number")


_KINDS = {bool: "a boolean", str: "a string", list: "an array", dict: "an object"}


def _hash_of_apollo(extensions: dict[str, Any]) -> str | None:
    """The identifier in Apollo's extension for automatic persisted queries."""
    given = extensions.get("persistedQuery")
    if given is None:
        return None
    hash_ = given.get("sha256Hash") if isinstance(given, dict) else None
    if not isinstance(hash_, str) or not isinstance(given, dict) or given.get("version") != 1:
        raise RequestError(
            400,
            BAD_REQUEST,
            'extensions.persistedQuery must be {"version": 1, "sha256Hash": "..."}.',
        )
    if not re.fullmatch("[0-9a-fA-F]{64}", hash_):
        raise RequestError(
            400, BAD_REQUEST, "extensions.persistedQuery.sha256Hash must be 64 hexadecimal digits."
        )
    return f"sha256:{hash_.lower()}"


_SHAPES: tuple[tuple[str, type, str], ...] = (
    ("query", str, "a string: the GraphQL document"),
    ("documentId", str, "a string: the id of a persisted document"),
    ("variables", dict, "an object: the variables by their names"),
    ("operationName", str, "a string: the name of one of the document's operations"),
    ("extensions", dict, "an object"),
)
