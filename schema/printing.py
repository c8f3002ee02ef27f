"""The schema as text, in the two formats of clients' tools."""

from __future__ import annotations

import orjson
from graphql import introspection_from_schema
from graphql.utilities.print_schema import print_schema_definition
from strawberry import Schema

from .build import schema


def print_sdl(schema: Schema = schema) -> str:
    """Return the schema in the schema definition language, as in ``schema.graphql``."""
    # Strawberry leaves the schema's own description out.
    definition = print_schema_definition(schema._schema)
    return "\n\n".join(filter(None, [definition, schema.as_str()])) + "\n"


def print_introspection(schema: Schema = schema) -> str:
    """Return the response to an introspection query, as ``/introspection.json`` serves it.

    An object whose one key is ``__schema``: the form that graphql-js calls
    IntrospectionQuery, and that graphql-codegen, urql and editors take.
    """
    response = introspection_from_schema(
        schema._schema,
        specified_by_url=True,
        directive_is_repeatable=True,
        schema_description=True,
        input_value_deprecation=True,
        experimental_directive_deprecation=False,  # Not yet in a specification.
        one_of=True,
    )
    return orjson.dumps(response, option=orjson.OPT_INDENT_2).decode() + "\n"
