"""Health: whether this server can handle requests, by a query outside of the database's pool.

``/health/live`` reports that the process responds, without a query. ``/health/ready`` reports
whether reads and writes would succeed; ``/health`` is the same.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..concurrency.pending_tasks import PendingTasks
from ..database import Database, asks_for_retry
from ..database.access import read_table_access
from ..database.engine import is_in_memory
from ..database.messages import explain, has_refused_statement
from ..errors import Unavailable
from ..migrations.revisions import is_behind
from ..models import Base

logger = logging.getLogger("tallied")

INTERVAL = 1.0
"""The minimum of seconds between two queries."""

PATIENCE = 2.0
"""Seconds that a query may take, including the connection."""

MIN_FREE = 2**20
"""Bytes that must be free on the disk of an SQLite file."""

NO_ANSWER = "The database does not answer."
FAILED = "The database has failed."
READ_ONLY = "The database may only be read."
DISK_FULL = "The database's disk is full."
NOT_SET_UP = "The database has not been set up."
BEHIND = "The database waits for migrations."


class Readiness:
    """Checks whether a database can be used, at intervals and on a separate connection.

    However many probes arrive, one query runs at a time. Its result is used until the next.

    The connection comes from a copy of the engine's pool (:meth:`sqlalchemy.pool.Pool.recreate`),
    which opens connections as that does, a host's too: with the same creator, arguments and
    listeners. To PostgreSQL it stays open in between, since each new one is a process there, and
    is given up with the pool wherever something is wrong: what ``ALTER ROLE`` sets holds for new
    connections only. A database in memory has one connection and no other failure than that of
    the process, so it is not asked.

    :param interval: seconds from question to question, at the least.
    :param patience: seconds that a question may take.
    :param min_free: bytes that must be free on the disk of an SQLite file.
    """

    def __init__(
        self,
        database: Database,
        *,
        interval: float = INTERVAL,
        patience: float = PATIENCE,
        min_free: int = MIN_FREE,
    ) -> None:
        self._database = database
        self._interval = interval
        self._patience = patience
        self._min_free = min_free
        self._engine: AsyncEngine | None = None
        self._connection: object = None
        self._file: Path | None = None
        self._question: asyncio.Future[str | None] | None = None
        self._asked = 0.0
        self._tasks = PendingTasks()
        self._last_problem: str | None = None

    async def find_problem(self) -> str | None:
        """Return why requests would fail, as a sentence without secrets, or None."""
        if is_in_memory(self._database.url):
            return None
        now = time.monotonic()
        question = self._question
        if question is None or (question.done() and now >= self._asked + self._interval):
            self._asked = now
            question = self._question = self._tasks.start(self._ask())
        return await asyncio.shield(question)

    async def close(self) -> None:
        """Close the connection after the running query."""
        await self._tasks.wait(self._patience)
        self._give_up_engine()
        await self._tasks.wait(self._patience)

    async def _ask(self) -> str | None:
        """Ask within the time limit.

        A connection that has gone silent is waited for no longer, nor is its end: the question
        is left to itself.
        """
        answer = self._tasks.start(self._answer())
        await asyncio.wait([answer], timeout=self._patience)
        if answer.done():
            problem, detail = answer.result()
        else:
            problem, detail = NO_ANSWER, f"no answer within {self._patience:g} seconds"
        if problem is not None:
            self._give_up_engine()
            answer.cancel()
        self._log_change(problem, detail)
        return problem

    def _copy_engine(self) -> AsyncEngine:
        engine = self._database.engine
        pool = engine.pool.recreate()
        # Before the listeners that use the connection, and might wait for it.
        event.listen(pool, "connect", self._note_connection, insert=True)
        copy = create_async_engine(f"{engine.url.drivername}://", pool=pool)
        return copy.execution_options(isolation_level="AUTOCOMMIT")

    def _note_connection(self, connection: Any, record: object) -> None:
        self._connection = connection.driver_connection

    def _give_up_engine(self) -> None:
        """Close the connection, without an exchange with PostgreSQL: nothing is under way."""
        terminate = getattr(self._connection, "terminate", None)
        if terminate is not None:  # asyncpg's, which is not typed; aiosqlite has none
            terminate()
        self._connection = None
        engine, self._engine = self._engine, None
        if engine is not None:
            self._tasks.start(self._dispose(engine))

    async def _dispose(self, engine: AsyncEngine) -> None:
        with suppress(Exception):  # which a connection may raise that is lost already
            await asyncio.wait_for(engine.dispose(), self._patience)

    async def _answer(self) -> tuple[str | None, str]:
        """Return the problem, if any, and its details for the log."""
        try:
            self._database.check_file()
        except Unavailable as error:
            return str(error), ""
        for is_last in (False, True):
            try:
                engine = self._engine = self._engine or self._copy_engine()
                async with engine.connect() as connection:
                    problem = await connection.run_sync(self._examine)
                if self._database.is_sqlite:
                    self._engine = None
                    await engine.dispose()
                return problem, ""
            except Exception as error:  # whatever a driver raises
                if isinstance(error, DBAPIError):
                    if error.connection_invalidated and not is_last:
                        continue  # The connection has died since the last question.
                    if self._database.is_sqlite and asks_for_retry(error):
                        return None, ""  # Others are at work.
                problem = FAILED if has_refused_statement(error) else NO_ANSWER
                return problem, str(explain(error, self._database.url))
        raise AssertionError

    def _examine(self, connection: Connection) -> str | None:
        if self._database.is_sqlite:
            connection.exec_driver_sql("PRAGMA busy_timeout = 0")
            name = connection.exec_driver_sql("SELECT file FROM pragma_database_list").scalar()
            self._file = Path(str(name))
        if self._database.full_disk.is_remembered or self._lacks_space():
            return DISK_FULL
        tables = Base.metadata.tables
        access = read_table_access(connection, tables, self._database.schema)
        if access.missing:
            return NOT_SET_UP
        if access.mode or access.denied.keys() & {"INSERT", "UPDATE"}:
            return READ_ONLY
        return BEHIND if is_behind(connection, self._database.schema) else None

    def _lacks_space(self) -> bool:
        if self._file is None:
            return False
        usage = shutil.disk_usage(self._file.parent)
        # Network file systems may tell nothing, which is 0 bytes of 0.
        return bool(usage.total) and usage.free < self._min_free

    def _log_change(self, problem: str | None, detail: str) -> None:
        """Log a change of the state since the last query."""
        if problem == self._last_problem:
            return
        self._last_problem = problem
        if problem is None:
            logger.info("the server is ready again")
        else:
            logger.warning("the server is not ready: %s%s", problem, detail and f" ({detail})")


def make_health_routes(readiness: Readiness) -> list[Route]:
    """Return the routes that load balancers and orchestrators ask, by GET or HEAD."""
    ready = _ready_endpoint(readiness)
    return [
        Route("/health/live", _live),
        Route("/health/ready", ready),
        Route("/health", ready),
    ]


def _ready_endpoint(readiness: Readiness) -> Callable[[Request], Awaitable[Response]]:
    async def ready(_: Request) -> Response:
        return _response(await readiness.find_problem())

    return ready


async def _live(_: Request) -> Response:
    return _response(None)


def _response(problem: str | None) -> Response:
    content = {"status": problem or "ok"}
    return JSONResponse(content, 503 if problem else 200, {"Cache-Control": "no-store"})
