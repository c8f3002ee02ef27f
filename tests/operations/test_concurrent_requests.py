"""One plan executes the requests of many viewers at the same time."""

from __future__ import annotations

import asyncio
import random

import pytest
from support.oracle import RULES
from support.oracle_rows import VIEWERS, fill
from support.plans import PlannedApi

from tallied.database import Database

QUERY = """query($first: Int!, $own: Boolean!) {
  viewer { name author { name viewerCanDelete } }
  threads(first: $first) { totalCount nodes { title viewerCanRename viewerCanComment
    comments(last: $first) { nodes { message viewerCanEdit
      authorName @include(if: $own) } } } } }"""


@pytest.mark.slow
async def test_requests_share_plan_but_no_state(database: Database) -> None:
    await fill(database, random.Random(1))
    for rules in RULES[4:10:2]:  # with conditions by a constant, a list and another table
        await compare(PlannedApi(database, rules))


async def compare(api: PlannedApi) -> None:
    """Compare the answers to requests at the same time with those one after the other."""
    requests = [
        (viewer, first, own) for viewer in VIEWERS for first in (1, 7) for own in (True, False)
    ]
    expected = [
        await api.by_core(QUERY, viewer, first=first, own=own) for viewer, first, own in requests
    ]
    assert len({str(answer) for answer in expected}) > 10
    for _ in range(3):
        answers = await asyncio.gather(
            *(api(QUERY, viewer, first=first, own=own) for viewer, first, own in requests)
        )
        assert answers == expected
    assert api.counts.compiled == 2
    assert api.counts.executed == 3 * len(requests)
