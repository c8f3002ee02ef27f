"""The end of a unit of work: a commit or a rollback, and the return of the connection.

None of these may be cancelled halfway or last too long: if the database does not respond within
the patience, the connections are terminated, which does not wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from ..concurrency.pending_tasks import PendingTasks, run_bounded
from ..logs.errors import log_error, log_outage
from .failures import Repeat, classify, is_outcome_unknown, unknown_outcome
from .unit_of_work import connections, is_committed

logger = logging.getLogger("tallied")


class TransactionEnd:
    """Ends the transaction of one session, in one of two ways.

    :param patience: seconds that the database has for it; None for no bound.
    """

    def __init__(
        self, session: AsyncSession, patience: float | None, pending_tasks: PendingTasks
    ) -> None:
        self._session = session
        self._patience = patience
        self._pending_tasks = pending_tasks

    async def commit(self) -> asyncio.CancelledError | None:
        """Commit and close, also when the task is cancelled meanwhile.

        :returns: the cancellation, which has to wait until what follows a commit is done.
        :raises OutcomeUnknown: where nobody can tell how it ended.
        """

        task = self._start(self._session.run_sync(_commit_and_close))
        cancelled = None
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError as error:
                cancelled = error
        try:
            task.result()
        except Exception as error:
            if is_committed(self._session):
                # A listener of the host's: the change is in, and must not be made again.
                await self.roll_back(error)
                log_error(logger, "what follows a commit has failed", error=error)
                return cancelled
            if isinstance(error, TimeoutError) or is_outcome_unknown(error):
                log_outage(error)
                raise unknown_outcome() from error
            if cancelled is not None:
                raise cancelled from error  # Nothing was committed, and nothing runs again.
            raise
        return cancelled

    async def roll_back(self, error: BaseException) -> None:
        """Roll back and close after `error`, which counts for more than what goes wrong here."""
        failure = classify(error)
        if failure is not None and failure.repeat is Repeat.ONCE:
            self._terminate()  # The pool would hand this connection to others.

        async def work() -> None:
            with suppress(SQLAlchemyError, OSError):
                await self._session.rollback()
            await self._session.close()

        with suppress(SQLAlchemyError, OSError):
            await asyncio.shield(self._start(work()))

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Future[None]:
        return self._pending_tasks.start(run_bounded(work, self._patience, self._terminate))

    def _terminate(self) -> None:
        """Terminate the connections at once, which makes what waits for them fail.

        SQLite's are left to its thread, which waits for nothing but the machine's own disk.
        """
        for connection in connections(self._session):
            is_open = not (connection.closed or connection.invalidated)
            if is_open and connection.dialect.driver == "asyncpg":
                driver: Any = connection.connection.driver_connection
                driver.terminate()


def _commit_and_close(session: Session) -> None:
    session.commit()
    with suppress(SQLAlchemyError, OSError):  # It undoes no commit.
        session.close()
