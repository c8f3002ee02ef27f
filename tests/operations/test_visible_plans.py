"""How a developer sees which operations are executed by plans."""

from __future__ import annotations

from support.api import Api

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
    assert discussion.plan_counts.executed == 0
    assert discussion.plan_counts is discussion.endpoint.plan_counts
