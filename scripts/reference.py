"""The reference that is generated from the code: settings, codes, GraphQL schema, Python API."""

from __future__ import annotations

import sys
from pathlib import Path

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLUnionType,
    Undefined,
    get_named_type,
    print_ast,
)
from graphql.utilities import ast_from_value

from tallied.error_codes import CODES, anchor_of
from tallied.schema.build import schema
from tallied.schema.payloads import UserErrorCode
from tallied.settings import SETTINGS, Setting

TESTS = Path(__file__).resolve().parent.parent / "tests"

PAGES_OF_SETTINGS = {
    "database_schema": "../tutorial/plugging-in.md#next-steps",
    "database_wait": "../how-to/server.md#a-database-that-starts-later",
    "pool_size": "../how-to/postgresql.md#the-size-of-the-pool",
    "group_commit": "../how-to/postgresql.md#comments-and-reactions-that-share-a-transaction",
    "workers": "../how-to/server.md#signals",
    "sockets_per_address": "../how-to/server.md#one-client-address",
    "connections_per_address": "../how-to/server.md#one-client-address",
    "origins": "../how-to/frontend.md#allow-the-pages-origin-a-standalone-server",
    "allowed_hosts": "../how-to/frontend.md#the-names-of-the-server",
    "cache_time": "http.md#caching",
    "persisted_documents": "http.md#persisted-documents",
    "operation_cost": "limits.md#cost",
    "answer_size": "limits.md",
    "log_format": "../how-to/logs.md#log-as-json",
    "access_log": "../how-to/logs.md",
    "guests": "permissions.md#permissions",
    "restore_days": "deletion.md#restoring",
    "flag_limit": "moderation.md#flags",
    "link_limit": "moderation.md#checks-before-publication",
    "reply_depth": "replies.md#depth",
    "revisions": "edits.md#history",
    "reactions": "reactions.md#settings",
    "secret": "permissions.md#authentication",
}


SETTINGS_INTRODUCTION = """\
# Settings

A standalone server reads these environment variables. A host passes a `Settings`, whose fields
have the same names in lower case: `Settings(page_size=50)`. Sizes are in bytes and times in
seconds; limits count for one server process. This page is written by
`python scripts/docs.py --write`.

| setting | default | allowed | meaning |
| --- | --- | --- | --- |
"""


_SWITCHES = {True: "`true`", False: "`false`", None: "`true` in development"}


def print_settings() -> str:
    """Return the page of all settings."""
    return SETTINGS_INTRODUCTION + "".join(map(_setting_row, SETTINGS.values()))


def _setting_row(setting: Setting) -> str:
    default = f"`{setting.default}`" if setting.default != "" else ""
    allowed = ", ".join(setting.choices)
    if setting.bounds:
        default = f"{setting.default:,}"
        allowed = f"{setting.bounds[0]:,} to {setting.bounds[1]:,}"
    elif setting.is_switch:
        default, allowed = _SWITCHES[setting.default], "true, false"
    page = PAGES_OF_SETTINGS.get(setting.name)
    text = setting.text.replace("*", r"\*") + (f" [More]({page})." if page else "")
    anchor = setting.name.replace("_", "-")
    name = f'<a id="{anchor}"></a>`{setting.variable}`'
    return f"| {name} | {default} | {allowed} | {text} |\n"


PAGES_OF_CODES = {
    "NOT_MOVABLE": "replies.md#moving",
    "NOT_RESTORABLE": "deletion.md#restoring",
    "CONFLICT": "edits.md",
    "RATE_LIMITED": "moderation.md#checks-before-publication",
    "REPEATED_TEXT": "moderation.md#checks-before-publication",
    "UNKNOWN_REACTION": "reactions.md",
    "UNAUTHENTICATED": "permissions.md#authentication",
    "LIMIT_EXCEEDED": "limits.md",
    "PERSISTED_QUERY_NOT_FOUND": "http.md#persisted-documents",
    "PERSISTED_QUERY_NOT_SUPPORTED": "http.md#persisted-documents",
    "DOCUMENT_NOT_ALLOWED": "http.md#persisted-documents",
    "HOST_NOT_ALLOWED": "../how-to/frontend.md#the-names-of-the-server",
    "ORIGIN_NOT_ALLOWED": "../how-to/frontend.md",
    "BUSY": "errors.md#was-the-change-made",
    "UNAVAILABLE": "../explanation/faults.md",
    "OUTCOME_UNKNOWN": "errors.md#was-the-change-made",
    "TOO_MANY_CONNECTIONS": "../how-to/server.md#one-client-address",
    "INTERNAL_SERVER_ERROR": "../how-to/logs.md",
}

CODES_INTRODUCTION = """\
# Error codes

Every code of an [error of the API](errors.md), with its meaning and what a client can do. This page
is written by `python scripts/docs.py --write`.

## Codes of userErrors

A rejected mutation has one of these in `userErrors`. A query that cannot be answered for the same
reason has it in `errors`, as `extensions.code`.

"""

CODES_OF_ERRORS = """
## Codes of errors

Other errors are in `errors`, with one of these as `extensions.code`. Any other code there is one of
the host's own; follow its message.

"""

HEAD_OF_CODES = "| code | meaning | remedy |\n| --- | --- | --- |\n"


def print_error_codes() -> str:
    """Return the page of all codes of errors."""
    rows = {code: _code_row(code) for code in CODES}
    rejections = "".join(rows.pop(code) for code in UserErrorCode.__members__)
    others = "".join(rows.values())
    return (
        f"{CODES_INTRODUCTION}{HEAD_OF_CODES}{rejections}{CODES_OF_ERRORS}{HEAD_OF_CODES}{others}"
    )


def _code_row(code: str) -> str:
    meaning, remedy = CODES[code]
    page = PAGES_OF_CODES.get(code)
    text = meaning + (f" [More]({page})." if page else "")
    return f'| <a id="{anchor_of(code)}"></a>`{code}` | {text} | {remedy} |\n'


def print_pages() -> dict[str, str]:
    """Return the generated pages of the schema and of the Python API by their names."""
    pages = {"schema": print_schema_pages(), "python": print_python_pages()}
    return {f"{kind}/{name}": text for kind, texts in pages.items() for name, text in texts.items()}


def print_schema_pages() -> dict[str, str]:
    """Return the pages of the GraphQL schema by their names."""
    roots = _roots()
    pages = {
        root.name: "".join(_field(root, *field) for field in root.fields.items()) for root in roots
    }
    for name, type_ in sorted(schema._schema.type_map.items()):
        if not name.startswith("__") and type_ not in roots:
            page = _page_of(type_)
            pages[page] = pages.get(page, "") + _type(type_)
    return {page: f"# {TITLES[page]}\n\n{pages[page]}" for page in TITLES}


TITLES = {
    "Query": "Queries",
    "Mutation": "Mutations",
    "objects": "Objects and interfaces",
    "inputs": "Inputs",
    "payloads": "Payloads of mutations",
    "values": "Enumerations, unions and scalars",
}


def _roots() -> tuple[GraphQLObjectType, ...]:
    roots = schema._schema.query_type, schema._schema.mutation_type
    return tuple(root for root in roots if root is not None)


def _page_of(type_: GraphQLNamedType) -> str:
    if isinstance(type_, GraphQLInputObjectType):
        return "inputs"
    if isinstance(type_, GraphQLEnumType | GraphQLUnionType | GraphQLScalarType):
        return "values"
    return "payloads" if type_.name.endswith("Payload") else "objects"


def _type(type_: GraphQLNamedType) -> str:
    text = f"## {type_.name} {{ #{type_.name} }}\n\n{type_.description or ''}\n\n"
    if isinstance(type_, GraphQLEnumType):
        values = type_.values.items()
        rows = (f"- {_value(type_, name)}: {value.description or ''}\n" for name, value in values)
        return text + "".join(rows) + "\n"
    if isinstance(type_, GraphQLUnionType):
        return text + f"One of {', '.join(_link(item) for item in type_.types)}.\n\n"
    if isinstance(type_, GraphQLScalarType):
        return text
    assert isinstance(type_, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType)
    return text + "".join(_field(type_, name, field) for name, field in type_.fields.items())


def _value(type_: GraphQLEnumType, name: str) -> str:
    """Return a value of an enumeration; that of an error's code is a link to its meaning."""
    if type_.name != "UserErrorCode":
        return f"`{name}`"
    return f"[`{name}`](../error-codes.md#{anchor_of(name)})"


def _field(owner: GraphQLNamedType, name: str, field: GraphQLField | GraphQLInputField) -> str:
    level = "##" if owner in _roots() else "###"
    text = f"{level} {name} {{ #{owner.name}.{name} }}\n\n{_link(field.type)}"
    if isinstance(field, GraphQLInputField):
        return f"{text}{_default(field)}\n\n{field.description or ''}\n\n"
    arguments = [
        f"- `{key}`: {_link(argument.type)}{_default(argument)} {argument.description or ''}\n"
        for key, argument in field.args.items()
    ]
    return f"{text}\n\n{field.description or ''}\n\n{''.join(arguments)}\n"


def _link(type_: object) -> str:
    named = get_named_type(type_)  # type: ignore[call-overload]
    return f"[`{type_}`]({_page_of(named)}.md#{named.name})"


def _default(value: GraphQLArgument | GraphQLInputField) -> str:
    if value.default_value is Undefined:
        return ""
    node = ast_from_value(value.default_value, value.type)
    return f" = `{print_ast(node)}`" if node is not None else ""


def print_python_pages() -> dict[str, str]:
    """Return the pages of the Python API by the names of their packages."""
    sys.path.insert(0, str(TESTS))
    from test_public_names import PUBLIC  # noqa: PLC0415

    pages: dict[str, str] = {}
    for path, names in PUBLIC.items():
        area = path.split(".")[1]
        page = pages.setdefault(area, f"# tallied.{area}\n\n")
        if path.rpartition(".")[2][0].isupper():
            members = "".join(f"        - {name}\n" for name in names.split())
            page += f"::: {path}\n    options:\n      members:\n{members}\n"
        else:
            page += "".join(f"::: {path}.{name}\n\n" for name in names.split())
        pages[area] = page
    return pages
