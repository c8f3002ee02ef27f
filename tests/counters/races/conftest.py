"""The isolation level of both transactions of a race, and the two who race."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine
from support.races import actors_on


@pytest.fixture
def level() -> str:
    """The isolation level, unless a test is parametrised with others."""
    return "READ COMMITTED"


@pytest.fixture(scope="module")
def server(server: Engine, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A database with the tables of the test's module, too."""
    request.module.Base.metadata.create_all(server)
    yield server
    request.module.Base.metadata.drop_all(server)


@pytest.fixture
def actors(server: Engine, level: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Those who race, by the `RACE` of the test's module: session class, rows, and tables."""
    with actors_on(server, *request.module.RACE, isolation_level=level) as actors:
        yield actors
