"""Requests to an ASGI application, without a socket or an HTTP client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson
from starlette.types import ASGIApp, Message


class JSONResponse(NamedTuple):
    """The status and the body of a response."""

    status: int
    body: Any


async def post_json(
    app: ASGIApp, host: str, path: str, content: Any, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Send a POST request with a JSON body, and return the response, whose body is JSON.

    An httpx client takes longer for a request than most operations.
    """
    body = json.dumps(content).encode()  # as large a number as a test likes
    names = {
        "host": host,
        "accept": "*/*",
        "content-type": "application/json",
        "content-length": str(len(body)),
        **(headers or {}),
    }
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "headers": [(name.encode(), value.encode()) for name, value in names.items()],
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "server": (host, None),
        "client": ("127.0.0.1", 123),
        "root_path": "",
    }
    requests: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    responses: list[Message] = []
    is_complete = asyncio.Event()

    async def receive() -> Message:
        if requests:
            return requests.pop()
        await is_complete.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        responses.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            is_complete.set()

    await app(scope, receive, send)
    start, *parts = responses
    return JSONResponse(
        start["status"], orjson.loads(b"".join(part.get("body", b"") for part in parts))
    )
