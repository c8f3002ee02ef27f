"""Tallied inside a host's application: one object with everything that the host decides.

>>> from starlette.applications import Starlette
>>> from starlette.routing import Mount
>>> from tallied.discussion import Discussion

>>> discussion = Discussion("sqlite+aiosqlite:///forum.db")
>>> app = Starlette(
...     routes=[Mount("/discussion", routes=discussion.routes())],
...     lifespan=discussion.lifespan,
... )

Everything else is an argument: the viewer, the policy, the hooks around a change, the
host's objects that have threads, the engine and the sessions. There is no other state: two
discussions in one process are independent.
"""

from __future__ import annotations

from .extras import require

require("app", __name__)

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar

import strawberry
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from .auth.tokens import authenticate_connection
from .auth.viewer import Viewer
from .checks import Finding, check, check_unreachable, with_option
from .checks.readiness import Readiness
from .content.markdown import render_message
from .counters.registry.session_classes import Installable
from .database import BUSY_TIMEOUT, CountedSession, Database
from .database.unit_of_work import UnitOfWork
from .errors import ConfigurationError
from .execution.context import Context
from .host.access import Access, HostRules, accept_any, no_name
from .host.comment_checks import CommentCheck
from .host.hooks import Hooks
from .host.policy import Policy
from .host.standard_checks import standard_checks
from .host.targets import Target, targets_by_name
from .host.validation import (
    validate_application,
    validate_comment_checks,
    validate_database_setting,
    validate_functions,
    validate_get_viewer,
    validate_hooks,
    validate_policy,
    validate_settings,
    validate_targets,
)
from .migrations.opener import open_database
from .models import Comment
from .models.words import count_words as default_count_words
from .operations.plans import PlanCounts
from .schema.build import schema as default_schema
from .schema.build import validate_schema
from .settings import Settings
from .shortcuts import AsyncShortcuts, SyncShortcuts
from .transport.http_endpoint import GraphQLEndpoint
from .transport.playground import Playground
from .transport.schema_files import FILES, PublishedFile
from .transport.service import GetViewer, load_viewer

logger = logging.getLogger("tallied")

T = TypeVar("T")

APP = "--app …"
"""The option of commands for a Discussion; only the command line knows the name."""


class Discussion(AsyncShortcuts):
    """Threads and comments in a host's application.

    :param database: a URL, the host's own engine, or a :class:`~tallied.database.Database`.
        By default, the database of the settings.
    :param settings: the settings; the environment is not read.
    :param get_viewer: a plain or asynchronous function that returns the viewer for Starlette's
        ``HTTPConnection``. By default, the viewer of a signed bearer token.
    :param policy: the rights of viewers.
    :param hooks: the host's code around each change, in this order.
    :param targets: the host's objects that have threads.
    :param count_words: the function that counts the words of a message. It applies to the whole
        process, since an assignment knows no application.
    :param check_message: raises :class:`~tallied.errors.Vetoed` for a message that the host
        rejects.
    :param comment_checks: the checks of comments before they are published, in this order. By
        default those that the settings switch on
        (:func:`~tallied.host.standard_checks.standard_checks`).
    :param render: converts a message to the HTML of ``messageHtml``, which must be safe.
    :param deleted_author: returns the ``authorName`` of an author who has been deleted.
    :param session_class: the session class of the host's units of work; see
        :class:`~tallied.database.Database`.
    :param schema: the GraphQL schema: Tallied's own, or the host's with Tallied's ``Query``
        and ``Mutation`` merged in.
    :param path: the path of the endpoint below the path that the routes are mounted at.
    :raises ConfigurationError: for an argument that cannot be used.
    """

    def __init__(
        self,
        database: str | AsyncEngine | Database | None = None,
        *,
        settings: Settings | None = None,
        get_viewer: GetViewer | None = None,
        policy: Policy | None = None,
        hooks: Sequence[Hooks] = (),
        targets: Collection[Target] = (),
        count_words: Callable[[str], int] | None = None,
        check_message: Callable[[str], None] = accept_any,
        comment_checks: Sequence[CommentCheck] | None = None,
        render: Callable[[str], str] = render_message,
        deleted_author: Callable[[], str | None] = no_name,
        session_class: Installable = CountedSession,
        schema: strawberry.Schema = default_schema,
        path: str = "/graphql",
    ) -> None:
        validate_get_viewer(get_viewer)
        validate_functions(
            count_words=count_words,
            check_message=check_message,
            render=render,
            deleted_author=deleted_author,
        )
        self.settings = validate_settings(settings)
        self.rules = HostRules.from_settings(
            self.settings,
            policy=validate_policy(policy),
            hooks=validate_hooks(hooks),
            targets=targets_by_name(validate_targets(targets)),
            check_message=check_message,
            comment_checks=(
                standard_checks(self.settings)
                if comment_checks is None
                else validate_comment_checks(comment_checks)
            ),
            render=render,
            deleted_author=deleted_author,
        )
        self._closes = not isinstance(database, Database)
        self.database = self._open(database, session_class)
        if database is not None:
            validate_database_setting(self.settings, self.database.url)
        self.sync = SyncShortcuts(self)
        """The shortcuts for synchronous code, such as a Flask view or a Celery task."""
        self.readiness = Readiness(self.database)
        if count_words is not None:
            _count_words_by(count_words)
        self.path = _checked_path(path)
        self.schema = validate_schema(schema)
        self.get_viewer = get_viewer or self._by_token
        self._has_viewers = get_viewer is not None or bool(self.settings.secret)
        # Until there are routes: no playground, and viewers whom the host's own code passes.
        plain = replace(self.settings, playground=False)
        self._checked: Any = {"settings": plain, "rules": self.rules, "has_viewers": True}
        has_playground = self.settings.shows_playground
        self._playground = Playground(guests=self.settings.guests) if has_playground else None
        self.endpoint = GraphQLEndpoint(
            self.database,
            self.settings,
            self._playground,
            rules=self.rules,
            get_viewer=self.get_viewer,
            schema=schema,
        )

    def _open(
        self,
        database: str | AsyncEngine | Database | None,
        session_class: Installable,
    ) -> Database:
        if isinstance(database, Database):
            return database
        patience = min(BUSY_TIMEOUT, self.settings.execution_time)
        return Database(
            self.settings.database if database is None else database,
            session_class=session_class,
            schema=self.settings.database_schema or None,
            attempts=self.settings.transaction_attempts,
            pool_size=self.settings.pool_size,
            patience=patience,
            # A request's unit ends before that; its rollback may take its patience as well.
            idle_timeout=self.settings.execution_time + 2 * patience,
        )

    def _by_token(self, connection: HTTPConnection) -> Viewer | None:
        return authenticate_connection(self.settings, connection)

    @property
    def plan_counts(self) -> PlanCounts:
        """How many operations compiled plans have executed in this process, for metrics."""
        return self.endpoint.plan_counts

    def routes(self) -> list[BaseRoute]:
        """Return the routes of the endpoint, over HTTP and WebSocket, and of its files.

        Pass them to ``Mount("/somewhere", routes=...)``, or add them to the host's own routes.
        """
        return self._routes(self.path)

    def _routes(self, path: str) -> list[BaseRoute]:
        self._checked |= {"settings": self.settings, "has_viewers": self._has_viewers}
        folder = path.rpartition("/")[0]
        routes: list[BaseRoute] = [Route(path, self.endpoint), WebSocketRoute(path, self.endpoint)]
        if self.settings.introspection:
            routes += [
                Route(f"{folder}/{name}", PublishedFile(name, self.schema)) for name in FILES
            ]
        if self._playground:
            routes.append(Mount(f"{folder}/playground", self._playground.assets))
        return routes

    def install(self, app: Starlette, prefix: str = "") -> None:
        """Add the routes and the lifespan to a host's application.

        :param app: a Starlette or FastAPI application that has not started yet.
        :param prefix: the path above the routes, such as ``/discussion``.
        :raises ConfigurationError: for another object, such as a router, and if earlier routes of
            the application take the path.
        """
        path = prefix.rstrip("/") + self.path
        validate_application(app, "POST", path)
        app.router.routes += self._routes(path)  # A Mount would take all below the prefix.
        host_lifespan = app.router.lifespan_context

        @asynccontextmanager
        async def combined_lifespan(host_app: Any) -> AsyncIterator[Any]:
            async with self._closing(), host_lifespan(host_app) as state:
                await self._check_start()  # The host has migrated its database by now.
                yield state

        app.router.lifespan_context = combined_lifespan

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse to be mounted, since the lifespan of a mounted application never runs.

        :raises ConfigurationError: always.
        """
        raise ConfigurationError(
            "A Discussion is not an ASGI application, so it cannot be mounted or served alone; call"
            ' discussion.install(app, "/discussion"), or pass discussion.routes() to'
            " Mount(path, routes=…) and discussion.lifespan to the application."
        )

    @asynccontextmanager
    async def lifespan(self, _: object = None) -> AsyncIterator[None]:
        """Run the checks at the start, and close the database at the end of a host's lifespan.

        A host's engine or Database stays open. At the start, the quick checks of
        ``docs/reference/checks.md`` run, and warnings are logged.

        :raises ConfigurationError: for errors that the checks find.
        """
        async with self._closing():
            await self._check_start()
            yield

    @asynccontextmanager
    async def _closing(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await self.readiness.close()
            if self._closes:
                await self.database.dispose()

    async def _check_start(self) -> None:
        findings = await self.check(start=True)
        for finding in findings:
            if finding.level != "error":
                logger.warning("%s", finding)
        errors = [str(finding) for finding in findings if finding.level == "error"]
        if errors:
            raise ConfigurationError("\n".join(errors))

    async def check(
        self,
        *,
        session_class: Installable | None = None,
        start: bool = False,
        deep: bool = False,
    ) -> list[Finding]:
        """Return the faults of settings, database and data, as ``docs/reference/checks.md`` lists.

        :param session_class: another session class that writes Tallied's rows, to check as well.
        :param start: skip the checks that read rows.
        :param deep: also recount every counter.
        """
        findings = await check(
            self.database, session_class=session_class, start=start, deep=deep, **self._checked
        )
        return with_option(findings, APP)

    async def check_closed(self, *, deep: bool = False) -> list[Finding]:
        """Open the database, run the checks for a command, and close the database.

        A database that cannot be used is a finding. The engine is closed, even a host's own.
        """
        try:
            async with open_database(self.database, must_exist=True, must_be_newest=False):
                return await self.check(deep=deep)
        except ConfigurationError as error:
            return with_option(check_unreachable(error, **self._checked), APP)

    async def find_problem(self) -> str | None:
        """Return why requests would fail at present, as a sentence without secrets, or None.

        Use it in a readiness probe of the host: it queries the database at most once a second,
        for at most two seconds, and not on a connection of the pool.
        """
        return await self.readiness.find_problem()

    async def write(self, work: Callable[[UnitOfWork], Awaitable[T]]) -> T:
        """Run writes of the host and of Tallied as one unit of work.

        See :meth:`tallied.database.Database.write`; the functions to call within it are in
        :mod:`tallied.resolvers.threads` and :mod:`tallied.resolvers.comments`.
        """
        return await self.database.write(work)

    def unit(self, session: AsyncSession) -> UnitOfWork:
        """Return a unit of work on a session of the host, which the host commits.

        Await its ``committed()`` after the commit; otherwise no ``after_*`` hook runs.

        :raises ConfigurationError: if the counters are not installed on the session's class.
        """
        kind = type(session.sync_session)
        if not issubclass(kind, self.database.session_class):
            raise ConfigurationError(
                f"The counters are not installed on {kind.__qualname__}; pass it to Discussion as"
                " session_class, or take a session from discussion.database.sessions."
            )
        return UnitOfWork(session)

    def render(self, message: str) -> str:
        """Return a message as HTML that is safe to insert into a page."""
        return self.rules.render(message)

    def access(
        self, viewer: Viewer | None = None, *, request: HTTPConnection | None = None
    ) -> Access:
        """Return the rights of a viewer, by default of a guest.

        :param request: the request, which hooks receive.
        """
        return Access.of(self.rules, viewer, request=request)

    def access_as_host(self, viewer: Viewer | None = None) -> Access:
        """Return all rights, for the host's own scripts, imports and background jobs.

        Neither the policy nor the settings for guests apply. Hooks run, and the rules for texts
        and locked threads apply.

        :param viewer: the author of what the host writes; by default, none.
        """
        return self.access().as_host(viewer)

    async def context(self, request: HTTPConnection) -> Context:
        """Return the context of one GraphQL operation that the host executes itself.

        Await its ``stop()`` after the operation.

        :raises Unauthenticated: for a request with invalid credentials.
        """
        return self.endpoint.context(await load_viewer(self.get_viewer, request), request)


def _checked_path(path: str) -> str:
    if not path.startswith("/") or path.endswith("/") or "{" in path:
        raise ConfigurationError(f"path must be like /graphql, not {path!r}.")
    return path


def _count_words_by(count_words: Callable[[str], int]) -> None:
    """Set the function that counts words in this process.

    :raises ConfigurationError: if another function is set already.
    """
    if Comment.count_words not in (default_count_words, count_words):
        raise ConfigurationError(
            "Another Discussion of this process counts words otherwise; pass the same count_words"
            " to both."
        )
    Comment.count_words = staticmethod(count_words)
