"""The schema as text."""

from __future__ import annotations

from .build import schema


def print_sdl() -> str:
    """The schema in the schema definition language, as ``schema.graphql`` holds it."""
    return schema.as_str() + "\n"
