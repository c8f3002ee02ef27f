"""The compiler of a connection."""

from __future__ import annotations

from functools import partial
from typing import Any, TypeVar

from graphql import GraphQLField, GraphQLObjectType
from graphql.execution.collect_fields import FieldDetails

from ..execution.field_declarations import ConnectionField, SurroundingsField
from ..resolvers.selections import Path
from ..schema.types import ROWS
from .ancestors import TOTAL, Part, SurroundingsLevel
from .arguments import Arguments
from .errors import Unsupported
from .levels import Level
from .pages import ChildPages, PageLevel, RootPage
from .row_compiler import RowCompiler
from .trees import TreePages

P = TypeVar("P", bound=PageLevel)

PAGE_INFO = {"hasPreviousPage": -4, "hasNextPage": -3, "startCursor": -2, "endCursor": -1}
"""The places of the fields in the page of a level."""


class ConnectionCompiler:
    """Compiles one connection."""

    def __init__(self, compiler: RowCompiler) -> None:
        self._compiler = compiler
        self._fields = compiler.fields
        self._source = compiler.source

    def root_page(
        self, declaration: ConnectionField, arguments: Arguments, details: list[FieldDetails]
    ) -> RootPage:
        """Return the level of a connection to a whole table."""
        return self._page(RootPage, declaration, arguments, details)

    def child_pages(
        self,
        level: Level,
        field: GraphQLField,
        path: Path,
        declaration: ConnectionField,
        details: list[FieldDetails],
    ) -> str:
        """Return the expression of a connection to the children of a row."""
        assert declaration.relation is not None
        arguments = self._compiler.arguments(field, details)
        parent_path = (*path, "id")
        is_tree = declaration.relation.parent is ROWS[declaration.type_name].model
        key = level.stored_variable(parent_path)
        page = self._page(
            TreePages if is_tree else ChildPages,
            declaration,
            arguments,
            details,
            relation=declaration.relation,
            parent_path=parent_path,
        )
        level.children.append(page)
        number, total = page.number, "None"
        if page.counts:
            assert declaration.total is not None
            count = level.variable((*path, declaration.total))
            total = f"({count} if totals{number} is None else totals{number}.get({key}, 0))"
        empty = self._source.constant(page.empty_page())
        return f"connection{number}(pages{number}.get({key}, {empty}), {total})"

    def _page(
        self,
        level_type: type[P],
        declaration: ConnectionField,
        arguments: Arguments,
        details: list[FieldDetails],
        **options: Any,
    ) -> P:
        """Return the level of a connection, with its generated function."""
        model = ROWS[declaration.type_name].model
        page = level_type(len(self._compiler.levels), model, self._compiler.database, **options)
        self._compiler.levels.append(page)
        self._compiler.windows[page.number] = declaration, arguments
        parts = self.connection_parts(page, declaration.type_name, details)
        self._source.connection_function(page.number, parts)
        return page

    def connection_parts(
        self, page: PageLevel, type_name: str, details: list[FieldDetails]
    ) -> list[tuple[str, str]]:
        """Return the fields of a connection, whose rows are those of a level."""
        row_type = self._fields.row_type(type_name)
        type_ = self._fields.type(f"{row_type.name}Connection")
        field = partial(self._connection_field, page, type_, row_type)
        return self._fields.parts(type_, details, field)

    def _connection_field(
        self,
        page: PageLevel,
        type_: GraphQLObjectType,
        row_type: GraphQLObjectType,
        name: str,
        details: list[FieldDetails],
    ) -> str:
        if name == "totalCount":
            page.counts = True
            return "total"
        page.reads_page = True
        if name == "pageInfo":
            return self._page_info(page, details)
        if name == "nodes":
            expression = self._compiler.row(page, row_type, (), details)
        elif name == "edges":
            expression = self._edge(page, row_type, details)
        else:
            raise Unsupported(f"{type_.name}.{name}")
        page.lists.append(expression)
        return f"page[{len(page.lists) - 1}]"

    def _edge(
        self, page: PageLevel, row_type: GraphQLObjectType, details: list[FieldDetails]
    ) -> str:
        type_ = self._fields.type(f"{row_type.name}Edge")

        def expression(name: str, same_key: list[FieldDetails]) -> str:
            if name == "cursor":
                page.wants_cursors = True
                return "encode(key, id)"
            if name != "node":
                raise Unsupported(f"{type_.name}.{name}")
            return self._compiler.row(page, row_type, (), same_key)

        return self._source.object(self._fields.parts(type_, details, expression))

    def _page_info(self, page: PageLevel, details: list[FieldDetails]) -> str:
        type_ = self._fields.type("PageInfo")

        def expression(name: str, _: list[FieldDetails]) -> str:
            place = PAGE_INFO.get(name)
            if place is None:
                raise Unsupported(f"{type_.name}.{name}")
            page.wants_previous |= name == "hasPreviousPage"
            page.wants_next |= name == "hasNextPage"
            page.wants_cursors |= name.endswith("Cursor")
            return f"page[{place}]"

        return self._source.object(self._fields.parts(type_, details, expression))


class SurroundingsCompiler:
    """Compiles the surroundings of one comment."""

    def __init__(self, compiler: RowCompiler) -> None:
        self._compiler = compiler

    def surroundings(
        self,
        level: Level,
        field: GraphQLField,
        path: Path,
        declaration: SurroundingsField,
        details: list[FieldDetails],
    ) -> str:
        """Return the expression of the surroundings of a comment in a thread."""
        number, parent_path = len(self._compiler.levels), (*path, "id")
        variable = f"around{number}"
        page = SurroundingsLevel(
            number,
            ROWS["Comment"].model,
            self._compiler.database,
            parent_path=parent_path,
            arguments=variable,
            total_below=declaration.total_below,
        )
        self._compiler.levels.append(page)
        self._compiler.lists[variable] = declaration, self._compiler.arguments(field, details)
        level.children.append(page)
        type_ = self._compiler.fields.object_type(field)
        parts = self._compiler.fields.parts(type_, details, partial(self._field, page, type_))
        self._compiler.source.surroundings_function(number, TOTAL, parts)
        total = "None"
        if page.counts:
            page.variable((declaration.total_below,))
            total = level.variable((*path, declaration.total))
        return f"surroundings{number}(pages{number}.get({level.variable(parent_path)}), {total})"

    def _field(
        self,
        page: SurroundingsLevel,
        type_: GraphQLObjectType,
        name: str,
        details: list[FieldDetails],
    ) -> str:
        self._compiler.fields.accepted(type_, name)
        if name == "siblings":
            parts = ConnectionCompiler(self._compiler).connection_parts(page, "Comment", details)
            part: Part = "siblings"
            expression = self._compiler.source.object(parts)
        else:
            row_type = self._compiler.fields.row_type("Comment")
            page.lists.append(self._compiler.row(page, row_type, (), details))
            part = "comment" if name == "comment" else "ancestors"
            expression = f"page[{len(page.lists) - 1}]"
        page.parts += [part] * (len(page.lists) - len(page.parts))
        return expression
