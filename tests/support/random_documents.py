"""Random queries of a schema, with everything by which the plans of an operation differ."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    is_leaf_type,
)

MISSING = object()
"""The value of a variable that a request leaves out."""

ABOVE = ("parent", "root", "inReplyTo")
"""The fields of a comment with another one, of which a plan joins only so many."""

UNCOMPILED = ("viewerHasFlagged", "viewerPendingComments")
"""The fields that graphql-core alone resolves, with which no document has a plan."""

RESTRICTED = ("status",)
"""The conditions that only moderators may give; others get an error, which no plan answers."""

MAX_FLAGS = 3
"""The most variables of @skip and @include in a document, which have 8 combinations."""

ROWS_OF_IDS = {
    "authorId": "Author",
    "threadId": "Thread",
    "commentId": "Comment",
    "replyToId": "Comment",
}
"""The types of the ids of arguments and inputs."""

Draw = Callable[[], Any]
Object = GraphQLObjectType | GraphQLInterfaceType


@dataclass
class Values:
    """Values of arguments that exist, and others that are errors or exist nowhere.

    :param ids: the global ids by the type of the row.
    :param cursors: the cursors by type, field and direction of the order.
    """

    ids: Mapping[str, Sequence[str]]
    cursors: Mapping[tuple[str, str, str], Sequence[str]]
    scalars: Mapping[str, Sequence[Any]]
    wrong: Mapping[str, Sequence[Any]]


@dataclass
class RandomQuery:
    """A document with one query, and what draws the values of its variables."""

    text: str
    variables: dict[str, Draw]

    def draw(self) -> dict[str, Any]:
        """Return variables for one request."""
        drawn = {name: draw() for name, draw in self.variables.items()}
        return {name: value for name, value in drawn.items() if value is not MISSING}


@dataclass
class QueryWriter:
    """Writes one query.

    :param prefix: what the names of Tallied's types begin with.
    :param errors: how often a value is wrong, from 0 to 1.
    :param roots: the root fields to choose from.
    """

    chance: random.Random
    schema: GraphQLSchema
    values: Values
    roots: Sequence[str]
    prefix: str = ""
    errors: float = 0.0
    declared: list[str] = field(default_factory=list)
    variables: dict[str, Draw] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)
    fragments: dict[str, tuple[str, str]] = field(default_factory=dict)
    names: int = 0
    _row: str = ""
    """The type of the ids of the field that is written; empty for any."""
    _replies: str = ""
    """The arguments of the replies that the field is below."""

    def write(self) -> RandomQuery:
        """Return the query; it is valid but for a few that select one key in two ways."""
        number = self.chance.choice((1, 1, 1, 2, 3))
        return self._document("query Q", self.schema.query_type, number, most=10)

    def _document(
        self, start: str, root: GraphQLObjectType | None, number: int, most: int
    ) -> RandomQuery:
        assert root is not None
        fields = [
            self._field(root, self.chance.choice(self.roots), self.chance.randint(2, most))
            for _ in range(number)
        ]
        if self.chance.random() < 0.2:
            fields.append("__typename")
        declared = f"({', '.join(self.declared)})" if self.declared else ""
        fragments = [f"fragment {name} on {on} {body}" for name, (on, body) in self._fragments()]
        text = " ".join([f"{start}{declared} {{ {' '.join(fields)} }}", *fragments])
        return RandomQuery(text, self.variables)

    def _fragments(self) -> list[tuple[str, tuple[str, str]]]:
        return list(self.fragments.items())

    def _name(self, initial: str) -> str:
        self.names += 1
        return f"{initial}{self.names}"

    def _is_wrong(self) -> bool:
        return self.chance.random() < self.errors

    # Selections

    def _selections(self, type_: Object, depth: int) -> str:
        names = [
            name
            for name, definition in type_.fields.items()
            if (depth > 1 or is_leaf_type(get_named_type(definition.type)))
            and name not in UNCOMPILED
        ]
        objects = [
            name for name in names if not is_leaf_type(get_named_type(type_.fields[name].type))
        ]
        parts = [
            self._field(type_, self.chance.choice(names), depth)
            for _ in range(self.chance.randint(1, 4) if names else 0)
        ]
        if objects and self.chance.random() < 0.8:
            parts.append(self._field(type_, self.chance.choice(objects), depth))
        if "replies" in objects and self.chance.random() < 0.4:
            parts.append(self._field(type_, "replies", depth))
        if isinstance(type_, GraphQLInterfaceType):
            for possible in self.schema.get_possible_types(type_):
                if possible.name.startswith(self.prefix) and self.chance.random() < 0.8:
                    parts.append(f"... on {possible.name} {self._selections(possible, depth)}")
        elif type_.interfaces and self.chance.random() < 0.1:
            parts.append(f"... on {type_.interfaces[0].name} {{ id __typename }}")
        if not parts or self.chance.random() < 0.2:
            parts.append(f"{self.chance.choice(('', '', 'typeName: '))}__typename{self._flag()}")
        self.chance.shuffle(parts)
        return self._wrap(type_, f"{{ {' '.join(parts)} }}")

    def _wrap(self, type_: Object, selections: str) -> str:
        """Return the same selections, perhaps by way of a fragment."""
        way = self.chance.random()
        if way < 0.08:
            return f"{{ __typename ... on {type_.name}{self._flag()} {selections} }}"
        if way < 0.12:
            return f"{{ __typename ...{self._flag() or ' @include(if: true)'} {selections} }}"
        if way < 0.2:
            name = self._name("F")
            self.fragments[name] = type_.name, selections
            return f"{{ __typename ...{name}{self._flag()} }}"
        alike = [name for name, (on, _) in self.fragments.items() if on == type_.name]
        if alike and way < 0.3:
            return f"{{ ...{self.chance.choice(alike)} {selections.removeprefix('{')}"
        return selections

    def _flag(self) -> str:
        if self.chance.random() > 0.12:
            return ""
        directive = self.chance.choice(("skip", "include"))
        if self.chance.random() < 0.2:
            return f" @{directive}(if: {self.chance.choice(('true', 'false'))})"
        if len(self.flags) < MAX_FLAGS:
            default = self.chance.choice(("true", "false"))
            kind = self.chance.choice(("Boolean!", f"Boolean! = {default}", f"Boolean = {default}"))
            optional = [MISSING] if "=" in kind else []
            wrong = [None, 1, "true", MISSING] if self._is_wrong() else []
            choices = [True, False, *optional, *wrong]
            self.flags.append(self._declare(kind, lambda: self.chance.choice(choices)))
            return f" @{directive}(if: ${self.flags[-1]})"
        return f" @{directive}(if: ${self.chance.choice(self.flags)})"

    def _field(self, parent: Object, name: str, depth: int) -> str:
        definition = parent.fields[name]
        named = get_named_type(definition.type)
        outer = self._replies
        if name == "replies" and outer and self.chance.random() < 0.6:
            # Those below others with the same arguments are read with them.
            text = outer
        else:
            arguments = self._arguments(name, definition.args, named)
            text = f"({', '.join(arguments)})" if arguments else ""
        if name == "replies":
            self._replies = text
        # A field with arguments has a key of its own, so that no two of a place conflict.
        is_aliased = bool(definition.args) or self.chance.random() < 0.15
        key = f"{self._name('a')}: " if is_aliased else ""
        if is_leaf_type(named):
            return f"{key}{name}{text}{self._flag()}"
        assert isinstance(named, Object)
        times = 2 if self.chance.random() < 0.15 else 1
        if name in ABOVE:
            depth = min(depth, 3)
        fields = " ".join(
            f"{key}{name}{text}{self._flag()} {self._selections(named, depth - 1)}"
            for _ in range(times)
        )
        self._replies = outer
        return fields

    # Arguments

    def _arguments(
        self, field_name: str, arguments: Mapping[str, GraphQLArgument], type_: Any
    ) -> list[str]:
        if "first" in arguments and "after" in arguments:
            return self._page_arguments(field_name, arguments, type_)
        self._row = field_name.title() if field_name in ("thread", "comment", "author") else ""
        return [
            f"{name}: {self._argument(name, argument.type, self._drawer(name, argument.type))}"
            for name, argument in arguments.items()
            if isinstance(argument.type, GraphQLNonNull) or self.chance.random() < 0.3
        ]

    def _page_arguments(
        self, field_name: str, arguments: Mapping[str, GraphQLArgument], type_: Any
    ) -> list[str]:
        """Return arguments of a connection, whose cursors are of its order."""
        row = type_.name.removeprefix(self.prefix).removesuffix("Connection")
        default = ("LAST_COMMENT_AT", "DESC") if row == "Thread" else ("CREATED_AT", "ASC")
        if "orderBy" in arguments:
            orders = sorted(key[1:] for key in self.values.cursors if key[0] == row)
            order = self.chance.choice([*orders, default])
        else:  # the one order that the field has
            row, orders, order = field_name, [default], default
        draws: dict[str, Draw] = {}
        if order != default or self.chance.random() < 0.3:
            draws["orderBy"] = lambda: self._order(orders, order)
        elif self.chance.random() < 0.2:
            draws["orderBy"] = lambda: None
        size = self.chance.random()
        if size < 0.9:
            draws[self.chance.choice(("first", "first", "last"))] = self._drawer(
                "first", arguments["first"].type
            )
        if size < 0.1 * self.errors:
            draws["first"] = draws["last"] = self._drawer("first", arguments["first"].type)
        for name in ("after", "before"):
            if self.chance.random() < 0.25:
                draws[name] = self._cursor_drawer(row, order, name)
        draws = {name: draw for name, draw in draws.items() if name in arguments}
        if "seq" in arguments:
            draws["seq"] = self._drawer("seq", arguments["seq"].type)
        if "filterBy" in arguments and self.chance.random() < 0.25:
            draws["filterBy"] = self._drawer("filterBy", arguments["filterBy"].type)
        is_fixed = bool({"after", "before"} & {*draws}) and not self.errors
        return [
            f"{name}: {self._argument(name, arguments[name].type, draw, is_fixed=is_fixed)}"
            for name, draw in sorted(draws.items(), key=lambda _: self.chance.random())
        ]

    def _order(self, orders: Sequence[tuple[str, str]], order: tuple[str, str]) -> dict[str, str]:
        name, direction = self.chance.choice(orders) if self._is_wrong() else order
        return {"field": name, "direction": direction}

    def _cursor_drawer(self, row: str, order: tuple[str, str], name: str) -> Draw:
        own = self.values.cursors[(row, *order)]
        foreign = [cursor for cursors in self.values.cursors.values() for cursor in cursors]

        def draw() -> Any:
            if self._is_wrong():
                return self.chance.choice([*self.values.wrong["cursor"], *foreign])
            return None if self.chance.random() < 0.1 else self.chance.choice(own)

        return draw

    def _drawer(self, name: str, type_: Any) -> Draw:
        """Return what draws a value of an argument."""
        row = self._row
        return lambda: self._value(name, type_, row)

    def _value(self, name: str, type_: Any, row: str = "") -> Any:
        """Return a value of an argument, for an id that of a type of rows or of any."""
        if isinstance(type_, GraphQLNonNull):
            return self._value(name, type_.of_type, row)
        if self._is_wrong():
            kind = f"[{name}]" if isinstance(type_, GraphQLList) else name
            wrong = self.values.wrong.get(kind, ())
            if wrong:
                return self.chance.choice(wrong)
        if isinstance(type_, GraphQLList):
            return [self._value(name, type_.of_type) for _ in range(self.chance.randint(0, 6))]
        if isinstance(type_, GraphQLEnumType):
            return self.chance.choice(sorted(type_.values))
        if isinstance(type_, GraphQLInputObjectType):
            return {
                item: self._value(item, definition.type)
                for item, definition in type_.fields.items()
                if item not in RESTRICTED
                and (isinstance(definition.type, GraphQLNonNull) or self.chance.random() < 0.5)
            }
        if type_.name == "ID":
            row = ROWS_OF_IDS.get(name, row)
            return self.chance.choice(self.values.ids[row])
        return self.chance.choice(self.values.scalars.get(name) or self.values.scalars[type_.name])

    def _argument(self, name: str, type_: Any, draw: Draw, *, is_fixed: bool = False) -> str:
        """Return a literal, a variable, or a literal with variables in it.

        :param is_fixed: whether other arguments depend on it, so that it is never left out.
        """
        way = self.chance.random()
        if way < 0.45:
            return self._literal(draw(), type_)
        if way < 0.6:
            return self._literal(draw(), type_, self.chance.random())
        kind, optional = str(type_), not isinstance(type_, GraphQLNonNull)
        if self.chance.random() < 0.3:
            default = draw()
            if default is None and not optional:
                default = MISSING
            if default is not MISSING:
                kind = f"{kind} = {self._literal(default, type_)}"
                optional = True
        left_out = 0.3 * (not is_fixed) if optional else 0.2 * self.errors
        return "$" + self._declare(
            kind, lambda: MISSING if self.chance.random() < left_out else draw()
        )

    def _declare(self, kind: str, draw: Draw) -> str:
        name = self._name("v")
        self.declared.append(f"${name}: {kind}")
        self.variables[name] = draw
        return name

    def _literal(self, value: Any, type_: Any, variable: float = 0.0) -> str:
        """Return a value in a document.

        :param variable: how often a part of it is a variable.
        """
        if isinstance(type_, GraphQLNonNull):
            type_ = type_.of_type
        if isinstance(value, list):
            parts = [self._part(item, type_.of_type, variable) for item in value]
            return f"[{', '.join(parts)}]"
        if isinstance(value, dict):
            fields: dict[str, GraphQLInputField] = type_.fields
            return (
                "{"
                + ", ".join(
                    f"{name}: {self._part(item, fields[name].type, variable)}"
                    for name, item in value.items()
                )
                + "}"
            )
        if isinstance(type_, GraphQLEnumType) and value is not None:
            return str(value)
        return json.dumps(value)

    def _part(self, value: Any, type_: Any, variable: float) -> str:
        if self.chance.random() < variable:
            return "$" + self._declare(str(type_), lambda: value)
        return self._literal(value, type_, variable)


class MutationWriter(QueryWriter):
    """Writes one mutation, or several with errors."""

    def write(self) -> RandomQuery:
        """Return the mutation."""
        number = 2 if self._is_wrong() else 1
        return self._document("mutation M", self.schema.mutation_type, number, most=6)
