"""The oracle: the answers of graphql-core and of plans to the same query, which must be equal."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from itertools import product
from typing import Any
from uuid import UUID

import strawberry
from sqlalchemy import ColumnElement, or_, select
from strawberry import Schema

from tallied.auth.viewer import Viewer
from tallied.concurrency.scheduler import new_scheduler
from tallied.database import Database
from tallied.execution.context import Context
from tallied.execution.executor import GraphQLResponse, PreparedOperation, Request
from tallied.execution.response_size import TIMES_IN_UTC
from tallied.host.access import HostRules
from tallied.host.policy import CommentContext, Policy, ThreadContext, viewer_value
from tallied.host.targets import Target, targets_by_name
from tallied.models import Author, Comment, Thread
from tallied.schema.build import merge_schemas, schema
from tallied.schema.ids import encode_id
from tallied.schema.query import Query as TalliedQuery
from tallied.settings import Settings
from tallied.transport.service import Service

from .host import Discreet, titles
from .oracle_rows import START, VIEWERS
from .random_documents import QueryWriter, RandomQuery, Values

ROOTS = (
    *("thread", "comment", "author", "node", "nodes", "threads"),
    *("threadFor", "counts", "viewer", "reactionKinds"),
)
ROOTS_OF_CORE = ("limits",)
"""Root fields that plans do not have."""

LIMITS = ("aliases", "directives", "fragments", "fields", "tokens")
"""The limits of documents that random queries may exceed."""


class Listed(Policy):
    """Threads of some titles, of which each viewer has another number."""

    def may_read(self, viewer: Viewer | None, thread: type[Thread]) -> ColumnElement[bool]:
        count = 2 if viewer is None else int(viewer.subject) % 5
        return thread.title.in_([f"Thread {number}" for number in range(count)])

    def may_comment(self, viewer: Viewer | None, thread: ThreadContext) -> bool:
        return thread.target_type is None


class Commented(Policy):
    """Threads with comments of guests, and those of the viewer."""

    def may_read(self, viewer: Viewer | None, thread: type[Thread]) -> ColumnElement[bool]:
        has_guests = (
            select(Comment.id)
            .where(Comment.thread_id == thread.id, Comment.author_name.is_not(None))
            .exists()
        )
        if viewer is None or viewer.author_id is None:
            return has_guests
        return or_(thread.author_id == viewer.author_id, has_guests)

    def may_edit(self, viewer: Viewer | None, comment: CommentContext) -> bool:
        return comment.thread.locked_at is None


class CommentedOrOwn(Policy):
    """The same by a condition that is built once, but for guests."""

    has_guests = (
        select(Comment.id)
        .where(Comment.thread_id == Thread.id, Comment.author_name.is_not(None))
        .exists()
    )
    condition = or_(Thread.author_id == viewer_value("author_id"), has_guests)

    def may_read(self, viewer: Viewer | None, thread: type[Thread]) -> ColumnElement[bool]:
        return self.has_guests if viewer is None else self.condition


class Unreliable(Policy):
    """A policy that cannot decide about some rows."""

    def may_edit(self, viewer: Viewer | None, comment: CommentContext) -> bool:
        if comment.thread.locked_at is not None:
            raise RuntimeError("The policy is out of order.")
        return True


class Closed(Policy):
    """Nobody but moderators may read."""

    def may_read(self, viewer: Viewer | None, thread: type[Thread]) -> bool:
        return viewer is not None and viewer.is_moderator


TARGETS = [
    targets_by_name([Target("article", titles, guests=guests), Target("film", titles)])
    for guests in (None, "moderate")
]
RULES = [
    HostRules(policy=policy, guests=guests, targets=targets, deleted_author=lambda: "Gone")
    for (policy, guests), targets in product(
        [
            (Policy(), "moderate"),
            (Policy(), "read"),
            (Discreet(), "write"),
            (Listed(), "write"),
            (Commented(), "read"),
            (CommentedOrOwn(), "write"),
            (Closed(), "write"),
        ],
        TARGETS,
    )
]


def _host_schema() -> Schema:
    @strawberry.type
    class Query:
        @strawberry.field
        def colour(self) -> str:
            return "red"

        @strawberry.field
        def viewer(self) -> str:
            return "the host's"

    return merge_schemas(Query, prefix="Forum", rename={"viewer": "me", "threads": "discussions"})


def _derived_schema() -> Schema:
    @strawberry.type
    class Query(TalliedQuery):
        @strawberry.field
        def colour(self) -> str:
            return "red"

    return merge_schemas(Query)


@dataclass(frozen=True)
class ServedSchema:
    """A schema with its roots that plans know, and those of a host."""

    schema: Schema
    prefix: str
    roots: Sequence[str]
    host_roots: Sequence[str]


@cache
def schemas() -> tuple[ServedSchema, ...]:
    """Return Tallied's own schema, a merged one with other names, and one of a derived Query."""
    renamed = {"viewer": "me", "threads": "discussions"}
    return (
        ServedSchema(schema, "", ROOTS, ROOTS_OF_CORE),
        ServedSchema(
            _host_schema(),
            "Forum",
            [renamed.get(name, name) for name in ROOTS],
            ["colour", "viewer", *ROOTS_OF_CORE],
        ),
        ServedSchema(_derived_schema(), "", ROOTS, ["colour", *ROOTS_OF_CORE]),
    )


async def values(database: Database) -> Values:
    """Return values of arguments, with cursors of real answers."""
    service = Service(database, Settings(), RULES[0], lambda _: None, schema)
    cursors: dict[tuple[str, str, str], list[str]] = {}
    ids: dict[str, list[str]] = {}
    for name, direction in product(
        ("CREATED_AT", "LAST_COMMENT_AT", "COMMENT_COUNT", "WORD_COUNT"), ("ASC", "DESC")
    ):
        query = (
            f"{{ threads(first: 50, orderBy: {{field: {name}, direction: {direction}}}) {{ edges {{"
            " cursor node { id comments(first: 50, orderBy: {field: CREATED_AT, direction: "
            f"{direction}}}, filterBy: {{topLevelOnly: false}}) {{ edges {{"
            " cursor node { id } } } commentsSince(seq: 0) { edges { cursor } } } } } }"
        )
        operation = await service.executor.prepare(Request(query))
        assert isinstance(operation, PreparedOperation)
        response = await service.executor.execute(operation, service.context())
        edges = response.body["data"]["threads"]["edges"]
        children = [edge for thread in edges for edge in thread["node"]["comments"]["edges"]]
        cursors["Thread", name, direction] = [edge["cursor"] for edge in edges]
        cursors["Comment", "CREATED_AT", direction] = [edge["cursor"] for edge in children]
        # By the name of the field, whose only order has cursors of its own.
        cursors["commentsSince", "CREATED_AT", "ASC"] = [
            edge["cursor"] for thread in edges for edge in thread["node"]["commentsSince"]["edges"]
        ]
        ids["Thread"] = [edge["node"]["id"] for edge in edges]
        ids["Comment"] = [edge["node"]["id"] for edge in children]
    async with database.read() as connection:
        keys = (await connection.execute(select(Author.id))).scalars()
        ids["Author"] = [encode_id("Author", key) for key in keys]
    for name in list(ids):
        ids[name] = [*ids[name], encode_id(name, UUID(int=7))]
    ids[""] = [id for name in ("Thread", "Comment", "Author", "Author") for id in ids[name][-12:]]
    moments = [
        (START + timedelta(hours=hour)).isoformat().replace("+00:00", zone)
        for hour, zone in ((-1, "Z"), (0, "+00:00"), (2, "Z"), (9, "Z"))
    ]
    return Values(
        ids,
        cursors,
        {
            "first": [1, 2, 3, 5, 50],
            "seq": [-1, 0, 1, 3, 8, 2**40],
            "siblings": [0, 1, 2, 49, None],
            "type": ["article", "film"],
            "key": ["1", "5", "2", "9"],
            "kind": ["like", "heart", "former", "never"],
            "titleContains": ["THREAD", "1", "%", "", "fi"],
            "authorName": ["Ada", "Grace", ""],
            "Boolean": [True, False],
            "Int": [0, 1, 2, 2**31 - 1],
            "DateTime": [*moments, "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"],
        },
        {
            "first": [0, -1, 101, 2**31 - 1, None],
            "siblings": [-1, 50, 2**31 - 1],
            "commentId": ["x", "", *ids["Thread"][:1]],
            "id": ["x", "", *(id.rstrip("=")[:-1] for id in ids[""][:2]), *ids[""]],
            "ids": ["x"],
            "[ids]": [ids[""][:1] * 101],
            "cursor": ["x", "", "A" * 100, "=", "é"],
            "authorId": ["x", *ids["Thread"][:1]],
            "type": ["song", ""],
            "key": ["\0", ""],
            "kind": ["\0", ""],
            "titleContains": ["\0", "x" * 201],
            "authorName": ["\0", "x" * 101],
        },
    )


@dataclass
class Oracle:
    """Compares the answers to random queries.

    :param chance: what draws the queries.
    """

    database: Database
    values: Values
    chance: random.Random
    equal: int = 0
    invalid: int = 0
    """The requests that no path executes, since the document is invalid or too large."""

    by_core: Counter[str] = field(default_factory=Counter)
    """The requests that plans have not executed, by the kind of reason."""

    def __post_init__(self) -> None:
        self.schemas = schemas()
        self._services: dict[Any, Service] = {}

    def service(self, served: ServedSchema, rules: HostRules) -> Service:
        """Return a service, which is kept."""
        key = id(served), id(rules)
        if key not in self._services:
            limits = {f"document_{name}": 5000 for name in LIMITS}
            settings = Settings(guests=rules.guests, operation_cost=1_000_000, **limits)
            self._services[key] = Service(
                self.database, settings, rules, lambda _: None, served.schema
            )
        return self._services[key]

    async def compare_one(self, *, errors: float = 0.0, rules: HostRules | None = None) -> None:
        """Compare the answers to one query with some variables, for some viewers."""
        served = self.chance.choice(self.schemas)
        service = self.service(served, rules or self.chance.choice(RULES))
        roots = served.roots
        if errors and self.chance.random() < 0.1:
            roots = [*roots, *served.host_roots]
        query = QueryWriter(
            self.chance, served.schema._schema, self.values, roots, served.prefix, errors
        ).write()
        is_first = True
        for _ in range(4):
            viewer = self.chance.choice(VIEWERS)
            is_run = await self.compare(
                service, query, viewer, is_first=is_first, is_plain=not errors
            )
            is_first = is_first and not is_run

    async def compare(
        self,
        service: Service,
        query: RandomQuery,
        viewer: Viewer | None,
        *,
        is_first: bool,
        is_plain: bool,
    ) -> bool:
        """Compare the answers to one request, and return whether anything has executed it.

        :param is_first: whether nothing has executed the query before.
        :param is_plain: whether a plan has to execute it.
        """
        variables = query.draw()
        operation = await service.executor.prepare(Request(query.text, variables))
        if isinstance(operation, GraphQLResponse):
            self.invalid += 1
            return False
        if is_first:  # which only counts the use
            await run_operation(service, viewer, operation, by_plan=True)
        counts = service.plans.counts
        before = reasons(counts)
        planned = await run_operation(service, viewer, operation, by_plan=True)
        expected = await run_operation(service, viewer, operation, by_plan=False)
        if planned is None:
            left = reasons(counts) - before
            if left.keys() != TOO_LARGE:
                self.by_core.update(left or Counter(["unsupported before"]))
                assert not is_plain, (left, query.text, variables)
            return True
        assert planned == expected, (query.text, variables, viewer, expected, planned)
        self.equal += 1
        return True


TOO_LARGE = {"unsupported: too many related rows of one row"}
"""The reason of a random query that no plan executes although each of its fields has one."""


def reasons(counts: Any) -> Counter[str]:
    """Return the reasons for which plans have not executed operations."""
    return Counter(
        {
            f"{kind}: {reason}": number
            for kind in ("unsupported", "guarded", "failed")
            for reason, number in getattr(counts, kind).items()
        }
    )


async def run_operation(
    service: Service, viewer: Viewer | None, operation: PreparedOperation, *, by_plan: bool
) -> bytes | None:
    """Return the JSON of an answer; None where a plan has none."""
    new_scheduler()
    context: Context = service.context(viewer)
    try:
        if not by_plan:
            response = await service.executor.execute(operation, context)
            return await context.size.dump(response.body)
        data = await service.plans.execute(
            operation.document, operation.node, context, operation.variables
        )
        if data is None:
            return None
        return await context.size.dump(
            {"data": data, "extensions": service.executor.extensions(operation)}, TIMES_IN_UTC
        )
    finally:
        await context.stop()
