"""The compilation of an operation, for the compilers of its parts."""

from __future__ import annotations

from typing import Protocol

from graphql import GraphQLField, GraphQLObjectType
from graphql.execution.collect_fields import FieldDetails

from ..database import Database
from ..execution.field_declarations import ConnectionField, ObjectField
from ..resolvers.selections import Path
from .arguments import Arguments
from .levels import Level
from .plan import ListDeclaration
from .roots import ObjectRoot
from .selected_fields import SelectedFields
from .source import PlanSource


class RowCompiler(Protocol):
    """The compilation of an operation, as far as its parts need it."""

    fields: SelectedFields
    levels: list[Level]
    source: PlanSource
    windows: dict[int, tuple[ConnectionField, Arguments]]
    """The connections of levels, by number."""

    lists: dict[str, tuple[ListDeclaration, Arguments]]
    """The fields with lists and surroundings, by their names in the generated code."""

    @property
    def database(self) -> Database:
        """The database that executes the statements."""

    def arguments(self, field: GraphQLField, details: list[FieldDetails]) -> Arguments:
        """Return the arguments of a field."""

    def row(
        self, level: Level, type_: GraphQLObjectType, path: Path, details: list[FieldDetails]
    ) -> str:
        """Return the expression of a row's object."""

    def object_root(
        self, declaration: ObjectField, field: GraphQLField, details: list[FieldDetails]
    ) -> ObjectRoot:
        """Return an object that needs no row, of which some fields may be rows."""
