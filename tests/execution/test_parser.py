"""The parser's documents: what they know, and what they leave behind."""

from __future__ import annotations

import gc
from contextlib import suppress

import pytest
from graphql import GraphQLError, GraphQLSyntaxError, print_ast
from graphql import parse as parse_by_library

from tallied.execution.parser import parse

TEXT = """
# Two operations
query One($id: ID!) { thread(id: $id) { ...Row comments(first: 3) { nodes { message } } } }
query Two { __typename @skip(if: false) }
fragment Row on Thread { id title }
"""


def test_document_equals_the_library_s():
    document = parse(TEXT, max_tokens=100)
    assert document == parse_by_library(TEXT)
    assert print_ast(document) == print_ast(parse_by_library(TEXT))


def test_error_of_a_node_names_its_place():
    [_, second, fragment] = parse(TEXT, max_tokens=100).definitions
    locations = GraphQLError("", [second, fragment]).locations
    assert [(place.line, place.column) for place in locations or ()] == [(4, 1), (5, 1)]


@pytest.mark.parametrize("text", [TEXT, "{ thread(id: 1) { id", "{ a } }", "{ a # b\n ? }"])
def test_text_leaves_nothing_for_the_garbage_collector(text):
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            with suppress(GraphQLSyntaxError):
                parse(text, max_tokens=100)
        assert gc.collect() == 0
    finally:
        gc.enable()


@pytest.mark.parametrize("text", ["{ a", "{ a(b: [" + "[" * 30_000, TEXT * 3])
def test_error_equals_the_library_s(text):
    with pytest.raises(GraphQLSyntaxError) as by_library:
        parse_by_library(text, max_lexical_tokens=100)
    with pytest.raises(GraphQLSyntaxError) as error_of_tallied:
        parse(text, max_tokens=100)
    assert str(error_of_tallied.value) == str(by_library.value)


def test_document_nested_too_deeply_is_refused():
    with pytest.raises(GraphQLSyntaxError, match="nested too deeply"):
        parse("{ a(b: " + "[" * 30_000, max_tokens=100_000)
