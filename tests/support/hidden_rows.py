"""Rows that some viewers may not know of, and what these viewers can read of a database."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from graphql import (
    GraphQLNonNull,
    GraphQLObjectType,
    get_named_type,
    is_leaf_type,
)
from sqlalchemy import select

from tallied.auth.viewer import Viewer
from tallied.database import Database, UnitOfWork
from tallied.execution.executor import PreparedOperation, Request
from tallied.host.access import HostRules
from tallied.models import Author, Base, Comment, Flag, Thread
from tallied.models.base import new_id, now
from tallied.models.comment import DELETED
from tallied.schema.build import schema
from tallied.schema.ids import decode_id, encode_id
from tallied.settings import Settings
from tallied.transport.service import Service

from .host import Discreet
from .oracle import LIMITS, ROOTS, TARGETS, run_operation
from .oracle_rows import VIEWERS
from .random_documents import UNCOMPILED, QueryWriter, Values
from .statements import recorded

RULES = HostRules(policy=Discreet(), guests="write", targets=TARGETS[0])

UNAWARE = tuple(viewer for viewer in VIEWERS if viewer is None or not viewer.is_moderator)
"""The viewers who may know of no hidden comment, in lists that are not their own."""


class Question(NamedTuple):
    """A request of a viewer."""

    text: str
    variables: dict[str, Any]
    viewer: Viewer | None
    is_random: bool = False


class Reader:
    """Reads a database as viewers do, by plans and by graphql-core."""

    def __init__(self, database: Database) -> None:
        limits = {f"document_{name}": 10_000 for name in LIMITS}
        settings = Settings(guests="write", operation_cost=10_000_000, **limits)
        self._engine = database.engine.sync_engine
        self._service = Service(database, settings, RULES, lambda _: None, schema)

    async def read(self, question: Question) -> list[Any]:
        """Return the answer of graphql-core, and before it that of a plan to a random query.

        The first are the statements of the plan, since another one would take time.
        """
        operation = await self._service.executor.prepare(Request(question.text, question.variables))
        if not isinstance(operation, PreparedOperation):  # Few random queries are not valid.
            assert question.is_random, operation.body
            return []
        ask = partial(run_operation, self._service, question.viewer, operation)
        if not question.is_random:
            return [await ask(by_plan=False)]
        await ask(by_plan=True)  # The first use of a document is only counted.
        with recorded(self._engine) as executed:
            planned = await ask(by_plan=True)
        # How many objects a loader of graphql-core reads at once depends on the moment.
        return [executed.verbs, planned, await ask(by_plan=False)]


def complete_questions(ids: Sequence[str]) -> Iterator[Question]:
    """Yield requests for every field of the list of threads, and of objects with these ids.

    The last of them is the thread whose comments are read as well.
    """
    query = schema._schema.query_type
    assert query is not None
    selections = [_select(query, "threads", 2)]
    for place, id in enumerate(ids):
        name = decode_id(id, "id", "Comment", "Thread")[0].lower()
        depth = 4 if id == ids[-1] else 1
        for root in (name, "node"):
            selection = _select(query, root, depth, f"id: {json.dumps(id)}")
            selections.append(f"{root}{place}: {selection}")
    for viewer in UNAWARE[:2]:
        yield Question(f"{{ {' '.join(selections)} }}", {}, viewer)


def random_questions(chance: random.Random, values: Values, number: int) -> Iterator[Question]:
    """Yield so many random requests."""
    for _ in range(number):
        query = QueryWriter(chance, schema._schema, values, ROOTS).write()
        yield Question(query.text, query.draw(), chance.choice(UNAWARE), is_random=True)


def _select(type_: GraphQLObjectType, name: str, depth: int, arguments: str = "") -> str:
    """Return a field with all fields below it, to a depth."""
    definition = type_.fields[name]
    named: Any = get_named_type(definition.type)
    parts = [arguments] if arguments else []
    if "first" in definition.args:
        parts.append("first: 20")
    if "seq" in definition.args:
        parts.append("seq: 0")
    text = f"({', '.join(parts)})" if parts else ""
    if is_leaf_type(named):
        return f"{name}{text}"
    fields = [
        item
        for item, field in named.fields.items()
        if item not in UNCOMPILED
        and (depth > 1 or is_leaf_type(get_named_type(field.type)))
        and not (item == "node" and "cursor" in named.fields)
        and all(
            argument in ("seq",) or not isinstance(value.type, GraphQLNonNull)
            for argument, value in field.args.items()
        )
    ]
    selections = [_select(named, item, depth - 1) for item in fields]
    if not isinstance(named, GraphQLObjectType):
        selections = ["id"]
    return f"{name}{text} {{ {' '.join(selections) or '__typename'} }}"


async def read_tables(database: Database) -> list[tuple[Any, list[dict[str, Any]]]]:
    """Return the rows of all tables, each of which refers to none that comes later."""
    async with database.read() as connection:
        tables = []
        for table in Base.metadata.sorted_tables:
            rows = [dict(row._mapping) for row in await connection.execute(select(table))]
            tables.append((table, sorted(rows, key=lambda row: row.get("depth", 0))))
        return tables


async def write_tables(database: Database, tables: Sequence[tuple[Any, Any]]) -> None:
    """Replace the rows of all tables."""

    async def work(unit: UnitOfWork) -> None:
        connection = await unit.session.connection()
        for table, _ in reversed(tables):
            await connection.execute(table.delete())
        for table, rows in tables:
            if rows:
                await connection.execute(table.insert(), rows)

    await database.write(work)


_READABLE = (
    select(Thread)
    .where(Thread.comment_count > 2, Thread.title.not_like("Secret%"))
    .order_by(Thread.id)
)
"""The threads that everyone may read, and that have comments."""


async def hide_new_rows(database: Database) -> list[str]:
    """Add comments that are in no list, a hidden thread, and a flag; return their ids.

    One of the comments is deleted, and stays below a reply that was never published.
    """

    async def work(unit: UnitOfWork) -> list[str]:
        session = unit.session
        thread = (await session.scalars(_READABLE)).first()
        assert thread is not None
        shown = (
            await session.scalars(
                select(Comment).where(Comment.thread_id == thread.id, Comment.shown)
            )
        ).first()
        ada = (await session.scalars(select(Author).where(Author.subject == "7"))).one()
        assert shown is not None
        secret = Thread(title="Secret plans", target_type="article", target_id="99")
        root, depth = shown.root_id or shown.id, shown.depth + 1
        reply = {"parent_id": shown.id, "root_id": root, "depth": depth}
        gone = Comment(thread_id=thread.id, status=DELETED, deleted_at=now(), deleted_by="author")
        answer = {"parent_id": gone.id, "root_id": gone.id, "depth": 1}
        new = [
            Comment(thread_id=thread.id, author_id=ada.id, status="pending"),
            Comment(thread_id=thread.id, author_name="Grace", status="spam"),
            gone,
            Comment(thread_id=thread.id, author_id=ada.id, status="pending", **answer),
            Comment(thread_id=thread.id, author_id=ada.id, status="rejected", **reply),
            Comment(thread_id=thread.id, author_name="Ada", status="pending", **reply),
            Comment(thread_id=secret.id, author_id=ada.id),
            Comment(thread_id=secret.id, author_name="Grace", status="pending"),
        ]
        for comment in new:
            comment.message = "" if comment is gone else "Hidden words"
        session.add(secret)
        await session.flush()
        session.add_all(new)
        session.add(Flag(comment_id=shown.id, author_id=ada.id, reason="spam"))
        shown.flagged = True
        await session.flush()
        return [
            *(encode_id("Comment", comment.id) for comment in new),
            encode_id("Thread", secret.id),
            encode_id("Comment", shown.id),
            encode_id("Thread", thread.id),
        ]

    return await database.write(work)


async def add_published(database: Database) -> list[str]:
    """Add comments that are published, and have no replies; return their ids."""

    async def work(unit: UnitOfWork) -> list[str]:
        session = unit.session
        thread = (await session.scalars(_READABLE)).first()
        assert thread is not None
        ada = (await session.scalars(select(Author).where(Author.subject == "7"))).one()
        new = [
            Comment(id=new_id(), thread_id=thread.id, author_id=ada.id, message="Once shown"),
            Comment(id=new_id(), thread_id=thread.id, author_name="Ada", message="Once shown, too"),
        ]
        session.add_all(new)
        await session.flush()
        ids = [encode_id("Comment", comment.id) for comment in new]
        return [*ids, encode_id("Thread", thread.id)]

    return await database.write(work)
