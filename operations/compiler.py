"""The compiler: from an operation to a plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from graphql import (
    DirectiveNode,
    DocumentNode,
    GraphQLField,
    GraphQLObjectType,
    OperationDefinitionNode,
    OperationType,
    Visitor,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
    is_list_type,
    visit,
)
from graphql.execution.collect_fields import FieldDetails
from strawberry import Schema
from strawberry.schema.schema_converter import GraphQLCoreConverter

from ..database import Database
from ..execution.field_declarations import (
    AncestorsField,
    ChangeField,
    ColumnField,
    ComputedField,
    ConnectionField,
    KeyedRowField,
    LoadedField,
    LoadedRowField,
    NodeField,
    NodesField,
    ObjectField,
    RelatedRowField,
    SurroundingsField,
    TargetCountsField,
    TargetThreadField,
    declaration_of,
    python_name,
)
from ..resolvers.selections import Path, foreign_key
from ..schema.types import ROWS
from .ancestors import AncestorRows
from .arguments import Arguments, Variables
from .connections import ConnectionCompiler, SurroundingsCompiler
from .errors import Unsupported
from .levels import Awaited, Level, LoadedList, LoadedRow, RowLevel
from .payloads import PayloadCompiler
from .plan import ListDeclaration, Plan
from .roots import (
    NodeRoot,
    NodesRoot,
    ObjectRoot,
    ObjectsRoot,
    PageRoot,
    Root,
    TargetCountsRoot,
    TargetRoot,
)
from .selected_fields import SelectedFields
from .source import PlanSource


class Compiler:
    """Compiles the operations of one schema for one database."""

    def __init__(self, schema: Schema, database: Database, page_size: int) -> None:
        self.schema = schema
        self.database = database
        self.page_size = page_size

    def compile(
        self, document: DocumentNode, operation: OperationDefinitionNode, flags: Mapping[str, bool]
    ) -> Plan:
        """Return the plan of an operation of a valid document.

        :param flags: the values of the variables of ``@skip`` and ``@include``.
        :raises Unsupported: for a part that only graphql-core knows.
        """
        if operation.operation is OperationType.SUBSCRIPTION:
            raise Unsupported("a subscription")
        visit(document, _DirectiveCheck())
        return _Compilation(self, document, operation, flags).plan()


class _DirectiveCheck(Visitor):
    def enter_directive(self, node: DirectiveNode, *_: Any) -> None:
        if node.name.value not in ("skip", "include"):
            raise Unsupported(f"@{node.name.value}")


class _Compilation:
    """The compilation of one operation."""

    def __init__(
        self,
        compiler: Compiler,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        flags: Mapping[str, bool],
    ) -> None:
        self.compiler = compiler
        self.database = compiler.database
        self.operation = operation
        self.fields = SelectedFields(compiler.schema, document, operation, flags)
        self.levels: list[Level] = []
        self.windows: dict[int, tuple[ConnectionField, Arguments]] = {}
        self.lists: dict[str, tuple[ListDeclaration, Arguments]] = {}
        self.source = PlanSource()
        self.needs_access = False

    def plan(self) -> Plan:
        """Return the plan of the operation."""
        root_type, fields = self.fields.of_root()
        roots: dict[str, Root | str] = {}
        for key, details in fields.items():
            name = details[0].node.name.value
            roots[key] = (
                root_type.name if name == "__typename" else self._root(root_type, name, details)
            )
        for level in self.levels:
            if not level.is_child:
                level.finish()
        for level in self.levels:
            self.source.add_items(level)
        namespace = self.source.execute()
        for level in self.levels:
            level.items = namespace[f"items{level.number}"]
        for root in roots.values():
            if not isinstance(root, str):
                root.finish(namespace)
        return Plan(
            Variables(self.compiler.schema._schema, self.operation),
            roots,
            self.windows,
            self.lists,
            self.needs_access,
            self.compiler.page_size,
        )

    def _root(self, root_type: GraphQLObjectType, name: str, details: list[FieldDetails]) -> Root:
        field = self.fields.accepted(root_type, name)
        declaration = declaration_of(field)
        arguments = self.arguments(field, details)
        match declaration:
            case NodeField() | NodesField():
                levels = {
                    type_name: self._row_level(type_name, details)
                    for type_name in declaration.type_names
                }
                if isinstance(declaration, NodeField):
                    return NodeRoot(arguments, levels)
                for level in levels.values():
                    level.variable(("id",))
                return NodesRoot(arguments, levels, self.compiler.page_size)
            case TargetThreadField():
                return TargetRoot(arguments, self._row_level("Thread", details))
            case ConnectionField():
                page = ConnectionCompiler(self).root_page(declaration, arguments, details)
                return PageRoot(page, f"connection{page.number}")
            case TargetCountsField():
                function = self._object_function(self.fields.object_type(field), details)
                return TargetCountsRoot(arguments, self.compiler.database, function)
            case ObjectField() if is_list_type(get_nullable_type(field.type)):
                function = self._object_function(self.fields.object_type(field), details)
                return ObjectsRoot(declaration.build, function)
            case ObjectField():
                return self.object_root(declaration, field, details)
            case ChangeField():
                return PayloadCompiler(self).root(declaration, field, details)
        raise Unsupported(f"{root_type.name}.{name}")

    def arguments(self, field: GraphQLField, details: list[FieldDetails]) -> Arguments:
        """Return the arguments of a field."""
        return Arguments(self.compiler.schema, field, details[0].node)

    def _row_level(self, type_name: str, details: list[FieldDetails]) -> RowLevel:
        level = RowLevel(len(self.levels), ROWS[type_name].model, self.database)
        self.levels.append(level)
        level.lists.append(self.row(level, self.fields.row_type(type_name), (), details))
        return level

    def row(
        self, level: Level, type_: GraphQLObjectType, path: Path, details: list[FieldDetails]
    ) -> str:
        """Return the expression of a row's object."""
        field = partial(self._row_field, level, type_, path)
        return self.source.object(self.fields.parts(type_, details, field))

    def _row_field(
        self,
        level: Level,
        type_: GraphQLObjectType,
        path: Path,
        name: str,
        details: list[FieldDetails],
    ) -> str:
        field = self.fields.accepted(type_, name)
        declaration = declaration_of(field)
        match declaration:
            case ColumnField():
                if name != "id":
                    return level.text((*path, python_name(field)))
                origin = type_.extensions[GraphQLCoreConverter.DEFINITION_BACKREF].origin
                return level.id((*path, "id"), origin.__name__)
            case ComputedField():
                return self._computed_field(level, field, path, declaration, details)
            case RelatedRowField():
                related_path = (*path, declaration.relation)
                key = level.stored_variable((*related_path, "id"))
                related_type = self.fields.row_type(declaration.type_name)
                expression = self.row(level, related_type, related_path, details)
                return f"(None if {key} is None else {expression})"
            case LoadedField():
                return self._loaded_list(level, field, path, declaration, details)
            case LoadedRowField():
                return self._loaded_row(level, path, declaration, details)
            case AncestorsField():
                return self._ancestors(level, path, declaration, details)
            case SurroundingsField():
                compiler = SurroundingsCompiler(self)
                return compiler.surroundings(level, field, path, declaration, details)
            case ConnectionField():
                return ConnectionCompiler(self).child_pages(
                    level, field, path, declaration, details
                )
        raise Unsupported(f"{type_.name}.{name}")

    def _computed_field(
        self,
        level: Level,
        field: GraphQLField,
        path: Path,
        declaration: ComputedField,
        details: list[FieldDetails],
    ) -> str:
        if details[0].node.arguments:
            raise Unsupported("a computed field with arguments")
        paths = tuple((*path, *column.split(".")) for column in declaration.columns)
        read = level.stored_variable if declaration.takes_stored else level.variable
        variables = [read(column) for column in paths]
        if declaration.scope == "context":
            variable = f"w{level.number}_{len(level.awaited)}"
            key = (*path, "id") if path else None
            awaited = Awaited(declaration.function, paths, variable, key)
            level.awaited.append(awaited)
            return awaited.variable
        self.needs_access = self.needs_access or declaration.scope == "access"
        function = self.source.constant(declaration.function)
        expression = f"{function}({', '.join([declaration.scope, *variables])})"
        if is_leaf_type(get_named_type(field.type)):
            return expression
        function = self._object_function(self.fields.object_type(field), details)
        return f"{function}({expression}, rules, access)"

    def _loaded_list(
        self,
        level: Level,
        field: GraphQLField,
        path: Path,
        declaration: LoadedField,
        details: list[FieldDetails],
    ) -> str:
        """Return the expression of a list or a value that is loaded with those of other rows."""
        arguments = Arguments(self.compiler.schema, field, details[0].node)
        type_, names = get_named_type(field.type), frozenset[str]()
        if isinstance(type_, GraphQLObjectType):
            names = frozenset(self._names_below(type_, details))
        parent_path = (*path, "id")
        read_key = level.stored_variable if declaration.takes_stored else level.variable
        key, variable = read_key(parent_path), f"lists{len(self.lists)}"
        self.lists[variable] = declaration, arguments
        level.loaded.append(LoadedList(declaration, parent_path, names, variable))
        function = ""
        if isinstance(type_, GraphQLObjectType):
            if is_list_type(get_nullable_type(field.type)):
                value = self._object(type_, details)
                return f"[{value} for value in {variable}.get({key}, ())]"
            function = self._object_function(type_, details)
        column = declaration.column
        default = None if column is None else level.variable((*path, column))
        value = f"{variable}.get({key}, ({default},))[0]"
        return f"{function}({value}, rules, access)" if function else value

    def _names_below(self, type_: GraphQLObjectType, details: list[FieldDetails]) -> Iterator[str]:
        """Yield the names in Python of an object's fields, and of those of objects in it."""
        for same_key in self.fields.below(type_, details).values():
            field = type_.fields.get(same_key[0].node.name.value)
            if field is None:
                continue
            name, below = python_name(field), get_named_type(field.type)
            yield name
            if isinstance(below, GraphQLObjectType):
                yield from (f"{name}.{other}" for other in self._names_below(below, same_key))

    def _loaded_row(
        self, level: Level, path: Path, declaration: LoadedRowField, details: list[FieldDetails]
    ) -> str:
        """Return the expression of another row that is loaded with those of other rows."""
        row_level = self._row_level(declaration.type_name, details)
        row_level.variable(("id",))
        parent_path, variable = (*path, "id"), f"rows{row_level.number}"
        key = level.variable(parent_path)
        level.loaded_rows.append(LoadedRow(declaration, row_level, parent_path, variable))
        return f"{variable}.get({key})"

    def _ancestors(
        self, level: Level, path: Path, declaration: AncestorsField, details: list[FieldDetails]
    ) -> str:
        """Return the expression of the rows above a row."""
        parent_path = (*path, foreign_key(declaration.relation))
        model = ROWS[declaration.type_name].model
        rows = AncestorRows(len(self.levels), model, self.database, parent_path=parent_path)
        self.levels.append(rows)
        level.children.append(rows)
        for name in ("id", foreign_key(declaration.relation)):
            rows.variable((name,))
        rows.lists.append(self.row(rows, self.fields.row_type(declaration.type_name), (), details))
        return f"pages{rows.number}.get({level.variable(parent_path)}, [])"

    def _object_function(self, type_: GraphQLObjectType, details: list[FieldDetails]) -> str:
        """Return the name of a function from an object, which may be None, to the response's."""
        return self.source.object_function(self._object(type_, details))

    def _object(self, type_: GraphQLObjectType, details: list[FieldDetails]) -> str:
        """Return the expression of the response's object from the object ``value``."""
        field = partial(self._object_field, type_)
        return self.source.object(self.fields.parts(type_, details, field))

    def _object_field(
        self, type_: GraphQLObjectType, name: str, details: list[FieldDetails]
    ) -> str:
        """Return the expression of a field that is an attribute, or computed without columns."""
        field = self.fields.accepted(type_, name)
        declaration = declaration_of(field)
        definition = field.extensions[GraphQLCoreConverter.DEFINITION_BACKREF]
        if isinstance(declaration, ColumnField):  # of a row that an object has
            return "value.id" if name == "id" else f"value.record[{definition.python_name!r}]"
        if isinstance(declaration, LoadedField) and declaration.column:
            return f"value.record[{declaration.column!r}]"
        if isinstance(declaration, ComputedField) and declaration.scope != "context":
            self.needs_access = self.needs_access or declaration.scope == "access"
            columns = [f"value.record[{column!r}]" for column in declaration.columns]
            if declaration.relations:
                raise Unsupported(f"{type_.name}.{name}")
            function = self.source.constant(declaration.function)
            return f"{function}({', '.join([declaration.scope, *columns])})"
        if declaration is None and definition.base_resolver is None:
            return self._attribute(field, definition.python_name, details)
        raise Unsupported(f"{type_.name}.{name}")

    def _attribute(self, field: GraphQLField, name: str, details: list[FieldDetails]) -> str:
        """Return the expression of an attribute, which may be an object itself."""
        type_ = get_named_type(field.type)
        if is_leaf_type(type_):
            return f"value.{name}"
        if not isinstance(type_, GraphQLObjectType) or is_list_type(get_nullable_type(field.type)):
            raise Unsupported(f"{type_.name} of an object")
        return f"{self._object_function(type_, details)}(value.{name}, rules, access)"

    def object_root(
        self, declaration: ObjectField, field: GraphQLField, details: list[FieldDetails]
    ) -> ObjectRoot:
        """Return an object that needs no row, of which some fields may be rows."""
        type_ = self.fields.object_type(field)
        rows: dict[str, tuple[KeyedRowField, RowLevel]] = {}

        def expression(name: str, same_key: list[FieldDetails]) -> str:
            keyed = declaration_of(self.fields.accepted(type_, name))
            if not isinstance(keyed, KeyedRowField):
                return self._object_field(type_, name, same_key)
            self.needs_access, node = True, same_key[0].node
            level = self._row_level(keyed.type_name, same_key)
            rows[(node.alias or node.name).value] = keyed, level
            return "None"

        parts = self.fields.parts(type_, details, expression)
        function = self.source.object_function(self.source.object(parts))
        return ObjectRoot(declaration.build, function, rows)
