"""``tallied print-schema``: print the GraphQL schema."""

from __future__ import annotations

from ..schema.printing import print_introspection, print_sdl
from .options import Format


def print_schema(form: Format = "text") -> None:
    """Print the API's GraphQL schema.

    As text, it is in the schema definition language; as JSON, it is the answer to an introspection.
    """
    print(print_introspection() if form == "json" else print_sdl(), end="")
