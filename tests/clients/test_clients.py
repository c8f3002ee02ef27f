"""The API with the clients that people use, against a real server on each database."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.server import Server

from .conftest import Programs

ALL = {
    "query with variables",
    "mutation",
    "pagination forwards",
    "pagination backwards",
    "userErrors",
    "a network error",
}
CLIENTS = ("apollo", "urql", "relay")


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_works(programs: Programs, serve: Callable[[], Server], client: str) -> None:
    server = serve()
    passed = programs.test(f"{client}/contract.js", TALLIED_URL=f"{server.url}/graphql")
    assert passed.keys() >= ALL
    assert all(passed.values())
    assert "Traceback" not in server.printed
