"""The plans of documents, which are compiled at their second use."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from graphql import DirectiveNode, OperationDefinitionNode, Visitor, visit
from strawberry import Schema

from ..database import Database
from ..execution.documents import Document
from .arguments import variable_names
from .compiler import Compiler
from .errors import Unsupported
from .plan import Plan

logger = logging.getLogger("tallied.operations")

MAX_COMBINATIONS = 16
"""How many combinations of the flags of ``@skip`` and ``@include`` are compiled of an operation."""

_MISSING = object()


class OperationPlans:
    """The plans of one operation, by the flags of ``@skip`` and ``@include``.

    They are kept with the operation's document, and so are evicted with it.
    """

    def __init__(self, document: Document, operation: OperationDefinitionNode) -> None:
        self._document = document
        self._operation = operation
        self._uses = 0
        self._flags = _flag_variables(document)
        self._defaults = {
            definition.variable.name.value: getattr(definition.default_value, "value", _MISSING)
            for definition in operation.variable_definitions or ()
        }
        self._plans: dict[tuple[bool, ...], Plan | None] = {}

    def find(self, compiler: Compiler, variables: Mapping[str, Any] | None) -> Plan | None:
        """Return the plan for a request, or None where graphql-core executes it."""
        self._uses += 1
        if self._uses == 1:
            return None
        values = variables or {}
        flags = tuple(values.get(name, self._defaults.get(name)) for name in self._flags)
        if flags in self._plans:
            return self._plans[flags]
        if len(self._plans) >= MAX_COMBINATIONS or not all(type(flag) is bool for flag in flags):
            return None
        plan = None
        try:
            assert self._document.node is not None
            plan = compiler.compile(
                self._document.node, self._operation, dict(zip(self._flags, flags, strict=True))
            )
        except Unsupported as error:
            logger.debug("an operation is not compiled, because of %s", error)
        self._plans[flags] = plan
        return plan


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
        self._compiler = Compiler(schema, database, page_size)
        self._is_accepted = not schema.extensions and not schema.directives

    def find(
        self,
        document: Document,
        operation: OperationDefinitionNode,
        variables: Mapping[str, Any] | None,
    ) -> Plan | None:
        """Return the plan of a request, or None where graphql-core executes it."""
        if not self._is_accepted:
            return None
        name = operation.name.value if operation.name else None
        plans = document.plans.get(name)
        if plans is None:
            plans = document.plans[name] = OperationPlans(document, operation)
        plan: Plan | None = plans.find(self._compiler, variables)
        return plan
