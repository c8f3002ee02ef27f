"""The limits of a document, checked before it is validated, in time linear in the document.

Some of the specified validation rules take time that grows with the square of a
document, above all the one that fields can be merged (GraphQL specification, section
5.3.2), which compares all the fields that stand at the same place. So what is validated
must be small, and is made sure to be here. The checks follow fragments as execution
does, and stop at a limit: a small document whose fragments spread each other into a huge
one costs no more than the limit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NoReturn, TypeVar

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    Node,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
)

from ..settings import Settings

N = TypeVar("N", bound=Node)

LIMIT_EXCEEDED = "LIMIT_EXCEEDED"

MAX_REPEATS = 30
"""How often one field may stand at the same place, which its repeats are compared for."""


class _LimitExceeded(Exception):
    """The document is past a limit; the rest of it need not be looked at."""

    def __init__(self, error: GraphQLError) -> None:
        super().__init__(error.message)
        self.error = error


def limit_error(limit: str, maximum: int, says: str, node: Node | None = None) -> GraphQLError:
    """What a client is told of a limit.

    :param limit: the limit's name: that of its setting.
    """
    extensions = {"code": LIMIT_EXCEEDED, "limit": limit, "maximum": maximum}
    return GraphQLError(says, node, extensions=extensions)


def check_limits(document: DocumentNode, settings: Settings) -> GraphQLError | None:
    """The first limit that a document is past, or the first fragment that spreads itself."""
    try:
        _Limits(document, settings).check()
    except _LimitExceeded as refused:
        return refused.error
    return None


class _Limits:
    def __init__(self, document: DocumentNode, settings: Settings) -> None:
        self.settings = settings
        self.definitions = document.definitions
        self.operations = _of(document, OperationDefinitionNode)
        self.fragments = {node.name.value: node for node in _of(document, FragmentDefinitionNode)}
        self.spread: set[str] = set()
        self.left = settings.document_fields

    def check(self) -> None:
        """Raise at the first limit that is past."""
        fragments = sum(isinstance(node, FragmentDefinitionNode) for node in self.definitions)
        self._at_most("document_operations", len(self.operations), "operations")
        self._at_most("document_fragments", fragments, "fragments")
        self._count()
        _refuse_cycles(self.fragments)
        for operation in self.operations:
            self._root(operation)
        for name, fragment in self.fragments.items():
            if name not in self.spread:
                self._walk([fragment.selection_set], 0, "document_depth")

    def _count(self) -> None:
        """Count what is written, whether or not it is used."""
        aliases = directives = selections = 0
        for node in self.definitions:
            directives += len(getattr(node, "directives", None) or ())
            for variable in getattr(node, "variable_definitions", None) or ():
                directives += len(variable.directives or ())
            for selection in _selections(getattr(node, "selection_set", None)):
                selections += 1
                directives += len(selection.directives or ())
                aliases += getattr(selection, "alias", None) is not None
        self._at_most("document_fields", selections, "fields")
        self._at_most("document_aliases", aliases, "aliases")
        self._at_most("document_directives", directives, "directives")

    def _at_most(self, limit: str, count: int, what: str) -> None:
        if count > getattr(self.settings, limit):
            self._refuse(limit, f"The document has {count} {what}; at most {{}} are allowed.")

    def _refuse(self, limit: str, says: str, node: Node | None = None) -> NoReturn:
        maximum: int = getattr(self.settings, limit)
        raise _LimitExceeded(limit_error(limit, maximum, says.format(maximum), node))

    def _root(self, operation: OperationDefinitionNode) -> None:
        fields = self._collect([operation.selection_set])
        names = Counter(found[0].name.value for found in fields.values())
        for name, count in names.items():
            if count > self.settings.document_root_fields:
                says = f"The operation has {name} {count} times; at most {{}} are allowed."
                self._refuse("document_root_fields", says, operation)
        for found in fields.values():
            introspects = found[0].name.value in ("__schema", "__type")
            self._below(found, 1, "introspection_depth" if introspects else "document_depth")

    def _walk(self, sets: list[SelectionSetNode], depth: int, limit: str) -> None:
        for found in self._collect(sets).values():
            self._below(found, depth + 1, limit)

    def _below(self, found: list[FieldNode], depth: int, limit: str) -> None:
        """What stands below a place that is so many fields deep."""
        name = found[0].name.value
        if len(found) > MAX_REPEATS:
            says = f"{name} stands {len(found)} times at the same place; at most {MAX_REPEATS} may."
            raise _LimitExceeded(limit_error("document_repeats", MAX_REPEATS, says, found[0]))
        if depth > getattr(self.settings, limit):
            self._refuse(limit, "The document is more than {} fields deep.", found[0])
        sets = [node.selection_set for node in found if node.selection_set]
        if sets:
            self._walk(sets, depth, limit)

    def _collect(self, sets: list[SelectionSetNode]) -> dict[str, list[FieldNode]]:
        """CollectFields() of the specification, section 6.3.2, whatever the types."""
        fields: dict[str, list[FieldNode]] = {}
        seen: set[str] = set()
        todo: list[SelectionNode] = [node for each in sets for node in each.selections]
        while todo:
            self.left -= 1
            if self.left < 0:
                says = "With its fragments spread out, the document has more than {} fields."
                self._refuse("document_fields", says)
            node = todo.pop()
            if isinstance(node, FieldNode):
                fields.setdefault((node.alias or node.name).value, []).append(node)
            elif isinstance(node, InlineFragmentNode):
                todo.extend(node.selection_set.selections)
            elif isinstance(node, FragmentSpreadNode):
                name = node.name.value
                if name in self.fragments and name not in seen:
                    seen.add(name)
                    todo.extend(self.fragments[name].selection_set.selections)
        self.spread |= seen
        return fields


def _of(document: DocumentNode, kind: type[N]) -> list[N]:
    return [node for node in document.definitions if isinstance(node, kind)]


def _selections(node: SelectionSetNode | None) -> Iterator[SelectionNode]:
    """Every selection below a selection set, as it is written."""
    todo = list(node.selections) if node else []
    while todo:
        selection = todo.pop()
        yield selection
        inner = getattr(selection, "selection_set", None)
        if inner:
            todo.extend(inner.selections)


def _refuse_cycles(fragments: Mapping[str, FragmentDefinitionNode]) -> None:
    """Refuse a fragment that spreads itself (specification, section 5.5.2.2)."""
    done: set[str] = set()
    path: list[str] = []

    # As deep as there are fragments, at most.
    def visit(name: str) -> None:
        path.append(name)
        for node in _selections(fragments[name].selection_set):
            if not isinstance(node, FragmentSpreadNode) or node.name.value not in fragments:
                continue
            if node.name.value in path:
                says = f"Cannot spread fragment {node.name.value!r} within itself."
                raise _LimitExceeded(GraphQLError(says, node))
            if node.name.value not in done:
                visit(node.name.value)
        done.add(path.pop())

    for name in fragments:
        if name not in done:
            visit(name)
