"""The plans that are kept are bounded, whatever clients send."""

from __future__ import annotations

import gc
import threading
import weakref
from itertools import product
from typing import Any

import pytest
from sqlalchemy import ColumnElement
from support.plans import PlannedApi

from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.execution import documents
from tallied.host.access import HostRules
from tallied.host.policy import Policy
from tallied.models import Thread
from tallied.operations.compiler import Compiler
from tallied.operations.plan import Plan
from tallied.operations.plans import MAX_COMBINATIONS, OperationPlans
from tallied.operations.statements import MAX_SHAPES

pytestmark = [pytest.mark.sqlite, pytest.mark.usefixtures("fresh_plans")]

FLAGS = " ".join(f"a{number}: totalCount @include(if: $f{number})" for number in range(6))
DECLARED = ", ".join(f"$f{number}: Boolean!" for number in range(6))
PAGE = """query($by: ThreadOrder, $first: Int, $last: Int, $filter: ThreadFilter) {
  threads(orderBy: $by, first: $first, last: $last, filterBy: $filter) { nodes { title } } }"""


def plans_of(api: PlannedApi, query: str) -> OperationPlans:
    """Return the plans of the one operation of a query."""
    (plans,) = api.service.executor.documents.get(query).plans.values()
    assert isinstance(plans, OperationPlans)
    return plans


async def test_combinations_of_flags_are_bounded(database: Database) -> None:
    api = PlannedApi(database)
    query = f"query({DECLARED}) {{ threads {{ __typename {FLAGS} }} }}"
    combinations = list(product((True, False), repeat=6))
    for flags in combinations:
        variables = {f"f{number}": flag for number, flag in enumerate(flags)}
        answer = await api(query, **variables)
        assert len(answer["data"]["threads"]) == 1 + sum(flags)
    assert api.counts.compiled == api.counts.executed == MAX_COMBINATIONS
    assert api.counts.guarded == {"flags": len(combinations) - MAX_COMBINATIONS}
    assert len(plans_of(api, query)._plans) == MAX_COMBINATIONS


async def test_statements_of_level_are_bounded(database: Database) -> None:
    api = PlannedApi(database)
    fields = ("CREATED_AT", "LAST_COMMENT_AT", "COMMENT_COUNT", "WORD_COUNT")
    conditions: list[dict[str, Any]] = [
        {"titleContains": "a"},
        {"minCommentCount": 1},
        {"activeSince": "2026-01-01T00:00:00Z"},
    ]
    shapes = list(product(fields, ("ASC", "DESC"), ("first", "last"), conditions))
    for _ in range(2):
        for field, direction, size, filter in shapes:
            by = {"field": field, "direction": direction}
            await api(PAGE, by=by, filter=filter, **{size: 3})
    assert api.counts.executed == 2 * len(shapes)
    (plan,) = plans_of(api, PAGE)._plans.values()
    assert plan is not None
    (root,) = plan.roots.values()
    assert len(root.page.shapes._statements) == MAX_SHAPES < len(shapes)  # type: ignore[union-attr]


async def test_values_of_conditions_share_one_statement(database: Database) -> None:
    class Listed(Policy):
        """Each viewer may read another number of titles."""

        def may_read(self, viewer: Viewer | None, thread: type[Thread]) -> ColumnElement[bool]:
            assert viewer is not None
            return thread.title.in_([*"abcdefgh"][: int(viewer.subject) % 8])

    api = PlannedApi(database, HostRules(policy=Listed()))
    for number in range(40):
        await api(
            PAGE,
            Viewer(str(number)),
            first=1 + number,
            filter={"titleContains": "x" * (number + 3)},
        )
    assert api.counts.executed == 40
    (plan,) = plans_of(api, PAGE)._plans.values()
    assert plan is not None
    (root,) = plan.roots.values()
    assert len(root.page.shapes._statements) == 1  # type: ignore[union-attr]


@pytest.mark.slow
async def test_plans_go_with_their_documents(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "MAX_CACHED_CHARACTERS", 5_000)
    api = PlannedApi(database)
    kept: list[weakref.ref[Plan]] = []
    for number in range(400):
        query = f"{{ k{number}: threads(first: {number % 100 + 1}) {{ totalCount }} }}"
        document = api.service.executor.documents.get(query)
        for _ in range(2):
            plan = await api.service.plans._find(document, document.operations[0], None)
        assert plan is not None
        kept.append(weakref.ref(plan))
    assert api.counts.compiled == 400
    del plan, document
    gc.collect()
    alive = sum(reference() is not None for reference in kept)
    assert alive == len(api.service.executor.documents._cache) < 130


async def test_reasons_are_bounded(database: Database) -> None:
    """No text of a client is counted."""
    api = PlannedApi(database)
    for number in range(50):
        await api(
            f"query($v{number}: Int) {{ threads(first: $v{number}) {{ totalCount }} }}",
            **{f"v{number}": "x" * number},
        )
        await api(f'{{ k{number}: thread(id: "{number}") {{ title }} }}')
        await api(f"{{ k{number}: limits {{ titleLength }} }}")
    assert set(api.counts.guarded) == {"variables", "id"}
    assert set(api.counts.unsupported) == {"Query.limits"}


async def test_long_document_is_compiled_in_a_thread(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []
    compile = Compiler.compile

    def record(self: Compiler, *arguments: Any) -> Plan:
        threads.append(threading.current_thread().name.rstrip("_0"))
        return compile(self, *arguments)

    monkeypatch.setattr(Compiler, "compile", record)
    api = PlannedApi(database)
    for length in (10, 2000):
        await api(f"{{ threads {{ totalCount }} }} # {'x' * length}")
    assert threads == ["MainThread", "tallied-plans"]
    assert api.counts.executed == 2
