"""Memory of a write that failed because the disk was full."""

from __future__ import annotations

import time

from sqlalchemy import Connection, event
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine

from .failures import is_disk_full

MEMORY = 30.0
"""Seconds for which a full disk is remembered unless a write succeeds."""


class FullDisk:
    """Whether the last write that was tried has failed for want of space.

    Nothing else tells. PostgreSQL has no function for the free space of its disk, and a change
    that is rolled back need not reach the disk: it may fit into a page that is there already,
    and its log is written at the commit. So the failures of real writes are remembered.

    A later commit ends that, and so does time: while a load balancer sends nothing to a server
    that is not ready, no write would ever succeed.

    :param writer: the engine of the units of work.
    :param memory: seconds for which a failure is remembered.
    """

    def __init__(self, writer: AsyncEngine, memory: float = MEMORY) -> None:
        self.memory = memory
        self._until = 0.0
        event.listen(writer.sync_engine, "handle_error", self._note_failure)
        event.listen(writer.sync_engine, "commit", self._note_commit)

    @property
    def is_remembered(self) -> bool:
        """Return whether the disk counts as full."""
        return time.monotonic() < self._until

    def _note_failure(self, context: ExceptionContext) -> None:
        if is_disk_full(context.original_exception):
            self._until = time.monotonic() + self.memory

    def _note_commit(self, connection: Connection) -> None:
        # Called just before the COMMIT: where that fails, _note_failure comes after it.
        self._until = 0.0
