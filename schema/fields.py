"""Strawberry's decorators, typed: what they decorate keeps its type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import strawberry

F = TypeVar("F", bound=Callable[..., Any])


def field(description: str) -> Callable[[F], F]:
    """:func:`strawberry.field`, on a method."""
    decorator: Callable[[F], F] = strawberry.field(description=description)
    return decorator
