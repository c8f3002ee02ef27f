"""The oracle of mutations: two equal databases, one changed by plans and one by graphql-core."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch
from uuid import UUID

from graphql import print_ast
from sqlalchemy import select

from tallied.concurrency.scheduler import new_scheduler
from tallied.database import Database
from tallied.execution.executor import GraphQLResponse, PreparedOperation, Request
from tallied.models import Author, Base, Comment, Thread, base
from tallied.transport.service import Service

from .oracle import RULES, Commented, Oracle, ServedSchema, reasons, values
from .oracle_rows import VIEWERS, fill
from .random_documents import MutationWriter, Values

MUTATIONS = (
    "createThread",
    "renameThread",
    "deleteThread",
    "lockThread",
    "unlockThread",
    "threadFor",
    "addComment",
    "addComment",
    "editComment",
    "moveComment",
    "deleteComment",
    "addReaction",
    "removeReaction",
    "markRead",
    "deleteAuthor",
)

TEXTS: Mapping[str, Sequence[Any]] = {
    "message": ["one two", "*three* \u2028\\ <b>", "日本語 🙂"],
    "title": ["Thread 0", "Été % ﬁ", "Secret"],
    "clientMutationId": ["1", "2", ""],
    "String": ["one", "two"],
    "kind": ["like", "heart"],
    "upTo": [-1, 0, 2, 2**40],
}
WRONG_TEXTS: Mapping[str, Sequence[Any]] = {
    "message": ["", "\0", "x" * 10_001, None],
    "title": [" ", "a\nb", "x" * 500, 7],
    "clientMutationId": ["\0", 1],
}
READABLE = [rules for rules in RULES if not isinstance(rules.policy, Commented)]
"""Rules whose condition on threads can stand beside comments in one statement."""

ALLOWED = {"guarded: rejected change", "guarded: changed row"}
"""The reasons for which graphql-core answers a mutation whose input is plain."""


class Clock:
    """The time and the keys of a process, which are the same after each start."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 6, 1, tzinfo=UTC)
        self.keys = 0

    def now(self, _: object = None) -> datetime:
        """Return the time, which is later at each call."""
        self.moment += timedelta(milliseconds=1)
        return self.moment

    def uuid7(self) -> UUID:
        """Return a new key of the present time."""
        self.keys += 1
        milliseconds = int(self.moment.timestamp() * 1000)
        return UUID(int=(milliseconds << 80) | (7 << 76) | (2 << 62) | self.keys)


@contextmanager
def fixed_time(step: int) -> Iterator[None]:
    """Give the block times and keys that depend on its step alone."""
    clock = Clock()
    clock.moment += timedelta(seconds=20 * step)
    clock.keys = 1_000 * step
    with patch.object(base, "datetime", clock), patch.object(base, "uuid7", clock.uuid7):
        yield


@dataclass
class MutationOracle:
    """Makes random mutations on both databases, and compares the answers.

    :param planned: the database that plans change.
    :param expected: its twin, which graphql-core changes.
    """

    planned: Database
    expected: Database
    chance: random.Random
    executed: int = 0
    """The mutations that plans have made and answered."""
    by_core: Counter[str] = field(default_factory=Counter)
    step: int = 0
    _values: Values | None = None

    @classmethod
    async def create(cls, planned: Database, expected: Database, seed: int) -> MutationOracle:
        """Return an oracle of two databases, which it fills."""
        for database in (planned, expected):
            with fixed_time(0):
                await fill(database, random.Random(seed))
        return cls(planned, expected, random.Random(seed))

    async def compare_one(self, *, errors: float = 0.0) -> None:
        """Compare the answers to one document, with some variables and for some viewers."""
        if self._values is None or self.step % 4 == 0:  # Some rows are deleted by then.
            self._values = await values(self.planned)
        existing = self._values
        oracle = Oracle(self.planned, existing, self.chance)
        twin = Oracle(self.expected, existing, self.chance)
        served, rules = self.chance.choice(oracle.schemas), self.chance.choice(READABLE)
        writer = MutationWriter(
            self.chance,
            served.schema._schema,
            with_texts(existing),
            _names(served),
            served.prefix,
            errors,
        )
        document = writer.write()
        services = oracle.service(served, rules), twin.service(served, rules)
        for use in range(3):
            request = Request(document.text, document.draw())
            viewer = self.chance.choice(VIEWERS)
            operation = await services[0].executor.prepare(request)
            if isinstance(operation, GraphQLResponse):
                return
            if use == 0:  # which only counts the use
                await services[0].plans._find(operation.document, operation.node, request.variables)
            await self._compare(services, operation, viewer, is_plain=not errors)

    async def _compare(
        self,
        services: tuple[Service, Service],
        operation: PreparedOperation,
        viewer: Any,
        *,
        is_plain: bool,
    ) -> None:
        self.step += 1
        counts = services[0].plans.counts
        before, executed = reasons(counts), counts.executed
        answers = []
        for service, by_plan in zip(services, (True, False), strict=True):
            new_scheduler()
            context = service.context(viewer)
            with fixed_time(self.step):
                try:
                    if by_plan:
                        _, answer = await service._execute(operation, context)
                    else:
                        response = await service.executor.execute(operation, context)
                        answer = await context.size.dump(response.body)
                finally:
                    await context.stop()
            answers.append(answer)
        description = (print_ast(operation.document_node), operation.variables, viewer)
        assert answers[0] == answers[1], (*description, *answers)
        self.executed += counts.executed - executed
        new = reasons(counts) - before
        self.by_core.update(new)
        assert not is_plain or new.keys() <= ALLOWED, (*description, new)

    async def compare_rows(self) -> None:
        """Compare all rows of the two databases."""
        for model in (Thread, Comment, Author):
            rows = [await _rows(database, model) for database in (self.planned, self.expected)]
            assert rows[0] == rows[1]


async def _rows(database: Database, model: type[Base]) -> list[tuple[Any, ...]]:
    async with database.read() as connection:
        table = model.__table__
        result = await connection.execute(select(table).order_by(table.c.id))
        return [tuple(row) for row in result]


def _names(served: ServedSchema) -> list[str]:
    assert served.schema._schema.mutation_type is not None
    # The merged schema has renamed a query of the same name only.
    return [name for name in MUTATIONS if name in served.schema._schema.mutation_type.fields]


def with_texts(values: Values) -> Values:
    """Return the same with the texts of mutations."""
    scalars = {**values.scalars, **TEXTS, "authorName": ["Ada", "Grace", "Été"]}
    wrong = {**values.wrong, **WRONG_TEXTS}
    wrong |= {name: ["x", "", 7, None] for name in ("threadId", "commentId")}
    return Values(values.ids, values.cursors, scalars, wrong)
