"""Protect the numbers of rows from assignments; the engine alone sets them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import InstanceState
from sqlalchemy.orm.base import NO_VALUE

from ...errors import CounterAssignmentError
from ..declarations.merge import leave_out_of_merge
from ..declarations.number import Number
from ..declarations.object_state import is_known

_NUMBERING = object()
"""The initiator of the engine's own assignments."""


def protect_number(counter: Number) -> None:
    """Refuse assignments to the number of a row, unless they change nothing."""
    leave_out_of_merge(counter.of.property)
    column = f"{counter.source.class_.__name__}.{counter.of.key}"

    def on_set(state: InstanceState[Any], value: Any, old: Any, initiator: Any) -> Any:
        if initiator is _NUMBERING:
            return value
        present = state.dict.get(counter.of.key, NO_VALUE)
        if state.key is None and value is None:
            return None if present is NO_VALUE else present
        if present is not NO_VALUE and is_known(state, counter.of.key) and value == present:
            return present
        raise CounterAssignmentError(
            f"{column} is numbered by {counter} and cannot be assigned another value: leave it "
            f"out, and the flush gives the next number."
        )

    event.listen(counter.of, "set", on_set, retval=True, propagate=True, raw=True)


def set_number(counter: Number, state: InstanceState[Any], number: int | None) -> None:
    """Set the number of an object, for the flush to write."""
    impl: Any = state.manager[counter.of.key].impl
    impl.set(state, state.dict, number, _NUMBERING)
