"""How a developer sees which operations are executed by plans."""

from __future__ import annotations

from support.api import Api
from support.asgi import post_json

from tallied.database import Database
from tallied.discussion import Discussion

QUERY = "{ threads { nodes { title } } }"


async def test_extensions_tell_compiled_operations_in_development(database: Database) -> None:
    api = Api(database, environment="development", allowed_hosts="tallied.test")
    await api.thread("Engines")
    flags = [(await api.post(QUERY))["extensions"]["compiled"] for _ in range(3)]
    assert flags == [False, True, True]
    limits = "{ limits { pageSize } }"
    flags = [(await api.post(limits))["extensions"]["compiled"] for _ in range(3)]
    assert flags == [False, False, False]


async def test_extensions_in_production_have_only_cost(database: Database) -> None:
    api = Api(database, environment="production", secret="a secret of more than 32 characters")
    for _ in range(2):
        assert (await api.post(QUERY))["extensions"].keys() == {"cost"}


async def test_counts_of_discussion_tell_plans_and_reasons(database: Database) -> None:
    discussion = Discussion(database)
    counts = discussion.plan_counts
    assert (counts.compiled, counts.executed, dict(counts.unsupported)) == (0, 0, {})
    for query in (QUERY, "{ limits { pageSize } }"):
        for _ in range(4):
            _, body = await post_json(discussion.endpoint, "localhost", "/", {"query": query})
            assert "errors" not in body
    assert (counts.compiled, counts.executed) == (1, 3)
    assert dict(counts.unsupported) == {"Query.limits": 1}
