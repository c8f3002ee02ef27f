"""A Discussion in the application of a host: routes, lifespan, engine and sessions."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import String, select, text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    scoped_session,
    sessionmaker,
)
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from tallied.auth.viewer import Viewer
from tallied.counters.registry.session_classes import sync_class
from tallied.database import Database
from tallied.discussion import Discussion
from tallied.errors import ConfigurationError
from tallied.host.hooks import Hooks
from tallied.host.policy import Policy
from tallied.migrations.runner import downgrade, migrate, require_newest
from tallied.models import Author, Base, Comment, Thread
from tallied.resolvers import comments, threads
from tallied.schema.ids import encode_id
from tallied.settings import Settings

ADD = """mutation($id: ID!, $m: String!) { addComment(input: {threadId: $id, message: $m}) {
           comment { authorName wordCount } thread { wordCount commentCount }
           userErrors { code } } }"""


class HostBase(DeclarativeBase):
    """The host's own tables, on its own MetaData."""


class Note(HostBase):
    __tablename__ = "host_note"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[str] = mapped_column(String(100))


class HostSession(Session):
    """The host's own session class."""


def by_header(connection: HTTPConnection) -> Viewer | None:
    name = connection.headers.get("x-user")
    return Viewer(f"user-{name}", name) if name else None


async def make(database: Database) -> None:
    async with database.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.run_sync(HostBase.metadata.create_all)


async def ask(app: Any, path: str, query: str, user: str = "ada", **variables: Any) -> Any:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://host.test") as client:
        body = {"query": query, "variables": variables}
        answer = await client.post(path, json=body, headers={"x-user": user})
    assert answer.status_code == 200, answer.text
    assert "errors" not in answer.json(), answer.text
    return answer.json()["data"]


async def begin(discussion: Discussion, title: str = "Engines") -> Any:
    viewer = discussion.access(Viewer("user-ada", "ada"))
    done = await discussion.write(lambda unit: threads.create_thread(unit, viewer, title))
    return done.thread["id"]


async def test_discussion_is_mounted_under_path(empty_url: str) -> None:
    settings = Settings(environment="development")
    discussion = Discussion(empty_url, get_viewer=by_header, settings=settings)
    await make(discussion.database)
    app = Starlette(
        routes=[
            Route("/", lambda _: PlainTextResponse("host")),
            Mount("/discussion", routes=discussion.routes()),
        ],
        lifespan=discussion.lifespan,
    )
    created = await ask(
        app,
        "/discussion/graphql",
        'mutation { createThread(input: {title: "Engines"}) { thread { id } } }',
    )
    id = created["createThread"]["thread"]["id"]
    added = await ask(app, "/discussion/graphql", ADD, id=id, m="one two three")
    assert added["addComment"] == {
        "comment": {"authorName": "ada", "wordCount": 3},
        "thread": {"wordCount": 3, "commentCount": 1},
        "userErrors": [],
    }
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://host.test"
    ) as client:
        assert (await client.get("/")).text == "host"
        assert (await client.get("/discussion/schema.graphql")).status_code == 200
        assert (await client.get("/discussion/playground/playground.js")).status_code == 200
        assert (await client.get("/graphql")).status_code == 404
    await discussion.database.dispose()


async def test_install_wraps_lifespan_of_host(empty_url: str) -> None:
    events: list[str] = []
    discussion = Discussion(empty_url, get_viewer=by_header)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, str]]:
        await make(discussion.database)
        events.append("host starts")
        yield {"kept": "by the host"}
        async with discussion.database.read() as connection:
            await connection.execute(text("SELECT 1"))
        events.append("host ends")

    app = Starlette(lifespan=lifespan)
    discussion.install(app, "/talk")
    async with app.router.lifespan_context(app) as state:
        assert state == {"kept": "by the host"}
        assert events == ["host starts"]
        assert {route.path for route in app.routes} == {  # type: ignore[attr-defined]
            *("/talk/graphql", "/talk/schema.graphql", "/talk/introspection.json")
        }
    assert events == ["host starts", "host ends"]
    assert discussion.database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


async def test_start_without_tables_is_refused(empty_url: str) -> None:
    discussion = Discussion(empty_url)
    app = Starlette(routes=discussion.routes(), lifespan=discussion.lifespan)
    with pytest.raises(ConfigurationError, match=r"tallied\.E010.*HINT"):
        async with app.router.lifespan_context(app):
            raise AssertionError
    assert discussion.database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


async def test_rollback_of_host_undoes_comment(empty_url: str) -> None:
    """The host's engine, session class and rows, and Tallied's, in one unit of work."""
    engine = create_async_engine(empty_url)
    discussion = Discussion(engine, session_class=HostSession, get_viewer=by_header)
    await make(discussion.database)
    thread_id = await begin(discussion)
    ada = discussion.access(Viewer("user-ada", "ada"))

    async def comment(unit: Any, fails: bool) -> None:
        assert type(unit.session.sync_session) is HostSession
        unit.session.add(Note(body="beside the comment"))
        new = comments.NewComment("one two three")
        done = await comments.add_comment(unit, ada, thread_id, new)
        assert done.thread["word_count"] % 3 == 0
        if fails:
            raise RuntimeError("the host changes its mind")

    for fails in (False, True, False):
        try:
            await discussion.write(lambda unit, fails=fails: comment(unit, fails))  # type: ignore[misc]
        except RuntimeError:
            assert fails
    async with discussion.database.read() as connection:
        notes = (await connection.execute(select(Note.body))).all()
        counted = await connection.execute(
            select(Thread.comment_count, Thread.word_count, Author.word_count).join(
                Author, Author.id == Thread.author_id
            )
        )
        messages = (await connection.execute(select(Comment.message))).all()
    assert len(notes) == len(messages) == 2
    assert counted.one() == (2, 6, 6)
    await discussion.database.dispose()  # which leaves the host's engine open
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
    await engine.dispose()


async def test_session_without_counters_is_refused(database: Database) -> None:
    discussion = Discussion(database)

    class Other(Session):
        pass

    async with discussion.database.sessions() as session:
        assert discussion.unit(session).session is session
    async with AsyncSession(database.engine, sync_session_class=Other) as session:
        with pytest.raises(ConfigurationError, match=r"not installed on .*Other"):
            discussion.unit(session)


def test_session_class_may_be_of_a_factory() -> None:
    makers: tuple[Any, ...] = (sessionmaker(), scoped_session(sessionmaker()), async_sessionmaker())
    for maker in makers:
        database = Discussion("sqlite://", session_class=maker).database
        assert database.session_class is sync_class(maker)
        assert issubclass(database.sessions.kw["sync_session_class"], database.session_class)


@pytest.mark.parametrize("path", ["graphql", "/graphql/", "/{name}"])
def test_unroutable_path_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError, match="path must be like /graphql"):
        Discussion("sqlite+aiosqlite:///x.db", path=path)


@pytest.mark.slow
async def test_thirty_apps_use_constant_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tests share compiled statements, which hold on to the engine of the first.
    monkeypatch.setattr(Database, "__init__", vars(Database.__init__)["__wrapped__"])

    async def use(number: int) -> None:
        discussion = Discussion(
            f"sqlite+aiosqlite:///{tmp_path / str(number)}.db",
            get_viewer=by_header,
            hooks=[Hooks()],
            policy=Policy(),
            settings=Settings(environment="development"),
        )
        await make(discussion.database)
        app = Starlette()
        discussion.install(app, "/talk")
        async with app.router.lifespan_context(app):
            id = encode_id("Thread", await begin(discussion))
            data = await ask(app, "/talk/graphql", ADD, id=id, m="one two three")
            assert data["addComment"]["thread"] == {"wordCount": 3, "commentCount": 1}

    def live() -> tuple[int, int]:
        for mapper in Base.registry.mappers:
            # SQLAlchemy's own, of its last 100 INSERTs, each with the dialect of its engine.
            mapper._compiled_cache.clear()
        gc.collect()
        objects = gc.get_objects()
        return sum(isinstance(item, Discussion | Database) for item in objects), len(objects)

    before, _ = live()
    for number in range(10):
        await use(number)
    _, warm = live()
    for number in range(10, 30):
        await use(number)
    after, objects = live()
    assert after <= before
    assert objects - warm < 20 * 10, "each app leaves something behind"


async def test_two_discussions_live_in_two_schemas_of_one_database(
    backend: str, empty_url: str
) -> None:
    if backend == "sqlite":
        with pytest.raises(ConfigurationError, match="SQLite has no schemas"):
            Discussion(empty_url, settings=Settings(database_schema="forum"))
        return
    engine = create_async_engine(empty_url)
    created = [
        Discussion(engine, settings=Settings(database_schema=name, guests="moderate"))
        for name in ("forum", "Support")
    ]
    for discussion in created:
        assert (await migrate(discussion.database)).current is None
        assert (await migrate(discussion.database)).is_newest
        await require_newest(discussion.database)
    for number, discussion in enumerate(created):
        app = Starlette(routes=discussion.routes())
        for _ in range(number + 2):
            id = await begin(discussion)
            data = await ask(
                app,
                "/graphql",
                """mutation($i: AddCommentInput!) { addComment(input: $i) {
                     thread { wordCount comments(first: 9) { nodes { message } } }
                     comment { id } } }""",
                i={
                    "threadId": encode_id("Thread", id),
                    "authorName": "Ada",
                    "message": "one two three",
                },
            )
            assert data["addComment"]["thread"]["wordCount"] == 3
            moved = await ask(
                app,
                "/graphql",
                """mutation($i: DeleteCommentInput!) { deleteComment(input: $i) {
                     thread { wordCount } } }""",
                i={"commentId": data["addComment"]["comment"]["id"]},
            )
            assert moved["deleteComment"]["thread"]["wordCount"] == 0
        listed = await ask(app, "/graphql", "{ threads(first: 9) { totalCount } }")
        assert listed["threads"]["totalCount"] == number + 2
    async with engine.connect() as connection:
        tables = await connection.execute(
            text(
                "SELECT table_schema, count(*) FROM information_schema.tables"
                " WHERE table_name LIKE 'tallied%' GROUP BY 1 ORDER BY 1"
            )
        )
        number = len(Base.metadata.tables) + 1  # and the revision
        assert tables.all() == [("Support", number), ("forum", number)]
    for discussion in created:
        await downgrade(discussion.database)
    await engine.dispose()
