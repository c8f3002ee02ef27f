"""Documents are parsed and validated once, and the cache of them is bounded."""

from __future__ import annotations

import pytest
from graphql import GraphQLSchema, build_schema
from graphql.validation import ASTValidationRule

from tallied.error_codes import make_extensions
from tallied.execution import documents
from tallied.execution.documents import MAX_CACHED_CHARACTERS, RULES, DocumentCache


@pytest.fixture
def core() -> GraphQLSchema:
    return build_schema("type Query { word: String number(of: Int): Int }")


def padded(number: int, length: int) -> str:
    """Return a document of that length that differs from others by its number."""
    return f"{{ a{number}: word }}".ljust(length)


def test_document_is_parsed_once(core: GraphQLSchema) -> None:
    value = DocumentCache(core, 100)
    first = value.get("{ word }")
    assert first.errors == []
    assert [value.get("{ word }") is first for _ in range(3)] == [True] * 3
    assert value.get("{ word  }") is not first
    assert value.hits == 3


def test_faulty_document_is_parsed_once(core: GraphQLSchema) -> None:
    value = DocumentCache(core, 100)
    for text, code in (
        ("{ word", "GRAPHQL_PARSE_FAILED"),
        ("{ sentence }", "GRAPHQL_VALIDATION_FAILED"),
        ('{ number(of: "x") }', "BAD_USER_INPUT"),
    ):
        first = value.get(text)
        assert [error["extensions"]["code"] for error in first.errors] == [code]
        assert value.get(text) is first
    assert value.hits == 3


def test_cache_is_bounded_and_forgets_oldest(core: GraphQLSchema) -> None:
    value = DocumentCache(core, 100)
    length = MAX_CACHED_CHARACTERS // 20
    stored = [value.get(padded(number, length)) for number in range(20)]
    assert value.get(padded(0, length)) is stored[0]
    value.get(padded(20, length))
    assert value.get(padded(0, length)) is stored[0]
    assert value.get(padded(1, length)) is not stored[1]


def test_very_long_document_is_not_kept(core: GraphQLSchema) -> None:
    value = DocumentCache(core, 100)
    text = padded(1, MAX_CACHED_CHARACTERS // 10 + 1)
    assert value.get(text) is not value.get(text)
    assert value.hits == 0


def test_too_many_tokens_are_refused(core: GraphQLSchema) -> None:
    value = DocumentCache(core, 100)
    assert value.get("{" + " word" * 98 + "}").errors == []
    (error,) = value.get("{" + " word" * 99 + "}").errors
    limit = {"limit": "document_tokens", "maximum": 100}
    assert error["extensions"] == make_extensions("LIMIT_EXCEEDED", limit)
    assert "at most 100 tokens" in error["message"]
    assert value.get("{" + " word" * 99 + "}").status == 422
    # Only what it says of itself counts, and not what a client has it quote.
    (error,) = value.get('{ a "Document contains more than 100 tokens." }').errors
    assert error["extensions"] == make_extensions("GRAPHQL_PARSE_FAILED")


def test_ten_faults_are_reported_at_once(core: GraphQLSchema) -> None:
    errors = DocumentCache(core, 1000).get("{" + " x" * 50 + "}").errors
    assert 10 <= len(errors) <= 11


def test_rules_are_same_for_every_document(
    core: GraphQLSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[tuple[type[ASTValidationRule], ...]] = []
    real = documents.validate
    monkeypatch.setattr(
        documents, "validate", lambda *args, **kw: used.append(args[2]) or real(*args, **kw)
    )
    value = DocumentCache(core, 100)
    for text in ("{ word }", "{ number }"):
        value.get(text)
    assert used == [RULES, RULES]
    assert used[0] is used[1]
