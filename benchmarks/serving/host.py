"""A host with a policy, for the operations of signed-in viewers.

``uvicorn --factory tallied.benchmarks.serving.host:create_app`` serves the database of the variable
`BARE_DATABASE`, with the protocol of ``tallied serve``.
"""

from __future__ import annotations

import gc
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from sqlalchemy import ColumnElement, or_
from starlette.applications import Starlette

from tallied.asgi import GC_THRESHOLDS
from tallied.auth.tokens import encode_token
from tallied.auth.viewer import Viewer
from tallied.discussion import Discussion
from tallied.host.policy import Policy, viewer_value
from tallied.models import Thread
from tallied.settings import Settings

from .storage import SUBJECT

SECRET = "v8Q2mZrT0kXyWc7NfLsB4hJ9dGpEaU3i"


class Unlocked(Policy):
    """Everybody reads the threads that are not locked, and some others by their title."""

    is_open = Thread.locked_at.is_(None)
    is_readable = or_(is_open, Thread.title == viewer_value("subject"))

    def may_read(self, viewer: Viewer | None, thread: type[Thread]) -> ColumnElement[bool]:
        return self.is_open if viewer is None else self.is_readable


def create_app() -> Starlette:
    """Return the application of the host."""
    settings = Settings(
        database=os.environ["BARE_DATABASE"],
        environment="production",
        secret=SECRET,
        guests="write",
    )
    discussion = Discussion(settings=settings, policy=Unlocked())

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        # As docs/how-to/deployment.md recommends, and as the server of its own does.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        async with discussion.lifespan(app):
            yield

    return Starlette(routes=discussion.routes(), lifespan=lifespan)


def authorization() -> str:
    """Return the header of a viewer for an hour."""
    return f"Bearer {encode_token(SECRET, Viewer(SUBJECT, 'Ada'), timedelta(hours=1))}"
