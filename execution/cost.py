"""What an operation may cost, known before it is executed.

The cost is the number of nodes (threads, comments) that the operation may reach: a
connection reaches as many as its ``first`` or ``last`` allows, and what is asked of each of
them reaches as many times more. This is GitHub's node limit (docs.github.com, "Rate
limits and query limits for the GraphQL API"). ``@skip`` and ``@include`` do not lower
it; a connection that is asked for nothing but its ``totalCount`` counts as one node. A
host's plain list is measured likewise where it has an argument ``first`` or ``last``.

An introspection reaches no node. It is measured by the fields that its answer may
have, and may have as many as the standard introspection query.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLEnumType,
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
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
from ..settings import Settings
from .limits import limit_error

MAX_INTROSPECTIONS = 1.25
"""How much an operation may introspect: so many standard introspection queries."""

Typed = tuple[GraphQLNamedType, SelectionSetNode]
Values = Mapping[str, Any]


class FieldCost(NamedTuple):
    """A field that may reach nodes: how often, and what each time."""

    sizes: tuple[ValueNode, ...] | None
    """The arguments that say how often; None for once."""
    each: int
    below: tuple[FieldCost, ...]
    default: int | None = None
    """How often where the arguments do not say; None for as often as a page allows."""

    def nodes(self, values: Values, page_size: int) -> int:
        """How many nodes are reached, with the variables' values."""
        times = 1 if self.sizes is None else _times(self.sizes, values, page_size, self.default)
        return times * (self.each + sum(each.nodes(values, page_size) for each in self.below))


class OperationCost(NamedTuple):
    """What an operation costs, as far as its document tells."""

    reaches: tuple[FieldCost, ...]
    defaults: Values
    introspects: float
    """How many fields the introspection's answer may have."""

    def nodes(self, variables: Values | None, page_size: int) -> int:
        """The nodes that the operation may reach."""
        values = {**self.defaults, **(variables or {})}
        return sum(reach.nodes(values, page_size) for reach in self.reaches)


@dataclass(frozen=True)
class CostEstimator:
    """Measures the operations of one schema."""

    schema: GraphQLSchema

    def of(self, document: DocumentNode, operation: OperationDefinitionNode) -> OperationCost:
        """The cost of an operation of a valid document."""
        return _CostMeasurement(self.schema, document, self._lists).cost(operation)

    def check(self, cost: OperationCost, nodes: int, settings: Settings) -> GraphQLError | None:
        """What a client is told whose operation costs too much.

        :param nodes: what the cost comes to with the operation's variables.
        """
        most = settings.operation_cost
        if nodes > most:
            says = (
                f"The operation may reach {nodes} nodes; at most {most} are allowed: ask for "
                f"smaller pages, or nest fewer of them."
            )
            return limit_error("operation_cost", most, says)
        if not cost.introspects:
            return None
        most = round(self.most_introspection * MAX_INTROSPECTIONS)
        if cost.introspects > most:
            says = (
                f"The introspection may have {cost.introspects:.0f} fields; at most {most} are "
                f"allowed, which is what the standard introspection query needs."
            )
            return limit_error("introspection", most, says)
        return None

    @cached_property
    def most_introspection(self) -> float:
        """What the standard introspection query costs, asked for everything that it can be."""
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
        return self.of(document, operation).introspects

    @cached_property
    def _lists(self) -> ListLengths:
        return _measure_lists(self.schema)


class ListLengths(NamedTuple):
    """How long the lists of the introspection system are, by type and field."""

    most: dict[tuple[str, str], float]
    mean: dict[tuple[str, str], float]
    """Where all types are listed, so that each has its own."""


def _measure_lists(schema: GraphQLSchema) -> ListLengths:
    types = list(schema.type_map.values())
    with_fields = [
        type_ for type_ in types if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType)
    ]
    lengths = {
        ("__Type", "fields"): [len(type_.fields) for type_ in with_fields],
        ("__Type", "interfaces"): [len(type_.interfaces) for type_ in with_fields],
        ("__Type", "inputFields"): [
            len(type_.fields) for type_ in types if isinstance(type_, GraphQLInputObjectType)
        ],
        ("__Type", "enumValues"): [
            len(type_.values) for type_ in types if isinstance(type_, GraphQLEnumType)
        ],
        ("__Type", "possibleTypes"): [
            len(schema.get_possible_types(type_))
            for type_ in types
            if isinstance(type_, GraphQLInterfaceType | GraphQLUnionType)
        ],
    }
    arguments = [len(field.args) for type_ in with_fields for field in type_.fields.values()]
    of_directives = [len(directive.args) for directive in schema.directives]
    fixed = {
        ("__Schema", "types"): float(len(types)),
        ("__Schema", "directives"): float(len(schema.directives)),
        ("__Directive", "args"): float(max(of_directives)),
    }
    most: dict[tuple[str, str], float] = {
        key: max(found, default=0) for key, found in lengths.items()
    }
    mean = {key: sum(found) / len(types) for key, found in lengths.items()}
    return ListLengths(
        most | fixed | {("__Field", "args"): max(arguments)},
        mean | fixed | {("__Field", "args"): sum(arguments) / len(arguments)},
    )


class _CostMeasurement:
    def __init__(
        self,
        schema: GraphQLSchema,
        document: DocumentNode,
        lists: ListLengths,
    ) -> None:
        self.schema = schema
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
        self, parent: GraphQLNamedType, nodes: list[FieldNode], listed: bool = False
    ) -> list[FieldCost]:
        """What a field of the answer reaches.

        :param listed: whether its nodes are those of a connection, which counts them.
        """
        type_ = self._type(parent, nodes[0])
        paged, sizes = _is_connection(type_), self._list_sizes(parent, nodes[0])
        within = paged or (listed and sizes is None and not self._is_node(type_))
        below, asked = [], False
        for inner, found in self._below(type_, nodes):
            name = found[0].name.value
            asked = asked or name not in ("totalCount", "__typename")
            below += self._reach(inner, found, within)
        if paged:
            sizes, asked = _arguments(nodes[0], "first", "last") if asked else None, True
        elif sizes is not None:
            asked = True
        elif self._is_node(type_) and not listed:
            sizes, asked = _arguments(nodes[0], "ids") or None, True
        else:
            asked = False
        default = self._default_size(parent, nodes[0]) if paged else None
        return [FieldCost(sizes, int(asked), tuple(below), default)] if asked or below else []

    def _default_size(self, parent: GraphQLNamedType, node: FieldNode) -> int | None:
        """Return how many items a connection has that is asked without first and last.

        None for a host's connection, which may have as many as it likes.
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
        """What says how long a host's plain list is; None where nothing does."""
        assert isinstance(parent, GraphQLObjectType | GraphQLInterfaceType)
        field = self.schema.get_field(parent, node.name.value)
        if field is None or not is_list_type(get_nullable_type(field.type)):
            return None
        known = [field.args[name] for name in ("first", "last") if name in field.args]
        if not known:
            return None
        defaults = (each.default_value for each in known if type(each.default_value) is int)
        return _arguments(node, "first", "last") or tuple(
            IntValueNode(value=str(value)) for value in defaults
        )

    def _introspection(
        self, parent: GraphQLNamedType, nodes: list[FieldNode], of_all: bool = False
    ) -> float:
        """How many fields a field of the introspection system may bring into the answer.

        :param of_all: whether it stands below the list of all types, directly.
        """
        type_, name = self._type(parent, nodes[0]), nodes[0].name.value
        lists = self.lists.mean if of_all else self.lists.most
        items = lists.get((parent.name, name), 1)
        of_all = name == "types" or (of_all and name in ("fields", "inputFields", "args"))
        below = sum(self._introspection(*found, of_all) for found in self._below(type_, nodes))
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
        """The fields that stand at one place, by response name, each with a type that has it."""
        fields: dict[tuple[str, str], tuple[GraphQLNamedType, list[FieldNode]]] = {}
        seen: set[str] = set()
        todo = [(type_, node) for type_, each in sets for node in each.selections]
        while todo:
            type_, node = todo.pop()
            if isinstance(node, FieldNode):
                key = ((node.alias or node.name).value, node.name.value)
                fields.setdefault(key, (type_, []))[1].append(node)
                continue
            inner: InlineFragmentNode | FragmentDefinitionNode
            if isinstance(node, FragmentSpreadNode):
                if node.name.value in seen:
                    continue
                seen.add(node.name.value)
                inner = self.fragments[node.name.value]
            else:
                assert isinstance(node, InlineFragmentNode)
                inner = node
            condition = inner.type_condition
            narrowed = type_from_ast(self.schema, condition) if condition else type_
            assert narrowed is not None
            todo.extend((get_named_type(narrowed), each) for each in inner.selection_set.selections)
        return list(fields.values())


def _is_connection(type_: GraphQLNamedType) -> bool:
    return isinstance(type_, GraphQLObjectType) and {"edges", "pageInfo"} <= type_.fields.keys()


def _arguments(node: FieldNode, *names: str) -> tuple[ValueNode, ...]:
    return tuple(each.value for each in node.arguments or () if each.name.value in names)


def _times(
    sizes: tuple[ValueNode, ...], values: Values, page_size: int, default: int | None
) -> int:
    """The largest size that is given; the default, or a whole page, where none can be told."""
    given = [_value(each, values) for each in sizes]
    found = [len(each) if isinstance(each, list) else each for each in given]
    size = max((each for each in found if type(each) is int), default=default or page_size)
    return max(0, min(size, page_size))


def _value(node: ValueNode, values: Values) -> Any:
    return values.get(node.name.value) if isinstance(node, VariableNode) else _constant(node)


def _constant(node: ValueNode | None) -> Any:
    """As much of a literal as a size can be."""
    if isinstance(node, IntValueNode):
        return int(node.value) if len(node.value) < 12 else None
    if isinstance(node, ListValueNode):
        return list(node.values)
    return None
