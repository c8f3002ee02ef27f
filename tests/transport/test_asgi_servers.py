"""Scopes of other ASGI servers: the optional keys left out, and lists in the place of tuples."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tallied.asgi import create_app
from tallied.database import Database
from tallied.settings import Settings


@pytest.mark.parametrize(
    "keys",
    [{"scheme": "http", "server": ["127.0.0.1", 8000]}, {"scheme": "http"}, {}],
    ids=["list", "no server", "no scheme"],
)
async def test_post_is_answered_whatever_form_scope_has(
    database: Database, keys: dict[str, Any]
) -> None:
    app, sent = create_app(Settings(guests="read"), database), []
    body = json.dumps({"query": "{ threads { totalCount } }"}).encode()
    headers = [[b"host", b"127.0.0.1:8000"], [b"content-type", b"application/json"]]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/graphql", "query_string": b""}
    await app({**scope, "headers": headers, **keys}, receive, send)
    assert sent[0]["status"] == 200
    assert json.loads(sent[1]["body"])["data"] == {"threads": {"totalCount": 0}}
