"""A rebuild while others write loses no write, with any settings of the connections."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, create_engine, event
from support.recount import drifted
from support.writers import spoil, store_threads, writing

from tallied.models.counters import counters

pytestmark = pytest.mark.filterwarnings("ignore:DELETE statement on table")


@pytest.fixture
def threads(engine: Engine) -> list[UUID]:
    return store_threads(engine)


MANNERS: dict[str, list[dict[str, Any]]] = {
    "postgresql": [
        {},
        {"isolation_level": "REPEATABLE READ"},
        {"isolation_level": "SERIALIZABLE"},
        {"isolation_level": "AUTOCOMMIT"},
    ],
    "sqlite": [
        {},
        {"isolation_level": "AUTOCOMMIT"},
        {"begin": "BEGIN"},
        {"begin": "BEGIN IMMEDIATE"},
    ],
}


@pytest.fixture(params=range(4), ids=["default", "second", "third", "fourth"])
def host(request: pytest.FixtureRequest, engine: Engine) -> Iterator[Engine]:
    """An engine with other settings of its connections."""
    options = dict(MANNERS[engine.dialect.name][request.param])
    begin = options.pop("begin", None)
    host = create_engine(engine.url, **options)
    if begin is not None:
        event.listen(host, "connect", lambda raw, _: setattr(raw, "isolation_level", None))
        event.listen(host, "begin", lambda connection: connection.exec_driver_sql(begin))
    yield host
    host.dispose()


@pytest.mark.exhaustive
def test_no_write_is_lost_during_a_rebuild(
    engine: Engine, threads: list[UUID], host: Engine
) -> None:
    with writing(engine, threads) as commits:
        for _ in range(4):
            spoil(engine)
            before = sum(commits)
            with host.connect() as connection:
                assert counters.rebuild(connection, batch_size=8) == len(threads)
                level = connection.get_isolation_level()
            assert sum(commits) > before, "nobody has written meanwhile"
            # One statement, one snapshot: it must be exact while others write, too.
            with host.connect() as connection:
                assert connection.get_isolation_level() == level
                assert list(counters.verify(connection)) == []
    assert min(commits) > 0
    assert drifted(engine) == 0


def test_two_rebuilds_at_once_repair_once(engine: Engine, threads: list[UUID]) -> None:
    with writing(engine, threads):
        spoil(engine)
        done: list[int] = []

        def run() -> None:
            with engine.connect() as connection:
                done.append(counters.rebuild(connection, batch_size=8))

        workers = [threading.Thread(target=run) for _ in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert sum(done) == len(threads)
    assert drifted(engine) == 0


@pytest.mark.slow
def test_verify_reports_nothing_while_others_write(engine: Engine, threads: list[UUID]) -> None:
    reader = create_engine(engine.url)
    with writing(engine, threads) as commits, reader.connect() as connection:
        while sum(commits) < 150:
            assert list(counters.verify(connection)) == []
            connection.rollback()
    reader.dispose()
