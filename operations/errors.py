"""The reasons for which an operation is left to graphql-core."""

from __future__ import annotations


class Unsupported(Exception):
    """A part of a document that the compiler does not know.

    Its text is the part, by names of the schema only, so that there are few of them.
    """


class Guard(Exception):
    """A request that is not the plain case of its operation.

    Its text is the kind of reason, without anything of the request.
    """
