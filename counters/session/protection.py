"""Protect counters from assignments that would change them (:mod:`.assignments`)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.orm import InstanceState, Mapper

from ..declarations.counter import REGISTRIES, Counter
from ..declarations.merge import leave_out_of_merge
from ..registry.counter_registry import CounterRegistry
from .assignments import accept_assignment, forget_assignments, refused_assignment


def protect(registry: CounterRegistry, mapper: Mapper[Any], counters: tuple[Counter, ...]) -> None:
    """Refuse assignments to `counters`, and let a new object start with them empty."""
    for counter in counters:
        _guard(counter)
        prop = mapper.attrs[counter.key]
        leave_out_of_merge(prop)
        prop.info.setdefault(REGISTRIES, []).append(registry)

    def before_write(mapper: object, connection: Connection, state: InstanceState[Any]) -> None:
        forget_assignments(counters, connection, state)

    for name in ("before_insert", "before_update"):
        event.listen(mapper.class_, name, before_write, propagate=True, raw=True, insert=True)


def _guard(counter: Counter) -> None:
    def on_set(state: InstanceState[Any], value: Any, old: Any, initiator: Any) -> Any:
        return accept_assignment(counter, state, value)

    def on_remove(state: InstanceState[Any], value: Any, initiator: Any) -> None:
        raise refused_assignment(counter)

    def on_first_read(state: InstanceState[Any], value: Any, dict_: Any) -> Any:
        # Not kept in the object, where repositories would take it for a value that was given.
        return counter.empty

    how = {"propagate": True, "raw": True}
    event.listen(counter.target, "set", on_set, retval=True, **how)
    event.listen(counter.target, "remove", on_remove, **how)
    event.listen(counter.target, "init_scalar", on_first_read, retval=True, **how)
