"""A host with several viewers, who send requests concurrently."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.applications import Starlette
from starlette.requests import HTTPConnection

from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.discussion import Discussion
from tallied.errors import Vetoed
from tallied.host.hooks import Event, Hooks
from tallied.host.policy import Policy
from tallied.models import Author, Comment, Thread
from tallied.models.counters import counters
from tallied.schema.ids import decode_id
from tallied.settings import Settings

from .api import Api
from .recount import drifted

ADA = Viewer("user-1", "Ada")
BOB = Viewer("user-2", "Bob")
MODERATOR = Viewer("user-9", "Max", is_moderator=True)
HEADER = "x-signed-in"


def get_viewer(connection: HTTPConnection) -> Viewer | None:
    """Return the viewer that the header of the host names."""
    value = connection.headers.get(HEADER)
    return None if value is None else Viewer(*json.loads(value))


class Client(Api):
    """A client of a host's API, signed in or not."""

    guest_name = "Gast"
    server = "host.test"
    raises = False

    def __init__(self, host: Host, viewer: Viewer | None) -> None:
        self.database = host.database
        self.viewer = viewer
        self.app = host.app
        self.headers = {}
        if viewer is not None:
            value = [viewer.subject, viewer.name, viewer.is_moderator]
            self.headers[HEADER] = json.dumps(value)


class Host:
    """A Starlette application with Tallied plugged in; its parts are arguments of Discussion."""

    def __init__(self, database: Database, **options: Any) -> None:
        self.database = database
        settings = options.pop("settings", {})
        options = {"get_viewer": get_viewer, **options}
        self.discussion = Discussion(database, settings=Settings(**settings), **options)
        self.app = Starlette(routes=self.discussion.routes())
        self.guest, self.ada, self.bob, self.moderator = map(
            self.client, (None, ADA, BOB, MODERATOR)
        )

    def client(self, viewer: Viewer | None) -> Client:
        """Return a client that sends requests as `viewer`."""
        return Client(self, viewer)

    async def authors(self) -> dict[str, tuple[str | None, int, int]]:
        """Return every author by their subject: name, comment_count and word_count, as stored."""
        columns = (Author.subject, Author.name, Author.comment_count, Author.word_count)
        async with self.database.read() as connection:
            rows = await connection.execute(select(*columns))
            return {row[0]: (row[1], row[2], row[3]) for row in rows}

    async def assert_exact(self) -> None:
        """Assert that every counter equals a recount from the rows."""

        def recount(connection: Connection) -> None:
            assert drifted(connection) == 0
            # NULL is "not in" an empty table.
            is_by_author = Comment.author_id.is_not(None)
            orphans = select(Comment.id).where(
                is_by_author, Comment.author_id.not_in(select(Author.id))
            )
            assert connection.execute(orphans).all() == []

        def verify(connection: Connection) -> None:
            assert [str(drift) for drift in counters.verify(connection)] == []

        for check in (recount, verify):
            async with self.database.read() as connection:
                await connection.run_sync(check)


class Discreet(Policy):
    """Threads whose titles begin with "Secret" are visible to moderators alone."""

    def may_read(self, viewer: Viewer | None, thread: type[Thread]) -> bool | ColumnElement[bool]:
        return bool(viewer and viewer.is_moderator) or thread.title.not_like("Secret%")


class Gate(Hooks):
    """A hook that stops the first unit before an operation until `open` is set."""

    def __init__(self, operation: str) -> None:
        self.arrived, self.open = asyncio.Event(), asyncio.Event()
        self.came = 0
        self.veto = False
        setattr(self, f"before_{operation}", self._stand)

    async def _stand(self, event: Event, session: Any) -> None:
        self.came += 1
        if self.came > 1:
            return
        self.arrived.set()
        await self.open.wait()
        if self.veto:
            raise Vetoed("The gate stays shut.")


async def blocked(database: Database, *tasks: asyncio.Task[Any]) -> None:
    """Wait until a unit waits for another's lock; on SQLite, for its turn. None may end."""
    query = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    async with asyncio.timeout(30):
        while True:
            assert not any(task.done() for task in tasks), [task.result() for task in tasks]
            if database.is_sqlite:
                done, _ = await asyncio.wait(tasks, timeout=0.1)
                assert not done
                return
            async with database.read() as connection:
                if (await connection.execute(query)).scalar_one():
                    return
            await asyncio.sleep(0.005)


async def blocked_or_done(
    database: Database, task: asyncio.Task[Any], *others: asyncio.Task[Any]
) -> None:
    """Wait until a task waits for another's lock, or ends; none of the others may end."""
    waiting = asyncio.create_task(blocked(database, task, *others))
    done, _ = await asyncio.wait([waiting, task], return_when=asyncio.FIRST_COMPLETED)
    if task not in done:
        await waiting
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


Request: TypeAlias = Coroutine[Any, Any, Any]


async def run_behind(
    gate: Gate, database: Database, first: Request, second: Request
) -> tuple[Any, Any]:
    """Run `second` once `first` stands at the gate, and open it once `second` waits for a lock."""
    ahead = asyncio.create_task(first)
    await gate.arrived.wait()
    behind = asyncio.create_task(second)
    await blocked(database, behind)
    gate.open.set()
    return await ahead, await behind


def key(id: str, *types: str) -> Any:
    """Return the primary key that a global id stands for."""
    return decode_id(id, "id", *(types or ("Thread", "Comment", "Author")))[1]


def codes(errors: Sequence[dict[str, Any]]) -> list[str]:
    """Return the codes of errors or user errors."""
    return [error.get("code") or error["extensions"]["code"] for error in errors]


def about(type_: str, id: object) -> dict[str, Any]:
    return {"target": {"type": type_, "key": str(id)}}


async def numbered_titles(_: AsyncSession, ids: Sequence[str]) -> Mapping[str, str]:
    """Return titles of objects; there is one of every number."""
    return {id: f"Object {id}" for id in ids if id.isdigit()}


async def titles(_: AsyncSession, ids: Sequence[str]) -> Mapping[str, str]:
    """Return a title for every id, as if there were an object of each."""
    return {id: f"Object {id}" for id in ids}
