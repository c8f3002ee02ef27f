"""Columns that are computed from another column of the same row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import event
from sqlalchemy.orm import InstrumentedAttribute, attributes

_S = TypeVar("_S")
_T = TypeVar("_T")


def derive(
    source: InstrumentedAttribute[_S],
    target: InstrumentedAttribute[_T],
    compute: Callable[[Any, _S], _T],
) -> None:
    """Keep `target` equal to ``compute(obj, value)`` of `source`, from the moment of assignment.

    `target` is written whenever `source` is, even where its value has not changed
    since it was loaded: another transaction may have changed both meanwhile, and the
    row must never hold one writer's text beside another's number.
    """

    def on_set(obj: Any, value: _S, old: object, initiator: object) -> None:
        if target.key in attributes.instance_dict(obj):
            attributes.flag_modified(obj, target.key)
        setattr(obj, target.key, compute(obj, value))

    event.listen(source, "set", on_set)
