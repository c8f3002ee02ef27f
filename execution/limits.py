"""The limits of a document, which are checked before its validation in linear time.

Some of the specified validation rules take time that grows with the square of a document, above all
the rule that fields can be merged (GraphQL specification, section 5.3.2), which compares all fields
at the same place. So only small documents may be validated. The checks follow fragments as the
execution does, and stop at a limit: a small document whose fragments expand to a huge one takes no
longer than the limit.
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
"""The most repetitions of one field at the same place, which validation compares."""


class _LimitExceeded(Exception):
    """The document is beyond a limit, so the rest of it is not checked."""

    def __init__(self, error: GraphQLError) -> None:
        super().__init__(error.message)
        self.error = error


def limit_error(limit: str, maximum: int, sentence: str, node: Node | None = None) -> GraphQLError:
    """Return the error of a limit.

    :param limit: the name of the limit's setting.
    """
    extensions = {"code": LIMIT_EXCEEDED, "limit": limit, "maximum": maximum}
    return GraphQLError(sentence, node, extensions=extensions)


def check_limits(document: DocumentNode, settings: Settings) -> GraphQLError | None:
    """Return an error for the first limit that is exceeded, or a fragment that spreads itself."""
    try:
        _Limits(document, settings).check()
    except _LimitExceeded as exceeded:
        return exceeded.error
    return None


class _Limits:
    def __init__(self, document: DocumentNode, settings: Settings) -> None:
        self.settings = settings
        self.definitions = document.definitions
        self.operations = _definitions(document, OperationDefinitionNode)
        self.fragments = {
            node.name.value: node for node in _definitions(document, FragmentDefinitionNode)
        }
        self.spread: set[str] = set()
        self.remaining_fields = settings.document_fields

    def check(self) -> None:
        """Raise an error at the first limit that is exceeded."""
        fragments = sum(isinstance(node, FragmentDefinitionNode) for node in self.definitions)
        self._at_most("document_operations", len(self.operations), "operations")
        self._at_most("document_fragments", fragments, "fragments")
        self._count()
        _reject_cycles(self.fragments)
        for operation in self.operations:
            self._root(operation)
        for name, fragment in self.fragments.items():
            if name not in self.spread:
                self._walk([fragment.selection_set], 0, "document_depth")

    def _count(self) -> None:
        """Count the parts of the document as they are written, whether or not they are used."""
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
            self._exceed(limit, f"The document has {count} {what}; at most {{}} are allowed.")

    def _exceed(self, limit: str, sentence: str, node: Node | None = None) -> NoReturn:
        maximum: int = getattr(self.settings, limit)
        raise _LimitExceeded(limit_error(limit, maximum, sentence.format(maximum), node))

    def _root(self, operation: OperationDefinitionNode) -> None:
        fields = self._collect([operation.selection_set])
        names = Counter(nodes[0].name.value for nodes in fields.values())
        for name, count in names.items():
            if count > self.settings.document_root_fields:
                sentence = f"The operation has {name} {count} times; at most {{}} are allowed."
                self._exceed("document_root_fields", sentence, operation)
        for nodes in fields.values():
            introspects = nodes[0].name.value in ("__schema", "__type")
            self._below(nodes, 1, "introspection_depth" if introspects else "document_depth")

    def _walk(self, sets: list[SelectionSetNode], depth: int, limit: str) -> None:
        for nodes in self._collect(sets).values():
            self._below(nodes, depth + 1, limit)

    def _below(self, nodes: list[FieldNode], depth: int, limit: str) -> None:
        """Check a place that is so many fields deep, and all below it."""
        name = nodes[0].name.value
        if len(nodes) > MAX_REPEATS:
            sentence = (
                f"{name} stands {len(nodes)} times at the same place; at most {MAX_REPEATS} may."
            )
            raise _LimitExceeded(limit_error("document_repeats", MAX_REPEATS, sentence, nodes[0]))
        if depth > getattr(self.settings, limit):
            self._exceed(limit, "The document is more than {} fields deep.", nodes[0])
        sets = [node.selection_set for node in nodes if node.selection_set]
        if sets:
            self._walk(sets, depth, limit)

    def _collect(self, sets: list[SelectionSetNode]) -> dict[str, list[FieldNode]]:
        """Return the fields at one place: CollectFields() of section 6.3.2, without types."""
        fields: dict[str, list[FieldNode]] = {}
        spread_names: set[str] = set()
        pending: list[SelectionNode] = [node for part in sets for node in part.selections]
        while pending:
            self.remaining_fields -= 1
            if self.remaining_fields < 0:
                sentence = "With its fragments spread out, the document has more than {} fields."
                self._exceed("document_fields", sentence)
            node = pending.pop()
            if isinstance(node, FieldNode):
                fields.setdefault((node.alias or node.name).value, []).append(node)
            elif isinstance(node, InlineFragmentNode):
                pending.extend(node.selection_set.selections)
            elif isinstance(node, FragmentSpreadNode):
                name = node.name.value
                if name in self.fragments and name not in spread_names:
                    spread_names.add(name)
                    pending.extend(self.fragments[name].selection_set.selections)
        self.spread |= spread_names
        return fields


def _definitions(document: DocumentNode, kind: type[N]) -> list[N]:
    return [node for node in document.definitions if isinstance(node, kind)]


def _selections(node: SelectionSetNode | None) -> Iterator[SelectionNode]:
    """Yield every selection below a selection set, as it is written."""
    pending = list(node.selections) if node else []
    while pending:
        selection = pending.pop()
        yield selection
        inner = getattr(selection, "selection_set", None)
        if inner:
            pending.extend(inner.selections)


def _reject_cycles(fragments: Mapping[str, FragmentDefinitionNode]) -> None:
    """Reject a fragment that spreads itself (specification, section 5.5.2.2)."""
    done: set[str] = set()
    path: list[str] = []

    # The recursion is at most as deep as there are fragments.
    def visit(name: str) -> None:
        path.append(name)
        for node in _selections(fragments[name].selection_set):
            if not isinstance(node, FragmentSpreadNode) or node.name.value not in fragments:
                continue
            if node.name.value in path:
                sentence = f"Cannot spread fragment {node.name.value!r} within itself."
                raise _LimitExceeded(GraphQLError(sentence, node))
            if node.name.value not in done:
                visit(node.name.value)
        done.add(path.pop())

    for name in fragments:
        if name not in done:
            visit(name)
