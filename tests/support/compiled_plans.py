"""Plans of operations that are compiled once in a process.

Every Api has plans of its own, so that each test would compile its documents and statements anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphql import DocumentNode, OperationDefinitionNode
from sqlalchemy.util import LRUCache

from tallied.operations.compiler import Compiler
from tallied.operations.plan import Plan

from .parsed_documents import MAX_CHARACTERS, Key

MAX_PLANS = 512


class KeptPlans:
    """The plans of all databases of one driver and schema, as long as a test patches nothing."""

    def __init__(self) -> None:
        self.is_on = True
        self._compile = Compiler.compile
        self._compilers: dict[Any, Compiler] = {}
        self._plans: LRUCache[Any, Plan] = LRUCache(MAX_PLANS)

    def compile(
        self,
        compiler: Compiler,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        flags: Mapping[str, bool],
    ) -> Plan:
        """Return the plan of an operation, with the statements that it has compiled so far."""
        database, location = compiler.database, document.loc
        is_short = location is not None and location.end <= MAX_CHARACTERS
        if not (self.is_on and is_short and database.is_ours):
            return self._compile(compiler, document, operation, flags)
        scope = (compiler.schema, database.url.drivername, database.schema, compiler.page_size)
        key = (*scope, Key(operation), *sorted(flags.items()))
        plan = self._plans.get(key)
        if plan is None:
            shared = self._compilers.setdefault(scope, compiler)
            plan = self._plans[key] = self._compile(shared, document, operation, flags)
        return plan


plans = KeptPlans()


def keep_compiled_plans() -> None:
    """Let all services of this process share the plans of the same documents."""
    Compiler.compile = lambda *arguments: plans.compile(*arguments)  # type: ignore[method-assign]
