"""The plans of documents, which are compiled at their second use."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from graphql import DirectiveNode, OperationDefinitionNode, Visitor, visit
from strawberry import Schema

from ..database import Database
from ..execution.context import Context
from ..execution.documents import MAX_INLINE_CHARACTERS, Document
from ..execution.response_size import ResponseTooLarge
from .arguments import variable_names
from .compiler import Compiler
from .errors import Guard, Unsupported
from .plan import Plan

logger = logging.getLogger("tallied.operations")

MAX_COMBINATIONS = 16
"""How many combinations of the flags of ``@skip`` and ``@include`` are compiled of an operation."""

_MISSING = object()

_THREAD = ThreadPoolExecutor(1, "tallied-plans")


@dataclass
class PlanCounts:
    """How many operations are executed by plans, and why the others are not.

    The reasons are few: kinds, names of the schema, and types of errors.
    """

    compiled: int = 0
    """Plans, of which an operation has one for each combination of its flags."""

    executed: int = 0
    """Operations that plans have executed."""

    unsupported: Counter[str] = field(default_factory=Counter)
    """Operations that are not compiled, once each, by the part that the compiler does not know."""

    guarded: Counter[str] = field(default_factory=Counter)
    """Requests that are not the plain case, by the kind of reason."""

    failed: Counter[str] = field(default_factory=Counter)
    """Executions that have raised an error, by its type."""


class OperationPlans:
    """The plans of one operation, by the flags of ``@skip`` and ``@include``.

    They are kept with the operation's document, and so are evicted with it.
    """

    def __init__(self, document: Document, operation: OperationDefinitionNode) -> None:
        self._document = document
        self._operation = operation
        self._uses = 0
        self._defaults = {
            definition.variable.name.value: getattr(definition.default_value, "value", _MISSING)
            for definition in operation.variable_definitions or ()
        }
        # Those of other operations of the document are none of its own.
        self._flags = tuple(filter(self._defaults.__contains__, _flag_variables(document)))
        self._plans: dict[tuple[bool, ...], Plan | None] = {}
        self.only: Plan | None = None
        """The plan of all requests, once it is compiled, if there are no flags."""

    async def find(
        self, compiler: Compiler, counts: PlanCounts, variables: Mapping[str, Any] | None
    ) -> Plan | None:
        """Return the plan for a request, or None where graphql-core executes it."""
        self._uses += 1
        if self._uses == 1:
            return None
        values = variables or {}
        flags = tuple([values.get(name, self._defaults.get(name)) for name in self._flags])
        if flags in self._plans:
            return self._plans[flags]
        if len(self._plans) >= MAX_COMBINATIONS or not all(type(flag) is bool for flag in flags):
            counts.guarded["flags"] += 1
            return None
        plan = None
        try:
            plan = await self._compile(compiler, dict(zip(self._flags, flags, strict=True)))
            counts.compiled += 1
        except Unsupported as error:
            logger.debug("an operation is not compiled, because of %s", error)
            counts.unsupported[str(error)] += 1
        except Exception as error:
            logger.warning("an operation could not be compiled", exc_info=error)
            counts.unsupported[type(error).__name__] += 1
        if len(self._plans) < MAX_COMBINATIONS:
            self._plans[flags] = plan
            self.only = None if self._flags else plan
        return plan

    async def _compile(self, compiler: Compiler, flags: Mapping[str, bool]) -> Plan:
        """Return a plan; that of a long document is compiled without blocking the event loop."""
        document = self._document.node
        assert document is not None
        if document.loc is None or document.loc.end <= MAX_INLINE_CHARACTERS:
            return compiler.compile(document, self._operation, flags)
        return await asyncio.get_running_loop().run_in_executor(
            _THREAD, compiler.compile, document, self._operation, flags
        )


def _flag_variables(document: Document) -> tuple[str, ...]:
    names: dict[str, None] = {}

    class Finder(Visitor):
        def enter_directive(self, node: DirectiveNode, *_: Any) -> None:
            names.update(dict.fromkeys(variable_names(node)))

    assert document.node is not None
    visit(document.node, Finder())
    return tuple(names)


class Plans:
    """The plans of one schema's operations."""

    def __init__(self, schema: Schema, database: Database, page_size: int) -> None:
        self.counts = PlanCounts()
        self._compiler = Compiler(schema, database, page_size)
        self._is_accepted = not schema.extensions and not schema.directives

    async def execute(
        self,
        document: Document,
        operation: OperationDefinitionNode,
        context: Context,
        variables: Mapping[str, Any] | None,
    ) -> dict[str, Any] | None:
        """Return the data of a response, or None where graphql-core executes the operation.

        :raises ResponseTooLarge: if the response has become too large.
        """
        name = operation.name.value if operation.name else None
        plans: OperationPlans | None = document.plans.get(name)
        plan = plans.only if plans and self._is_accepted else None
        if plan is None:
            plan = await self._find(document, operation, variables)
        if plan is None:
            return None
        try:
            data = await plan.execute(context, variables)
        except ResponseTooLarge:
            raise
        except Guard as error:
            self.counts.guarded[str(error)] += 1
        except Exception as error:
            # graphql-core finds it again, and puts it at its place.
            self.counts.failed[type(error).__name__] += 1
        else:
            self.counts.executed += 1
            return data
        context.size.restart()
        return None

    async def _find(
        self,
        document: Document,
        operation: OperationDefinitionNode,
        variables: Mapping[str, Any] | None,
    ) -> Plan | None:
        if not self._is_accepted:
            return None
        name = operation.name.value if operation.name else None
        plans = document.plans.get(name)
        if plans is None:
            plans = document.plans[name] = OperationPlans(document, operation)
        plan: Plan | None = await plans.find(self._compiler, self.counts, variables)
        return plan
