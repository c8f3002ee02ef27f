"""The functions that follow the commit of a unit of work."""

from __future__ import annotations

import asyncio
import logging

from ..concurrency.pending_tasks import PendingTasks
from ..logs.errors import log_error
from .unit_of_work import UnitOfWork

logger = logging.getLogger("tallied")


async def call_followers(unit: UnitOfWork, pending_tasks: PendingTasks, patience: float) -> None:
    """Call the functions that follow a commit, and wait for them within the patience.

    :param patience: seconds, after which they go on by themselves.
    """
    await wait_for_followers(pending_tasks.start(unit.committed()), patience)


async def wait_for_followers(following: asyncio.Future[None], patience: float) -> None:
    """Wait for functions that follow a commit and have begun."""
    done, _ = await asyncio.wait({following}, timeout=patience)
    if not done:
        logger.warning(
            "what follows a commit takes longer than %s seconds, and goes on by itself", patience
        )
    elif failed := following.exception():
        # The change is in: a request that failed now would be sent again.
        log_error(logger, "what follows a commit has failed", error=failed)
