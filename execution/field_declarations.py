"""Declarations of the schema's fields as data.

A field declares where it is defined what it reads. Both ways to execute an operation derive from
that: the resolvers that graphql-core calls, and the plans of :mod:`tallied.operations`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias
from uuid import UUID

from graphql import GraphQLField
from strawberry.schema.schema_converter import GraphQLCoreConverter

from ..resolvers.pagination.cursors import Order
from ..resolvers.pagination.statements import ChildRelation
from ..resolvers.selections import foreign_key

DECLARATION = "tallied.declaration"
"""The key of a field's metadata for its declaration."""

Scope: TypeAlias = Literal["rules", "access", "context"]
"""What a computed field gets besides the values of its columns: the host's rules, the viewer's
access, or the whole context."""


@dataclass(frozen=True)
class ColumnField:
    """A field that returns the column of the same name."""


@dataclass(frozen=True)
class ComputedField:
    """A field that a function computes from columns.

    :param function: called with the scope and the values of the columns. With the scope
        ``context`` it is asynchronous.
    :param columns: the columns of the row, and such as ``author.name`` of a related row, which is
        None if there is no such row.
    :param takes_stored: whether `function` takes keys and flags as SQLite has them, too.
    """

    function: Callable[..., Any]
    scope: Scope
    columns: tuple[str, ...] = ()
    is_conditional: bool = False
    """Whether a right that is the same for every row still depends on the rows."""
    takes_stored: bool = False

    @property
    def relations(self) -> frozenset[str]:
        """The relations whose rows the field reads, too."""
        return frozenset(path.partition(".")[0] for path in self.columns if "." in path)


@dataclass(frozen=True)
class RelatedRowField:
    """A field that returns the row to which a foreign key points."""

    relation: str
    """The name of the relationship in the model."""
    type_name: str
    """The type of the related rows."""


@dataclass(frozen=True)
class KeyedRowField:
    """A field that returns the row of a type with the key that a function finds in the access."""

    type_name: str
    find_key: Callable[[Any], Any]


@dataclass(frozen=True)
class ObjectField:
    """A root field that returns an object which needs no row, or a list of such objects."""

    build: Callable[[Any], Any]
    """Called with the context."""


@dataclass(frozen=True)
class NodeField:
    """A root field that returns the row with a global id, which is of one of these types."""

    type_names: tuple[str, ...]


@dataclass(frozen=True)
class NodesField:
    """A root field that returns the rows with these global ids, in their order."""

    type_names: tuple[str, ...]


@dataclass(frozen=True)
class TargetThreadField:
    """A root field that returns the thread about an object of the host."""


@dataclass(frozen=True)
class TargetCountsField:
    """A root field that returns the counts of objects of the host, in their order."""


@dataclass(frozen=True, eq=False)  # It is a key in each request.
class LoadedField:
    """A field with a short list of objects for each row, loaded at once for all rows of a page.

    A field of one value is the first of its list, or else the value of `column`, or null.

    :param load: returns the lists by the keys of the rows; called with the context, the keys, the
        result of `read`, and the names in Python of the requested fields; a plan also gives those
        of the objects in them, such as ``author.name``.
    :param read: reads the arguments, after the context.
    :param column: of a field of one value, the column with the value of a row without a list.
    :param takes_stored: whether `load` takes keys, and returns them, as SQLite has them, too.
    """

    load: Callable[
        [Any, Sequence[UUID], Any, frozenset[str]], Awaitable[Mapping[UUID, Sequence[Any]]]
    ]
    read: Callable[..., Hashable] = lambda _: None
    column: str | None = None
    takes_stored: bool = False


@dataclass(frozen=True, eq=False)  # It is a key in each request.
class LoadedRowField:
    """A field with another row for each row, whose keys are loaded at once for all of a page.

    :param load: returns those keys by the keys of the rows; called with the context and these.
    """

    type_name: str
    load: Callable[[Any, Sequence[UUID]], Awaitable[Mapping[UUID, UUID | None]]]


@dataclass(frozen=True)
class AncestorsField:
    """A field with all rows above a row, the topmost first, loaded at once for all of a page.

    :param relation: the relation of a row to the one above it, which is of the same type.
    """

    type_name: str
    relation: str


@dataclass(frozen=True)
class SurroundingsField:
    """A field of a thread with a comment in it, those above it, and its neighbours.

    :param read: returns the :class:`.Place` that the arguments select; called with the context
        and the arguments.
    :param total: the thread's counter of the list in which a comment at the top level is.
    :param total_below: the counter of its parent of that in which a reply is.
    """

    read: Callable[..., Any]
    total: str
    total_below: str


@dataclass(frozen=True)
class ConnectionField:
    """A connection to rows of a type, of a whole table or of a parent.

    :param orders: the orders, by name and whether the largest comes first.
    :param default_order: the value of ``orderBy`` if none is given; None if there is one order.
    :param total: the parent's counter of the rows, unless the arguments narrow the list.
    """

    type_name: str
    orders: Mapping[tuple[str, bool], Order]
    default_order: Any
    relation: ChildRelation | None = None
    total: str | None = None


Find: TypeAlias = Callable[[Any], Mapping[str, Any] | None]
"""A function from the result of a change to the columns of a row that are in memory after it."""


@dataclass(frozen=True)
class ChangeField:
    """A root field that makes a change, and returns a payload.

    :param read: returns the arguments of the change from the field's input.
    :param make: makes the change, and returns its result; called with the context and the
        arguments.
    """

    read: Callable[[Any], Sequence[Any]]
    make: Callable[[Any, Sequence[Any]], Awaitable[Any]]


@dataclass(frozen=True)
class ChangedRowField:
    """A field of a payload that returns a row of the change.

    :param find: returns the row; None if the change has none.
    :param related: functions that return the rows to which it refers, by relation.
    """

    type_name: str
    find: Find
    related: Mapping[str, Callable[[Any], Mapping[str, Any]]] = field(default_factory=dict)


@dataclass(frozen=True)
class ChangedRowsField:
    """A field of a payload that returns rows of the change, by graphql-core alone.

    :param find: returns the rows.
    """

    type_name: str
    find: Callable[[Any], Sequence[Mapping[str, Any]]]

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata of the field."""
        return {DECLARATION: self}


@dataclass(frozen=True)
class ResolvedField:
    """A field that reads columns, and is resolved by graphql-core alone."""

    columns: tuple[str, ...]


@dataclass(frozen=True)
class ChangedEdgeField:
    """A field of a payload that returns a row of the change as an edge of a connection.

    :param orders, default_order: as of :class:`ConnectionField`.
    """

    node: ChangedRowField
    orders: Mapping[tuple[str, bool], Order]
    default_order: Any


@dataclass(frozen=True)
class ChangedValueField:
    """A field of a payload that a function computes from the result of the change."""

    compute: Callable[[Any], Any]


@dataclass(frozen=True)
class UserErrorsField:
    """The field of a payload with the reasons for which the change was rejected."""


@dataclass(frozen=True)
class ClientMutationIdField:
    """The field of a payload that returns the same field of the input."""


FieldDeclaration = (
    ColumnField
    | ComputedField
    | RelatedRowField
    | KeyedRowField
    | ObjectField
    | NodeField
    | NodesField
    | TargetThreadField
    | TargetCountsField
    | LoadedField
    | LoadedRowField
    | AncestorsField
    | SurroundingsField
    | ConnectionField
    | ChangeField
    | ChangedRowField
    | ChangedRowsField
    | ResolvedField
    | ChangedEdgeField
    | ChangedValueField
    | UserErrorsField
    | ClientMutationIdField
)


def declaration_of(field: GraphQLField) -> FieldDeclaration | None:
    """Return the declaration of a schema's field, or None for a field of another kind."""
    definition = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    declaration: FieldDeclaration | None = (
        definition.metadata.get(DECLARATION) if definition else None
    )
    return declaration


def python_name(field: GraphQLField) -> str:
    """Return the name of a field in Python, which is that of its column if it has one."""
    name: str = field.extensions[GraphQLCoreConverter.DEFINITION_BACKREF].python_name
    return name


def columns_of(name: str, declaration: FieldDeclaration | None) -> Iterable[str]:
    """Return the columns of its own row that a field reads.

    :param name: the field's name in Python.
    """
    match declaration:
        case ColumnField():
            return (name,)
        case ComputedField():
            own = [path for path in declaration.columns if "." not in path]
            return [*own, *map(foreign_key, declaration.relations)]
        case ResolvedField(columns):
            return columns
        case RelatedRowField() | AncestorsField():
            return (foreign_key(declaration.relation),)
        case SurroundingsField():
            return ("id", declaration.total)
        case LoadedField(column=str(column)):
            return ("id", column)
        case ConnectionField(relation=ChildRelation()) | LoadedField() | LoadedRowField():
            return ("id",)
    return ()


def related_columns_of(declaration: FieldDeclaration | None, relation: str) -> Iterable[str]:
    """Return the columns of a related row that a field reads."""
    if not isinstance(declaration, ComputedField):
        return ()
    prefix = f"{relation}."
    return [path.removeprefix(prefix) for path in declaration.columns if path.startswith(prefix)]
