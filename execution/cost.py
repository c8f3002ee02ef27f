"""The cost of an operation, which is known before its execution.

The cost is the number of nodes (threads, comments) that the operation may read. A connection reads
as many as its ``first`` or ``last`` allows, and the fields below it are multiplied by that number.
This is GitHub's node limit (docs.github.com, "Rate limits and query limits for the GraphQL API").
``@skip`` and ``@include`` do not lower it. A connection with only its ``totalCount`` counts as one
node. The surroundings of a comment have as many nodes on each side as ``siblings`` allows, and
ancestors as many as replies may be deep. A host's plain list is measured in the same way if it has
an argument ``first`` or ``last``.

An introspection reads no node. It is measured by the number of fields in its response, which may be
as high as that of the standard introspection query.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_introspection_query,
    get_named_type,
    get_nullable_type,
    is_list_type,
    parse,
)
from graphql.utilities import type_from_ast
from strawberry.schema.schema_converter import GraphQLCoreConverter

from ..resolvers.pagination.arguments import SIZE_METADATA
from ..resolvers.pagination.surroundings import DEFAULT_SIBLINGS
from ..settings import Settings
from .field_declarations import (
    AncestorsField,
    FieldDeclaration,
    SurroundingsField,
    TargetCountsField,
    declaration_of,
)
from .introspection_lists import ListLengths, measure_lists
from .limits import limit_error

MAX_INTROSPECTIONS = 1.25
"""The most introspection of an operation, in standard introspection queries."""

Typed = tuple[GraphQLNamedType, SelectionSetNode]
Values = Mapping[str, Any]


class FieldCost(NamedTuple):
    """The cost of a field: how many times it reads nodes, and how many each time."""

    sizes: tuple[ValueNode, ...] | None
    """The arguments with the number of times; None for once."""
    node_count: int
    """The nodes of the field itself, each time."""
    children: tuple[FieldCost, ...]
    default: int | None = None
    """The number of times without an argument; None for the maximum of a page."""
    has_two_sides: bool = False
    """Whether it is that number of rows before one row, and after it."""

    def nodes(self, values: Values, page_size: int) -> int:
        """Return the number of nodes, with the values of the variables."""
        times = 1 if self.sizes is None else _times(self.sizes, values, page_size, self.default)
        times = 2 * times + 1 if self.has_two_sides else times
        below = sum(child.nodes(values, page_size) for child in self.children)
        return times * (self.node_count + below)

    @property
    def varies(self) -> bool:
        """Whether a variable is one of the sizes."""
        own = any(isinstance(node, VariableNode) for node in self.sizes or ())
        return own or any(child.varies for child in self.children)


@dataclass
class OperationCost:
    """The cost of an operation, as far as its document determines it."""

    reaches: tuple[FieldCost, ...]
    defaults: Values
    introspects: float
    """The most fields in the response to an introspection."""
    _fixed: dict[int, int] = field(default_factory=dict)
    """The number of nodes by the size of a page, if it does not depend on variables."""

    def nodes(self, variables: Values | None, page_size: int) -> int:
        """Return the number of nodes that the operation may read."""
        nodes = self._fixed.get(page_size)
        if nodes is None:
            nodes = self._count(variables, page_size)
            if not any(reach.varies for reach in self.reaches):
                self._fixed[page_size] = nodes
        return nodes

    def _count(self, variables: Values | None, page_size: int) -> int:
        values = {**self.defaults, **(variables or {})}
        return sum(reach.nodes(values, page_size) for reach in self.reaches)


@dataclass(frozen=True)
class CostEstimator:
    """Measures the cost of a schema's operations."""

    schema: GraphQLSchema
    reply_depth: int = Settings.reply_depth
    """How many comments are above another, at most."""

    def measure(self, document: DocumentNode, operation: OperationDefinitionNode) -> OperationCost:
        """Return the cost of an operation of a valid document."""
        return _CostMeasurement(self, document, self._lists).cost(operation)

    def check_cost(
        self, cost: OperationCost, nodes: int, settings: Settings
    ) -> GraphQLError | None:
        """Return an error for an operation that costs too much, or None.

        :param nodes: the number of nodes with the operation's variables.
        """
        maximum = settings.operation_cost
        if nodes > maximum:
            sentence = (
                f"The operation may reach {nodes} nodes; at most {maximum} are allowed: ask for "
                f"smaller pages, or nest fewer of them."
            )
            return limit_error("operation_cost", maximum, sentence)
        if not cost.introspects:
            return None
        maximum = round(self.most_introspection * MAX_INTROSPECTIONS)
        if cost.introspects > maximum:
            sentence = (
                f"The introspection may have {cost.introspects:.0f} fields; at most {maximum} are "
                f"allowed, which is what the standard introspection query needs."
            )
            return limit_error("introspection", maximum, sentence)
        return None

    @cached_property
    def most_introspection(self) -> float:
        """The cost of the standard introspection query with all its options."""
        document = parse(
            get_introspection_query(
                specified_by_url=True,
                directive_is_repeatable=True,
                schema_description=True,
                input_value_deprecation=True,
            )
        )
        (operation,) = (
            node for node in document.definitions if isinstance(node, OperationDefinitionNode)
        )
        return self.measure(document, operation).introspects

    @cached_property
    def _lists(self) -> ListLengths:
        return measure_lists(self.schema)


class _CostMeasurement:
    def __init__(
        self,
        estimator: CostEstimator,
        document: DocumentNode,
        lists: ListLengths,
    ) -> None:
        self.schema = estimator.schema
        self.reply_depth = estimator.reply_depth
        self.lists = lists
        self.fragments = {
            node.name.value: node
            for node in document.definitions
            if isinstance(node, FragmentDefinitionNode)
        }

    def cost(self, operation: OperationDefinitionNode) -> OperationCost:
        root = self.schema.get_root_type(operation.operation)
        assert root is not None
        reaches: list[FieldCost] = []
        introspects = 0.0
        for type_, nodes in self._collect([(root, operation.selection_set)]):
            if nodes[0].name.value in ("__schema", "__type"):
                introspects += self._introspection(type_, nodes)
            else:
                reaches += self._reach(type_, nodes)
        defaults = {
            variable.variable.name.value: _constant(variable.default_value)
            for variable in operation.variable_definitions or ()
            if variable.default_value
        }
        return OperationCost(tuple(reaches), defaults, introspects)

    def _reach(
        self,
        parent: GraphQLNamedType,
        nodes: list[FieldNode],
        listed: bool = False,
        around: FieldNode | None = None,
    ) -> list[FieldCost]:
        """Return the cost of a field of the response, if it has any.

        :param listed: whether its nodes are those of a connection, which counts them.
        :param around: the field with surroundings that it is a part of.
        """
        type_ = self._type(parent, nodes[0])
        paged, sizes = _is_connection(type_), self._list_sizes(parent, nodes[0])
        within = paged or (listed and sizes is None and not self._is_node(type_))
        declaration = self._declaration(parent, nodes[0])
        has_parts = isinstance(declaration, SurroundingsField)
        below, is_counted = [], False
        for inner, inner_nodes in self._below(type_, nodes):
            name = inner_nodes[0].name.value
            is_counted = is_counted or name not in ("totalCount", "__typename")
            below += self._reach(inner, inner_nodes, within, nodes[0] if has_parts else None)
        if paged:
            sizes, is_counted = _arguments(nodes[0], "first", "last") if is_counted else None, True
        elif sizes is not None:
            is_counted = True
        elif self._is_node(type_) and not listed:
            sizes, is_counted = _arguments(nodes[0], "ids") or None, True
        else:
            is_counted = False
        default = self._default_size(parent, nodes[0]) if paged else None
        has_two_sides = around is not None and paged and sizes is not None
        if around is not None and has_two_sides:
            sizes, default = _arguments(around, "siblings"), DEFAULT_SIBLINGS
        elif isinstance(declaration, AncestorsField):
            sizes, default = (), max(1, self.reply_depth)
        if not (is_counted or below):
            return []
        return [FieldCost(sizes, int(is_counted), tuple(below), default, has_two_sides)]

    def _declaration(self, parent: GraphQLNamedType, node: FieldNode) -> FieldDeclaration | None:
        assert isinstance(parent, GraphQLObjectType | GraphQLInterfaceType)
        field = self.schema.get_field(parent, node.name.value)
        return None if field is None else declaration_of(field)

    def _default_size(self, parent: GraphQLNamedType, node: FieldNode) -> int | None:
        """Return the number of items of a connection without first and last.

        None for a host's connection, which may have any number.
        """
        assert isinstance(parent, GraphQLObjectType | GraphQLInterfaceType)
        field = self.schema.get_field(parent, node.name.value)
        first = field.args.get("first") if field else None
        definition = (
            first.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF) if first else None
        )
        size: int | None = definition.metadata.get(SIZE_METADATA) if definition else None
        return size

    def _is_node(self, type_: GraphQLNamedType) -> bool:
        if isinstance(type_, GraphQLObjectType):
            return any(map(self._is_node, type_.interfaces))
        return type_.name == "Node"

    def _list_sizes(
        self, parent: GraphQLNamedType, node: FieldNode
    ) -> tuple[ValueNode, ...] | None:
        """Return the arguments with the length of a host's plain list, or None."""
        assert isinstance(parent, GraphQLObjectType | GraphQLInterfaceType)
        field = self.schema.get_field(parent, node.name.value)
        if field is None or not is_list_type(get_nullable_type(field.type)):
            return None
        if isinstance(declaration_of(field), TargetCountsField):
            return _arguments(node, "targets")
        known = [field.args[name] for name in ("first", "last") if name in field.args]
        if not known:
            return None
        defaults = (a.default_value for a in known if type(a.default_value) is int)
        return _arguments(node, "first", "last") or tuple(
            IntValueNode(value=str(value)) for value in defaults
        )

    def _introspection(
        self, parent: GraphQLNamedType, nodes: list[FieldNode], of_all: bool = False
    ) -> float:
        """Return the most fields in the response for a field of the introspection system.

        :param of_all: whether it stands directly below the list of all types.
        """
        type_, name = self._type(parent, nodes[0]), nodes[0].name.value
        lists = self.lists.mean if of_all else self.lists.maximum
        items = lists.get((parent.name, name), 1)
        of_all = name == "types" or (of_all and name in ("fields", "inputFields", "args"))
        below = sum(self._introspection(*field, of_all) for field in self._below(type_, nodes))
        return 1 + items * below

    def _type(self, parent: GraphQLNamedType, node: FieldNode) -> GraphQLNamedType:
        assert isinstance(parent, GraphQLObjectType | GraphQLInterfaceType)
        field = self.schema.get_field(parent, node.name.value)
        assert field is not None
        return get_named_type(field.type)

    def _below(
        self, type_: GraphQLNamedType, nodes: list[FieldNode]
    ) -> list[tuple[GraphQLNamedType, list[FieldNode]]]:
        return self._collect([(type_, node.selection_set) for node in nodes if node.selection_set])

    def _collect(self, sets: list[Typed]) -> list[tuple[GraphQLNamedType, list[FieldNode]]]:
        """Return the fields at one place of the response, each with a type that has it."""
        fields: dict[tuple[str, str], tuple[GraphQLNamedType, list[FieldNode]]] = {}
        spread_names: set[str] = set()
        pending = [(type_, node) for type_, part in sets for node in part.selections]
        while pending:
            type_, node = pending.pop()
            if isinstance(node, FieldNode):
                key = ((node.alias or node.name).value, node.name.value)
                fields.setdefault(key, (type_, []))[1].append(node)
                continue
            inner: InlineFragmentNode | FragmentDefinitionNode
            if isinstance(node, FragmentSpreadNode):
                if node.name.value in spread_names:
                    continue
                spread_names.add(node.name.value)
                inner = self.fragments[node.name.value]
            else:
                assert isinstance(node, InlineFragmentNode)
                inner = node
            condition = inner.type_condition
            narrowed = type_from_ast(self.schema, condition) if condition else type_
            assert narrowed is not None
            pending.extend(
                (get_named_type(narrowed), node) for node in inner.selection_set.selections
            )
        return list(fields.values())


def _is_connection(type_: GraphQLNamedType) -> bool:
    return isinstance(type_, GraphQLObjectType) and {"edges", "pageInfo"} <= type_.fields.keys()


def _arguments(node: FieldNode, *names: str) -> tuple[ValueNode, ...]:
    return tuple(a.value for a in node.arguments or () if a.name.value in names)


def _times(
    sizes: tuple[ValueNode, ...], values: Values, page_size: int, default: int | None
) -> int:
    """Return the largest size among the arguments, by default `default` or a whole page."""
    arguments = [_value(node, values) for node in sizes]
    lengths = [len(value) if isinstance(value, list) else value for value in arguments]
    size = max((size for size in lengths if type(size) is int), default=default or page_size)
    return max(0, min(size, page_size))


def _value(node: ValueNode, values: Values) -> Any:
    return values.get(node.name.value) if isinstance(node, VariableNode) else _constant(node)


def _constant(node: ValueNode | None) -> Any:
    """Return the value of a literal that can be a size."""
    if isinstance(node, IntValueNode):
        return int(node.value) if len(node.value) < 12 else None
    if isinstance(node, ListValueNode):
        return list(node.values)
    return None
