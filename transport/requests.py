"""Reading of GraphQL-over-HTTP requests from HTTP requests and messages."""

from __future__ import annotations

import codecs
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from starlette.datastructures import Headers, QueryParams
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HTTPRequest
from starlette.types import Receive

from ..concurrency.deadlines import Overdue, within
from ..execution.executor import Request
from ..execution.persisted_documents import is_identifier
from ..settings import Settings
from .media_types import is_json
from .request_errors import RequestError, bad_request

CLOSE = {"Connection": "close"}
"""The headers of a response before the end of the body, which the client may still be sending."""

MAX_QUERIES = 500
"""How many queries of URLs are remembered; the last used ones."""

MAX_QUERY_BYTES = 2048
"""The most bytes of a query that is remembered."""


def check_content(headers: Headers) -> None:
    """Reject the headers of a POST whose body cannot be read.

    Only JSON is accepted. No form of a foreign page can send JSON, and a script of it needs a
    preflight (CORS), which is rejected: so no page can act with its visitor's cookies.

    :raises RequestError: in that case.
    """
    if not is_json(headers.get("content-type", "")):
        raise RequestError(
            415,
            "UNSUPPORTED_MEDIA_TYPE",
            "Send the request as JSON in UTF-8, with Content-Type: application/json.",
        )
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise RequestError(
            415,
            "UNSUPPORTED_MEDIA_TYPE",
            "Send the request's body as it is, without a Content-Encoding.",
            {"Accept-Encoding": "identity"},
        )


async def read_body(request: HTTPRequest, settings: Settings) -> Request:
    """Return the request in the body of a POST whose headers have passed :func:`check_content`.

    :raises RequestError: for a body that is not JSON or no GraphQL-over-HTTP request, and for one
        that is too large or too slow.
    """
    try:
        headers, limit = request.scope["headers"], settings.body_size
        body = await within(settings.body_time, _read(request.receive, headers, limit))
    except Overdue as error:
        raise RequestError(
            408,
            "REQUEST_TIMEOUT",
            f"The request's body must be sent within {settings.body_time} seconds.",
            CLOSE,
        ) from error
    return parse_request(_loads(body, "The request's body"))


class QueryStrings:
    """The requests in the URLs of GETs, of which the last used ones are remembered."""

    def __init__(self) -> None:
        self._requests: OrderedDict[bytes, Request] = OrderedDict()

    def read(self, query: bytes) -> Request:
        """Return the request in the query of a URL.

        :raises RequestError: for a URL without a GraphQL-over-HTTP request.
        """
        request = self._requests.get(query)
        if request is None:
            request = _read_query(query)
            if len(query) <= MAX_QUERY_BYTES:
                self._requests[query] = request
                if len(self._requests) > MAX_QUERIES:
                    self._requests.popitem(last=False)
        else:
            self._requests.move_to_end(query)
        return request


def _read_query(query: bytes) -> Request:
    parameters: dict[str, Any] = {}
    for name, text in QueryParams(query).multi_items():
        if name in parameters:
            raise bad_request(f"The parameter {name[:50]} is given more than once.")
        parameters[name] = text
    for name in ("variables", "extensions"):
        if name in parameters:
            parameters[name] = (
                _loads(parameters[name], f"The parameter {name}") if parameters[name] else None
            )
    # An empty optional parameter is the same as none.
    return parse_request(
        {name: value for name, value in parameters.items() if value != "" or name == "query"}
    )


async def _read(receive: Receive, headers: Iterable[tuple[bytes, bytes]], limit: int) -> bytes:
    for name, length in headers:
        if name == b"content-length" and length.isdigit():
            if len(length) > 20 or int(length) > limit:
                raise _too_large(limit)
            break
    whole: bytearray | None = None
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        if whole is not None or more:
            whole = bytearray() if whole is None else whole
            whole += body
        if len(body if whole is None else whole) > limit:
            raise _too_large(limit)
        if not more:
            return body if whole is None else bytes(whole)


def _too_large(limit: int) -> RequestError:
    sentence = f"The request's body must have at most {limit} bytes."
    return RequestError(413, "CONTENT_TOO_LARGE", sentence, CLOSE)


def _loads(text: bytes | str, what: str) -> Any:
    """Return the value of strict JSON (RFC 8259): without NaN, infinity, or too deep nesting."""
    try:
        return orjson.loads(text)
    except ValueError as error:
        raise bad_request(f"{what} {describe_json_fault(text)}") from error


def describe_json_fault(text: bytes | str) -> str:
    """Return the error of a text that is not JSON, as the end of a sentence.

    It names a byte order mark, which editors and Windows tools write, and which is invisible.
    RFC 8259, section 8.1, forbids it.
    """
    start = text[:4] if isinstance(text, bytes) else text[:4].encode(errors="replace")
    if start.startswith(codecs.BOM_UTF8):
        return "begins with a byte order mark (U+FEFF); send the JSON without it."
    if start.startswith((codecs.BOM_UTF16_BE, codecs.BOM_UTF16_LE)):
        return "is in UTF-16 or UTF-32; send JSON in UTF-8."
    return "is not valid JSON in UTF-8."


def parse_request(content: Any) -> Request:
    """Return the request in a client's JSON.

    :raises RequestError: for a value that is not a GraphQL-over-HTTP request.
    """
    if not isinstance(content, dict):
        raise bad_request('Send one JSON object, such as {"query": "{ __typename }"}.')
    for name, value in content.items():
        if value is not None and name in _SHAPES and not isinstance(value, _SHAPES[name][0]):
            sentence = f"{name} must be {_SHAPES[name][1]}, not {_describe_type(value)}."
            raise bad_request(sentence)
    query, id = content.get("query"), content.get("documentId")
    if id is not None and not is_identifier(id):
        raise bad_request(
            "documentId must be a document identifier, such as sha256: and 64 hexadecimal digits."
        )
    if id is None and content.get("extensions"):
        id = _apollo_hash(content["extensions"])
    if query is None and id is None:
        raise bad_request("query must be a string: the GraphQL document.")
    return Request(
        query,
        content.get("variables"),
        content.get("operationName") or None,
        id,
    )


def _describe_type(value: Any) -> str:
    """Return the type of a JSON value in words; the value itself may be secret."""
    if value == "":
        return "an empty string; leave it out where there is none"
    return _KINDS.get(type(value), "a number")


_KINDS = {bool: "a boolean", str: "a string", list: "an array", dict: "an object"}


def _apollo_hash(extensions: dict[str, Any]) -> str | None:
    """Return the identifier in Apollo's extension for automatic persisted queries."""
    extension = extensions.get("persistedQuery")
    if extension is None:
        return None
    hash_ = extension.get("sha256Hash") if isinstance(extension, dict) else None
    if (
        not isinstance(hash_, str)
        or not isinstance(extension, dict)
        or extension.get("version") != 1
    ):
        raise bad_request('extensions.persistedQuery must be {"version": 1, "sha256Hash": "..."}.')
    if not re.fullmatch("[0-9a-fA-F]{64}", hash_):
        raise bad_request("extensions.persistedQuery.sha256Hash must be 64 hexadecimal digits.")
    return f"sha256:{hash_.lower()}"


_SHAPES: Mapping[str, tuple[type, str]] = {
    "query": (str, "a string: the GraphQL document"),
    "documentId": (str, "a string: the id of a persisted document"),
    "variables": (dict, "an object: the variables by their names"),
    "operationName": (str, "a string: the name of one of the document's operations"),
    "extensions": (dict, "an object"),
}
