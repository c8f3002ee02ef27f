"""The schema: every description, and the printed files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    build_schema,
    find_breaking_changes,
    get_introspection_query,
)
from sqlalchemy import inspect
from support.api import Api

import tallied.schema
from tallied.execution.field_declarations import columns_of, declaration_of, python_name
from tallied.models import Author, Comment, Thread
from tallied.schema.build import schema
from tallied.schema.fields import computed
from tallied.schema.printing import print_sdl

PRINTED = Path(tallied.schema.__file__).with_name("schema.graphql")

core = schema._schema
types = {name: type_ for name, type_ in core.type_map.items() if not name.startswith("__")}


def described() -> Iterator[tuple[str, str | None]]:
    """Yield everything in the schema that has a name, with its description."""
    for name, type_ in types.items():
        yield name, type_.description
        if isinstance(type_, GraphQLEnumType):
            for value, definition in type_.values.items():
                yield f"{name}.{value}", definition.description
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType):
            for field_name, field in type_.fields.items():
                yield f"{name}.{field_name}", field.description
                for argument_name, argument in getattr(field, "args", {}).items():
                    yield f"{name}.{field_name}({argument_name})", argument.description


def test_computed_field_without_scope_is_refused() -> None:
    with pytest.raises(TypeError, match="first parameter of size must be one of rules, access"):

        @computed("The size.", "word_count")
        def size(count: int) -> int:
            return count


def test_every_type_and_field_is_described() -> None:
    names = dict(described())
    assert {"Thread.wordCount", "Query.threads(first)", "ThreadOrderField.WORD_COUNT"} <= set(names)
    missing = [name for name, text in names.items() if not (text and text.strip())]
    assert missing == []


def test_descriptions_are_sentences() -> None:
    for name, text in described():
        assert text is not None
        assert text[0].isupper(), name
        # The questions are those of Strawberry's PageInfo.
        assert text.endswith((".", "?")), name


def test_word_count_description_defines_words() -> None:
    for name in ("Thread", "Comment"):
        description = types[name].fields["wordCount"].description
        assert "len(message.split())" in description
        assert "Unicode whitespace" in description


def test_printed_schema_is_schema() -> None:
    assert PRINTED.read_text() == print_sdl(), "write it anew with: tallied print-schema"
    assert find_breaking_changes(core, build_schema(PRINTED.read_text())) == []
    assert find_breaking_changes(build_schema(PRINTED.read_text()), core) == []


def test_every_object_with_id_is_node() -> None:
    nodes = [
        name
        for name, type_ in types.items()
        if isinstance(type_, GraphQLObjectType)
        and "id" in type_.fields
        and str(type_.fields["id"].type) == "ID!"
    ]
    assert sorted(nodes) == ["Author", "Comment", "Thread"]
    for name in nodes:
        assert [interface.name for interface in types[name].interfaces] == ["Node"]


def test_fields_with_values_are_non_null() -> None:
    nullable = {
        f"{name}.{field_name}"
        for name in ("Thread", "Comment", "Author", "PageInfo", "ThreadConnection", "ThreadEdge")
        for field_name, field in types[name].fields.items()
        if not isinstance(field.type, GraphQLNonNull)
    }
    assert nullable == {
        "Thread.flaggedCount",
        "Thread.pendingCount",
        "Thread.around",
        "Thread.firstUnread",
        "Thread.unreadCount",
        "Thread.lastCommentAt",
        "Thread.lockedAt",
        "Thread.author",
        "Thread.target",
        "Author.name",
        "Comment.author",
        "Comment.authorName",
        "Comment.deletedAt",
        "Comment.deletedBy",
        "Comment.editedAt",
        "Comment.flagCount",
        "Comment.inReplyTo",
        "Comment.parent",
        "Comment.pendingReason",
        "Comment.root",
        "Comment.status",
        "Comment.withdrawnText",
        "PageInfo.startCursor",
        "PageInfo.endCursor",
    }


def test_every_mutation_has_one_input_and_one_payload() -> None:
    assert len(types["Mutation"].fields) == 17
    for name, field in types["Mutation"].fields.items():
        stem = name[0].upper() + name[1:]
        assert list(field.args) == ["input"]
        assert str(field.args["input"].type) == f"{stem}Input!"
        assert str(field.type) == f"{stem}Payload"


def test_every_field_of_row_declares_its_columns() -> None:
    for name, model in (("Thread", Thread), ("Comment", Comment), ("Author", Author)):
        columns = {attribute.key for attribute in inspect(model).column_attrs}
        for field in types[name].fields.values():
            declared = set(columns_of(python_name(field), declaration_of(field)))
            assert declared, f"{name}.{python_name(field)}"
            assert declared <= columns, f"{name}.{python_name(field)}"


def test_scalars_name_their_specification() -> None:
    own: dict[str, Any] = {
        name: type_.specified_by_url
        for name, type_ in types.items()
        if isinstance(type_, GraphQLScalarType)
        and name not in ("ID", "Int", "String", "Boolean", "Float")
    }
    assert own == {
        "DateTime": "https://www.rfc-editor.org/rfc/rfc3339",
        "SafeInt": "https://tc39.es/ecma262/#sec-number.issafeinteger",
    }


async def test_schema_can_be_introspected(api: Api) -> None:
    answer = await api(get_introspection_query(specified_by_url=True, input_value_deprecation=True))
    assert {type_["name"] for type_ in answer["types"]} >= set(types)
