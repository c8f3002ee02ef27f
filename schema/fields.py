"""Field declarations: Strawberry's, typed, and each with what it reads.

A field of a type that stands for a row names its columns where it is declared. The resolver is
derived from that, and the query reads the columns of the requested fields alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from inspect import signature
from types import MappingProxyType
from typing import Any, TypeVar, cast, get_args
from uuid import UUID

import strawberry
from strawberry.types.lazy_type import LazyType
from strawberry.utils.str_converters import to_snake_case

from ..errors import NotFound
from ..execution.context import Context
from ..execution.field_declarations import (
    DECLARATION,
    ColumnField,
    ComputedField,
    FieldDeclaration,
    KeyedRowField,
    LoadedField,
    RelatedRowField,
    Scope,
    related_columns_of,
)
from ..execution.requested_fields import Info
from ..host.access import Access
from ..resolvers.pagination.arguments import Record
from .rows import Row, column_value

F = TypeVar("F", bound=Callable[..., Any])


def column(description: str) -> Any:
    """Declare a field that returns the column of the same name."""
    return strawberry.field(description=description, metadata={DECLARATION: ColumnField()})


def field(
    description: str,
    *,
    declaration: FieldDeclaration | None = None,
    graphql_type: Any = None,
) -> Callable[[F], F]:
    """Declare a field that a method resolves, as :func:`strawberry.field` does.

    :param declaration: what the field reads.
    :param graphql_type: the field's type, if the method's annotation is not it.
    """
    decorator: Callable[[F], F] = strawberry.field(
        description=description,
        metadata={DECLARATION: declaration} if declaration else {},
        graphql_type=graphql_type,
    )
    return decorator


def computed(
    description: str, *columns: str, is_conditional: bool = False, takes_stored: bool = False
) -> Callable[[Callable[..., Any]], Any]:
    """Declare a field by the function that computes it from columns, with an annotated result.

    The name of the function's first parameter is its scope: ``rules``, ``access`` or ``context``.

    :param columns, is_conditional, takes_stored: as of :class:`.ComputedField`.
    :raises TypeError: for a function whose first parameter has another name.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        scope = cast("Scope", next(iter(signature(function).parameters), ""))
        if scope not in get_args(Scope):
            names = ", ".join(get_args(Scope))
            raise TypeError(f"The first parameter of {function.__name__} must be one of {names}.")
        declaration = ComputedField(function, scope, columns, is_conditional, takes_stored)

        def resolve(self: Any, info: Info) -> Any:
            if scope != "rules" or any(map(self.refers, declaration.relations)):
                return _compute(self, info, declaration)
            return function(info.context.rules, *_values(self, columns))

        return field(description, declaration=declaration)(_like(function, resolve))

    return decorate


def related_row(
    description: str, relation: str, graphql_type: Any, *, type_name: str = "", missing: str = ""
) -> Any:
    """Declare a field that returns the row to which a foreign key points.

    :param type_name: the name of its type, if that is not the relation's.
    :param missing: the error's sentence if that row has been deleted meanwhile, for a field that
        is not null.
    """
    type_name = type_name or relation.title()

    async def resolve(self: Any, info: Info) -> Any:
        row = await self.load_related(info.context, relation, info.columns(type_name))
        if row is None and missing:
            raise NotFound(missing)
        return None if row is None else row_type().from_record(row)

    @cache
    def row_type() -> type[Row]:
        type_ = get_args(graphql_type)[0] if get_args(graphql_type) else graphql_type
        return cast("type[Row]", type_.resolve_type() if isinstance(type_, LazyType) else type_)

    declaration = RelatedRowField(relation, type_name)
    return field(description, declaration=declaration, graphql_type=graphql_type)(resolve)


def keyed_row(
    description: str, row_type: type[Row], find_key: Callable[[Access], UUID | None]
) -> Any:
    """Declare a field that returns the row with the key that a function finds in the access."""

    async def resolve(self: Any, info: Info) -> Any:
        key = find_key(await info.context.load_access())
        if key is None:
            return None
        columns = info.columns(row_type.__name__)
        record = await info.context.load_row(row_type.model, key, columns)
        return None if record is None else row_type.from_record(record)

    declaration = KeyedRowField(row_type.__name__, find_key)
    return field(description, declaration=declaration, graphql_type=row_type | None)(resolve)


async def load_list(
    row: Any, info: Info, declaration: LoadedField, type_name: str, **arguments: Any
) -> list[Any]:
    """Return the list of a declared field for one row.

    :param type_name: the type of its items.
    """
    request = declaration.read(info.context, **arguments)
    names = frozenset(map(to_snake_case, info.fields(type_name)))
    return list(await info.context.load_list(declaration, row.value("id"), request, names))


async def load_value(
    row: Any, info: Info, declaration: LoadedField, names: frozenset[str] = frozenset()
) -> Any:
    """Return the value of a declared field of one value for one row."""
    values = await info.context.load_list(declaration, row.value("id"), None, names)
    if values or declaration.column is None:
        return next(iter(values), None)
    return row.value(declaration.column)


async def _compute(row: Any, info: Info, declaration: ComputedField) -> Any:
    scope = await load_scope(info.context, declaration.scope)
    # A permission that is the same for every row needs no other row.
    permission = scope.constant_permission if declaration.scope == "access" else None
    is_constant = permission is False or (permission is True and not declaration.is_conditional)
    related = {
        relation: await row.load_related(
            info.context, relation, frozenset(related_columns_of(declaration, relation))
        )
        for relation in (() if is_constant else declaration.relations)
    }
    result = declaration.function(scope, *_values(row, declaration.columns, related))
    return await result if declaration.scope == "context" else result


async def load_scope(context: Context, scope: Scope) -> Any:
    """Return the first argument of a computed field's function."""
    if scope == "access":
        return await context.load_access()
    return context if scope == "context" else context.rules


def _values(
    row: Any, columns: Sequence[str], related: Mapping[str, Record | None] = MappingProxyType({})
) -> Iterator[Any]:
    for path in columns:
        relation, _, name = path.rpartition(".")
        if not relation:
            yield row.value(name)
        elif record := related.get(relation):
            yield column_value(record, name)
        else:
            yield None


def _like(function: Callable[..., Any], resolve: F) -> F:
    """Return a resolver with the name and the type of a function."""
    resolve.__name__ = function.__name__
    resolve.__module__ = function.__module__
    # Strawberry evaluates the text of an annotation in the function's module.
    resolve.__annotations__ = {"info": Info, "return": function.__annotations__["return"]}
    return resolve
