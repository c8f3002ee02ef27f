"""``tallied print-schema``: print the GraphQL schema."""

from __future__ import annotations

from ..schema.printing import print_introspection, print_sdl
from .options import Format


def print_schema(form: Format = "text") -> None:
    """Print the API's GraphQL schema.

    text: the schema definition language. json: the response to an introspection query.
    """
    print(print_introspection() if form == "json" else print_sdl(), end="")
