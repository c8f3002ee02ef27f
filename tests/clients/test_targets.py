"""Objects of a host in the caches of clients, which tell objects apart by type and id."""

from __future__ import annotations

import asyncio

import pytest
from support.host import about, titles
from support.sockets import site

from tallied.database import Database
from tallied.host.targets import Target

from .conftest import Programs

MAKE = """mutation($i: ThreadForInput!) {
    threadFor(input: $i) { thread { id } userErrors { message } } }"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["sqlite"])
@pytest.mark.parametrize("client", ["apollo", "urql"])
async def test_kinds_of_targets_stay_apart_in_caches(
    programs: Programs, database: Database, client: str
) -> None:
    kinds = ("photo", "article")
    async with site(database, targets=[Target(kind, titles) for kind in kinds]) as server:
        for kind in kinds:
            body = {"query": MAKE, "variables": {"i": about(kind, 7)}}
            answer = await server.post(body)
            assert answer["data"]["threadFor"]["userErrors"] == []
        url = f"http://{server.host}/graphql"
        passed = await asyncio.to_thread(programs.test, f"{client}/targets.js", TALLIED_URL=url)
    assert list(passed.values()) == [True]
