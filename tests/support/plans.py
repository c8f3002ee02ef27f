"""A service whose operations are executed by plans, and what it answers."""

from __future__ import annotations

from typing import Any

import orjson
from strawberry import Schema

from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.execution.executor import BY_POST, Request
from tallied.host.access import HostRules
from tallied.operations.plans import PlanCounts
from tallied.schema import build
from tallied.settings import Settings
from tallied.transport.service import Service


class PlannedApi:
    """A client of a service, whose documents are compiled before they are executed.

    :param settings: those of the service; guests may do everything by default.
    """

    def __init__(
        self,
        database: Database,
        rules: HostRules | None = None,
        schema: Schema = build.schema,
        **settings: Any,
    ) -> None:
        rules = rules or HostRules(guests="moderate")
        self.service = Service(
            database, Settings(guests=rules.guests, **settings), rules, lambda _: None, schema
        )

    @property
    def counts(self) -> PlanCounts:
        """What its plans have executed."""
        return self.service.plans.counts

    async def compile(self, query: str) -> None:
        """Have the next request with that query executed by a plan."""
        document = self.service.executor.documents.get(query)
        for operation in document.operations:
            await self.service.plans._find(document, operation, None)

    async def __call__(
        self, query: str, viewer: Viewer | None = None, **variables: Any
    ) -> dict[str, Any]:
        """Return the response to a request, of which no other came before."""
        document = self.service.executor.documents.get(query)
        if not document.plans:
            await self.compile(query)
        return await self.send(query, viewer, **variables)

    async def send(
        self, query: str, viewer: Viewer | None = None, **variables: Any
    ) -> dict[str, Any]:
        """Return the response to a request."""
        context = self.service.context(viewer)
        work = self.service._run(Request(query, variables), context, BY_POST)
        _, content = await self.service._limit(context, work)  # type: ignore[misc]
        response: dict[str, Any] = orjson.loads(content)
        return response

    async def by_core(
        self, query: str, viewer: Viewer | None = None, **variables: Any
    ) -> dict[str, Any]:
        """Return the response of graphql-core."""
        plans = self.service.plans
        plans._is_accepted, before = False, plans._is_accepted
        try:
            return await self.send(query, viewer, **variables)
        finally:
            plans._is_accepted = before
