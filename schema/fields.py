"""Field declarations: Strawberry's, typed, and each with the columns that it reads.

A field of a type that stands for a row names its columns where it is declared, and the query reads
those of the requested fields alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import strawberry

from ..execution.requested_fields import COLUMNS, THREAD_COLUMNS

F = TypeVar("F", bound=Callable[..., Any])


def column(description: str) -> Any:
    """Declare a field that returns the column of the same name."""
    return strawberry.field(description=description, metadata={COLUMNS: ()})


def field(
    description: str,
    *,
    columns: Sequence[str] = (),
    thread_columns: Sequence[str] = (),
    graphql_type: Any = None,
) -> Callable[[F], F]:
    """Declare a field that a method resolves, as :func:`strawberry.field` does.

    :param columns: the columns of its own row that the method reads.
    :param thread_columns: of a field of a comment: the columns of its thread that it reads.
    :param graphql_type: the field's type, if the method's annotation is not it.
    """
    metadata = {COLUMNS: columns, THREAD_COLUMNS: thread_columns} if columns else {}
    decorator: Callable[[F], F] = strawberry.field(
        description=description, metadata=metadata, graphql_type=graphql_type
    )
    return decorator
