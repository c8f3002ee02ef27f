"""Columns that are computed from another column of the same row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import event
from sqlalchemy.orm import InstrumentedAttribute, attributes

from ..counters.derived import Derived

_S = TypeVar("_S")
_T = TypeVar("_T")


def derive(
    source: InstrumentedAttribute[_S],
    target: InstrumentedAttribute[_T],
    compute: Callable[[_S], _T],
) -> Derived:
    """Keep `target` equal to ``compute(value)`` of `source`, from the moment of assignment.

    Both are written then, even where neither has changed since it was loaded: another
    transaction may have changed them meanwhile, and the row must never hold one writer's
    text beside another's number.

    :returns: the declaration that rows are verified by.
    """

    def on_set(obj: Any, value: _S, old: object, initiator: object) -> None:
        loaded = attributes.instance_dict(obj)
        for attribute in (source, target):
            if attribute.key in loaded:
                attributes.flag_modified(obj, attribute.key)
        setattr(obj, target.key, compute(value))

    event.listen(source, "set", on_set)
    return Derived(target, of=source, compute=compute)
