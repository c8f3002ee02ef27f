"""The API with popular clients, against real servers on each database."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TypeAlias

import jwt
import pytest
from support.server import Server

from tallied.auth.tokens import encode_token
from tallied.auth.viewer import Viewer

from .conftest import SECRET, Programs

Serve: TypeAlias = Callable[[], Server]

ALL = {
    "query with variables",
    "mutation",
    "pagination forwards",
    "pagination backwards",
    "lists in another order, or filtered otherwise, are other lists",
    "userErrors",
    "a network error",
}
BESIDES = {
    "apollo": {
        "an APQ round trip",
        "top-level errors",
        "a record that is not there is null",
        "a viewer's comment is in the list at once, and in the viewer's numbers",
        "an appended comment stays at the end while more pages load",
        "a page that was read before a comment was appended does not remove it",
        "a comment that a page has brought before its mutation is there once",
        "objects without an id are kept without a warning",
    },
    "urql": {
        "an APQ round trip",
        "top-level errors",
        "a viewer's comment is in the list, and in the viewer's numbers",
        "a comment that a page has brought before its mutation is there once",
        "objects without an id are kept without a warning",
    },
    "relay": {
        "a new thread comes first",
        "a deleted id leaves the list",
        "a viewer's comment is in the viewer's numbers",
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("client", BESIDES)
def test_client_works(programs: Programs, server: Server, client: str) -> None:
    """Relay's documents by the ids that its compiler has listed, the others' by APQ."""
    token = encode_token(SECRET, Viewer(client, "Ada"), timedelta(hours=1))
    url = f"{server.url}/graphql"
    passed = programs.test(f"{client}/contract.js", TALLIED_URL=url, TALLIED_TOKEN=token)
    assert passed.keys() >= ALL | BESIDES[client]
    assert all(passed.values())
    assert "Traceback" not in server.printed


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["sqlite"])
def test_relays_documents_are_all_that_runs(
    programs: Programs, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    title = "What the list allows"
    serve().ask(
        "mutation($t: String!) { createThread(input: {title: $t}) { thread { id } } }", t=title
    )
    monkeypatch.setenv("TALLIED_PERSISTED_DOCUMENTS", str(programs.persisted))
    monkeypatch.setenv("TALLIED_ONLY_PERSISTED", "true")
    url = f"{serve().url}/graphql"
    passed = programs.test("relay/allowlist.js", TALLIED_URL=url, TALLIED_TITLE=title)
    assert len(passed) == 3


@pytest.mark.slow
def test_graphql_ws_works(
    programs: Programs, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TALLIED_SECRET", SECRET)
    server = serve()
    claims = {"iss": "tallied", "aud": "tallied", "sub": "user-1", "name": "Ada"}
    # The server allows clocks to be 10 seconds apart.
    seconds = 5
    short = jwt.encode({**claims, "exp": time.time() - 10 + seconds}, SECRET, "HS256")
    passed = programs.test(
        "socket/contract.js",
        TALLIED_URL=f"{server.url}/graphql",
        TALLIED_TOKEN=encode_token(SECRET, Viewer("user-1", "Ada"), timedelta(hours=1)),
        TALLIED_SHORT_TOKEN=short,
        TALLIED_SHORT_TIME=str(seconds * 1000),
    )
    assert passed.keys() == {
        "query with variables",
        "mutation",
        "top-level errors",
        "a token that is refused",
        "a token that expires is replaced, and nobody notices",
    }
    assert all(passed.values())
    assert "Traceback" not in server.printed


@pytest.mark.slow
def test_relays_compiler_lists_every_document(programs: Programs) -> None:
    listed = json.loads(programs.persisted.read_text("utf-8")).values()
    for name in ("contractThreadQuery", "contractAddCommentMutation", "allowlistQuery"):
        assert any(f" {name}(" in document for document in listed)
