"""The limits of documents: each at its edge, before execution, with its name and maximum."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from graphql import (
    GraphQLError,
    OperationDefinitionNode,
    get_introspection_query,
    parse,
    print_ast,
    validate,
)
from support.api import Api

from tallied.database import Database
from tallied.error_codes import make_extensions
from tallied.execution import limits
from tallied.schema.build import schema
from tallied.settings import Settings

SETTINGS = Settings(
    document_fields=100,
    document_depth=5,
    document_aliases=10,
    document_root_fields=3,
    document_fragments=4,
    document_directives=6,
    document_operations=3,
)


def many(text: str, count: int) -> str:
    """Return the text so many times, with # as the number."""
    return " ".join(text.replace("#", str(number)) for number in range(count))


def spread_out(fragments: int) -> str:
    """Return a document whose fragments spread each other: each one doubles its fields."""
    return (
        '{ thread(id: "x") { ...f0 } }'
        + "".join(
            f"""fragment f{n} on Thread {{ comments(first: 1) {{
                  nodes {{ thread {{ ...f{n + 1} }} }}
                  edges {{ node {{ thread {{ ...f{n + 1} }} }} }} }} }}"""
            for n in range(fragments - 1)
        )
        + f"fragment f{fragments - 1} on Thread {{ id }}"
    )


def fields(*selections: str) -> str:
    """Return a selection set."""
    return "{ " + " ".join(selections) + " }"


def fault(document: str, settings: Settings = SETTINGS) -> GraphQLError | None:
    return limits.check_limits(parse(document), settings)


def nested(depth: int) -> str:
    return "{ a " * depth + "}" * depth


def assert_edge(limit: str, fits: str, exceeds: str, settings: Settings = SETTINGS) -> None:
    """Return the one is within the limit and the other past it, and told so."""
    assert fault(fits, settings) is None
    error = fault(exceeds, settings)
    assert error is not None
    maximum = getattr(settings, limit)
    assert error.extensions == {"code": "LIMIT_EXCEEDED", "limit": limit, "maximum": maximum}
    assert f" {maximum} " in error.message.replace(".", " ")


def test_operations_are_bounded() -> None:
    assert_edge("document_operations", many("query q# { a }", 3), many("query q# { a }", 4))


def test_all_fragments_are_bounded() -> None:
    fragments = "{ a } " + many("fragment f# on X { a }", 4)
    assert_edge("document_fragments", fragments, fragments + " fragment f0 on X { a }")


def test_aliases_are_bounded_everywhere() -> None:
    remainder = " fragment f on X " + fields(many("b#: c { d#: e }", 3))
    fits = fields(many("a#: b#", 4), "...f") + remainder
    assert_edge("document_aliases", fits, fits.replace("...f", "y: c ...f"))


def test_directives_are_bounded_everywhere() -> None:
    fits = """query q($v: X @a) @b { c @d ...f @e ... @g { h } } fragment f on X @i { j }"""
    assert_edge("document_directives", fits, fits.replace("j", "j @k"))


def test_depth_includes_fragments() -> None:
    assert_edge("document_depth", nested(5), nested(6))
    fits = "{ a { ...f } } fragment f on X { b { ... { c { ...g } } } } fragment g on X { d { e } }"
    assert_edge("document_depth", fits, fits.replace("{ e }", "{ e { f } }"))
    assert_edge(
        "document_depth", "{ a } fragment f on X " + nested(5), "fragment f on X" + nested(6)
    )


def test_introspection_has_own_depth() -> None:
    settings = replace(SETTINGS, introspection_depth=8)
    fits = "{ __schema " + nested(7) + "}"
    assert_edge("introspection_depth", fits, "{ x: __schema " + nested(8) + "}", settings)
    within = "{ ...f } fragment f on Query { __type " + nested(7) + "}"
    assert_edge("introspection_depth", within, within.replace("{ a }", "{ a { b } }"), settings)


def test_repeated_root_fields_are_bounded() -> None:
    assert_edge("document_root_fields", "{ a b c d x: a y: a }", "{ a x: a y: a z: a }")
    fits = "{ a a a a a ...f } fragment f on Q { b: a ... { c: a } }"
    assert_edge("document_root_fields", fits, fits.replace("c: a", "c: a d: a"))


def test_written_fields_are_bounded() -> None:
    assert_edge("document_fields", fields(many("a#", 100)), fields(many("a#", 101)))
    unused = "{ a } fragment f on X "
    fits, exceeds = (unused + fields(many("a#", count)) for count in (99, 100))
    assert_edge("document_fields", fits, exceeds)


def test_spread_fields_are_bounded() -> None:
    fits = fields(many("a# { ...f }", 4)) + " fragment f on X " + fields(many("b#", 23))
    assert_edge("document_fields", fits, fits.replace("b0", "b0 c"))


def test_repeated_field_is_bounded() -> None:
    """Its repeats are compared pairwise when the document is validated."""
    twenty, remainder = "c " * 20, "c " * (limits.MAX_REPEATS - 20)
    fits = (
        "{ a { b { "
        + twenty
        + "} } ...f } fragment f on X { a { ... { b { "
        + remainder
        + "} } } }"
    )
    assert fault(fits, Settings()) is None
    error = fault(fits.replace("c }", "c c }", 1), Settings())
    assert error is not None
    assert error.extensions == {
        "code": "LIMIT_EXCEEDED",
        "limit": "document_repeats",
        "maximum": limits.MAX_REPEATS,
    }


def test_exponential_fragments_are_refused() -> None:
    settings = Settings(document_depth=100)
    small, huge = spread_out(3), spread_out(12)
    assert fault(small, settings) is None
    assert validate(schema._schema, parse(small)) == []
    error = fault(huge, settings)
    assert error is not None
    assert error.extensions["limit"] == "document_fields"


@pytest.mark.parametrize(
    "document",
    [
        "{ ...a } fragment a on Query { ...a }",
        "{ a } fragment a on X { b { ...b } } fragment b on X { ...c }"
        " fragment c on X { c { ...a } }",
        "fragment b on X { ... { x ...b } } { a }",
    ],
)
def test_cyclic_fragment_is_refused_first(document: str) -> None:
    error = fault(document)
    assert error is not None
    assert error.message.startswith("Cannot spread fragment")


def test_missing_fragments_are_left_to_validation() -> None:
    assert fault("{ ...unknown }") is None


STANDARD = get_introspection_query(
    specified_by_url=True,
    directive_is_repeatable=True,
    schema_description=True,
    input_value_deprecation=True,
)


async def limited(database: Database, query: str, **settings: Any) -> dict[str, Any]:
    """Return the extensions of the one error of a request whose document is past a limit."""
    answer = await Api(database, **settings).post(query)
    assert answer.keys() == {"errors"}
    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "LIMIT_EXCEEDED"
    extensions: dict[str, Any] = error["extensions"]
    return extensions


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_every_limit_is_setting(database: Database) -> None:
    deep = "{ threads(first: 1) { nodes { comments(first: 1) { nodes { id } } } } }"
    for limit, document in {
        "document_fields": fields(many("... { __typename }", 26)),
        "document_depth": deep.replace("id", "thread { id }"),
        "document_aliases": "{ a: __typename b: __typename }",
        "document_root_fields": "{ a: __typename b: __typename }",
        "document_fragments": "{ ...a ...b } fragment a on Query { __typename }"
        " fragment b on Query { __typename }",
        "document_directives": "{ __typename @skip(if: false) a: __typename @skip(if: false) }",
        "introspection_depth": "{ __schema { types { fields { type { ofType { name } } } } } }",
        "operation_cost": "{ threads(last: 9) { nodes { comments(last: 12) { nodes { id } } } } }",
    }.items():
        assert "errors" not in await Api(database).post(document), limit
        lowest = {"document_fields": 50, "document_depth": 5, "introspection_depth": 5}
        maximum = lowest.get(limit, 100 if limit == "operation_cost" else 1)
        reply = await limited(database, document, **{limit: maximum})
        details = {"limit": limit, "maximum": maximum}
        assert reply == make_extensions("LIMIT_EXCEEDED", details)


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_one_full_introspection_is_allowed(database: Database) -> None:
    api = Api(database)
    assert (await api.post(STANDARD))["data"]["__schema"]["types"]
    for document in (
        repeated(20),
        repeated(2),
        "{ __schema { types "
        + fields(many("f#: fields { name args { name } type { name } }", 30))
        + " } }",
        "{ __schema { types { fields { type { fields { args { type { name } } } } } } } }",
    ):
        reply = await limited(database, document)
        assert reply["limit"] in ("introspection", "document_fields"), document


def repeated(times: int) -> str:
    """Return the standard introspection, so many times in one operation."""
    document = parse(STANDARD)
    operation = document.definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    once = print_ast(operation.selection_set)[1:-1].strip()
    remainder = "\n".join(print_ast(node) for node in document.definitions[1:])
    return fields(many("a#: " + once, times)) + remainder


COSTS: list[tuple[str, int]] = [
    ("{ __typename }", 0),
    ("{ threads(first: 10) { totalCount } }", 1),
    ("{ threads(first: 10) { nodes { id } } }", 10),
    ("{ threads(last: 10) { pageInfo { hasNextPage } } }", 10),
    ("{ threads(first: 10) { nodes { id } edges { cursor node { title } } totalCount } }", 10),
    ("{ threads(first: 10) { nodes { comments(first: 5) { totalCount } } } }", 20),
    ("{ threads(first: 10) { nodes { comments(first: 5) { nodes { id } } } } }", 60),
    ("{ threads(first: 10) { edges { node { ...f } } } } fragment f on Thread { ...g }"
     " fragment g on Thread { comments(last: 5) { edges { node { thread { id } } } } }", 110),
    ("{ threads(first: 10) { nodes { a: comments(first: 5) { nodes { id } }"
     " b: comments(first: 7) { nodes { id } } } } }", 130),
    ("{ threads(first: 10) { nodes { id } nodes { title } } threads(first: 10) { nodes { id } } }",
     10),
    ('{ thread(id: "%(thread)s") { title comments(first: 3) { nodes { id } } } }', 4),
    ('{ comment(id: "%(comment)s") { thread { comments(first: 3) { nodes { id } } } } }', 5),
    ('{ node(id: "%(thread)s") { id ... on Thread { comments(first: 3) { nodes { id } } } } }', 4),
    ("query($n: Int = 4, $m: Int!) { threads(first: $n) { nodes { comments(last: $m) {"
     " nodes { id } } } } }", 4 + 4 * 6),
    ("query($n: Int, $m: Int!) { threads(first: $n, last: $m) { nodes { id } } }", 6),
    ("{ threads(first: 10) @include(if: false) { nodes { id } } }", 10),
    ('{ comment(id: "%(comment)s") { id ancestors { id } } }', 1 + 4),
    ('query($n: Int = 3) { thread(id: "%(thread)s") { around(commentId: "%(comment)s",'
     " siblings: $n) { comment { id } ancestors { id }"
     " siblings { nodes { id replies(first: 2) { nodes { id } } } } } } }",
     1 + 1 + 4 + 7 * (1 + 2)),
    ('{ thread(id: "%(thread)s") { around(commentId: "%(comment)s") { siblings { totalCount'
     " nodes { id } } } } }", 1 + 21),
    ('mutation { createThread(input: {title: "x"}) { thread { id }'
     " threadEdge { node { comments(first: 2) { nodes { id } } } } comment { id } } }", 5),
]  # fmt: skip


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_cost_is_number_of_reachable_nodes(api: Api) -> None:
    thread = await api.thread("Engines")
    ids = {"thread": thread, "comment": await api.comment(thread)}
    for query, nodes in COSTS:
        document = query % ids if "%(" in query else query
        variables = {"m": 6} if "$m" in query else {}
        answer = await api.post(document, **variables)
        assert answer["extensions"] == {"cost": {"nodes": nodes, "limit": 20_000}}, query


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_cost_counts_variables_of_each_request(database: Database) -> None:
    api = Api(database, operation_cost=110)
    query = """query($n: Int) { threads(first: 10) {
        nodes { comments(first: $n) { nodes { id } } } } }"""
    for size, nodes in ((10, 110), (3, 40)):
        answer = await api.post(query, n=size)
        assert answer["extensions"]["cost"] == {"nodes": nodes, "limit": 110}
    answer = await api.post(query, n=11)
    assert answer.keys() == {"errors"}
    (error,) = answer["errors"]
    limit = {"limit": "operation_cost", "maximum": 110}
    assert error["extensions"] == make_extensions("LIMIT_EXCEEDED", limit)
    assert "may reach 120 nodes" in error["message"]


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_unreadable_size_is_reported(api: Api) -> None:
    query = "query($n: Int) { threads(first: $n) { nodes { id } } }"
    for size in ("x", [1], {"a": 1}, 1.5, True, 10**30, -1, 101):
        error = await api.error(query, n=size)
        assert error["code"] == "BAD_USER_INPUT"


def test_validation_is_quick_at_limits() -> None:
    """What passes is small: the pairs of fields that validation compares are bounded."""
    settings = Settings()
    groups = settings.document_fields // limits.MAX_REPEATS
    repeats = many("title#: title " * (limits.MAX_REPEATS - 1), groups)
    worst = f"{{ threads(first: 1) {{ nodes {{ {repeats} }} }} }}"
    assert fault(worst, replace(settings, document_aliases=10_000)) is None
    assert validate(schema._schema, parse(worst)) == []
