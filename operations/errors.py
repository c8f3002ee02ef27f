"""The reasons for which an operation is left to graphql-core."""

from __future__ import annotations


class Unsupported(Exception):
    """A part of a document that the compiler does not know."""


class Guard(Exception):
    """A request that is not the plain case of its operation."""
