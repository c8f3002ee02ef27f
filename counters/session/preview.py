"""Previews: attribute listeners that show a change in memory before any SQL.

They refresh loaded objects and never load any: under asyncio a listener that loads would fail, and
the flush decides what is written anyway. The new value of a counter is set as if it had been
loaded, so the ORM never writes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import InstanceState, Mapper
from sqlalchemy.orm.attributes import instance_state, set_committed_value
from sqlalchemy.orm.base import NO_VALUE

from ...errors import CounterError
from ..declarations.counter import REGISTRIES, Counter
from ..declarations.derivation import DERIVED
from ..declarations.object_state import is_expression, is_known
from ..registry.counter_registry import CounterRegistry
from ..registry.source import Groups, by_relationship
from .state import get_session_state

UNKNOWN = object()
"""Stands for a value that is known at the flush only."""
NOTHING = object()
"""Stands for the value of what does not count."""
NOT_COUNTABLE = (TypeError, ValueError, ArithmeticError, CounterError)
"""The errors of values that cannot be added, compared, or be a key; the flush reports them."""


def listen(registry: CounterRegistry, source: Mapper[Any], counters: Iterable[Counter]) -> None:
    """Show changes of `source` in its parents' `counters` at once."""
    by_name: dict[str, list[Counter]] = {}
    for counter in counters:
        for name in (*counter.tracked, counter.relationship.key):
            by_name.setdefault(name, []).append(counter)
    for name, affected in by_name.items():
        _listen_to(registry, getattr(source.class_, name), name, affected)


def _listen_to(
    registry: CounterRegistry, attribute: Any, name: str, counters: list[Counter]
) -> None:
    relationships = frozenset(counter.relationship.key for counter in counters)
    groups = by_relationship(counters)
    by_object = name in relationships

    def on_set(
        state: InstanceState[Any], value: Any, old: Any, initiator: Any, key: Any = None
    ) -> Any:
        if (
            not by_object
            and (state.session_id is None or _has_nothing_loaded(state))
            and relationships.isdisjoint(state.dict)
        ):
            return value  # It names its parent by a key, of which there is no object.
        for group in groups:
            show(registry, group, state, {name: value})
        return value

    def on_remove(state: InstanceState[Any], value: Any, initiator: Any, **_: Any) -> None:
        on_set(state, None, value, initiator)

    # With all three options SQLAlchemy calls a listener as it is; else it puts one around it.
    as_is = {"raw": True, "retval": True, "include_key": True}
    event.listen(attribute, "set", on_set, propagate=True, **as_is)
    event.listen(attribute, "remove", on_remove, propagate=True, **as_is)
    derived = None if by_object else attribute.property.columns[0].info.get(DERIVED)
    if derived is not None and derived.target.class_ is attribute.class_:
        derived.previews.append(on_set)


def _has_nothing_loaded(state: InstanceState[Any]) -> bool:
    """Return whether an object is in a session in which nothing is loaded."""
    session = state.session
    return session is not None and not session.identity_map


def show_added(registry: CounterRegistry, groups: Groups, state: InstanceState[Any]) -> None:
    """Show an object that was added to a session and names its parent by key alone.

    Before, there was no session to find the parent in.
    """
    loaded = state.dict
    for counters in groups:
        if counters[0].relationship.key in loaded:
            continue
        try:
            parent = parent_shown(counters[0], state, {})
        except NOT_COUNTABLE:
            continue
        for counter in counters if parent is not None else ():
            with suppress(*NOT_COUNTABLE):
                value = _contribution(counter, state, {})
                if value is not UNKNOWN and value is not NOTHING:
                    _adjust(registry, counter, state, parent, None, value)


def show(
    registry: CounterRegistry,
    counters: Sequence[Counter],
    state: InstanceState[Any],
    assigned: dict[str, Any],
) -> None:
    """Show in its parents what the object of `state` becomes when `assigned` is set.

    :param counters: some that share a relationship.
    """
    if state._deleted:
        return  # A flush has deleted its row already, and will write nothing of it.
    try:
        old = parent_shown(counters[0], state, {})
        new = parent_shown(counters[0], state, assigned)
    except NOT_COUNTABLE:
        return
    for counter in counters if old is not None or new is not None else ():
        with suppress(*NOT_COUNTABLE):
            _show_one(registry, counter, state, assigned, old, new)


def _show_one(
    registry: CounterRegistry,
    counter: Counter,
    state: InstanceState[Any],
    assigned: dict[str, Any],
    old: Any,
    new: Any,
) -> None:
    leaving = NOTHING if old is None else _contribution(counter, state, {})
    coming = NOTHING if new is None else _contribution(counter, state, assigned)
    if leaving is UNKNOWN or coming is UNKNOWN:
        return
    if old is new and leaving is not NOTHING and coming is not NOTHING:
        if leaving != coming:
            _adjust(registry, counter, state, old, leaving, coming)
        return
    if leaving is not NOTHING:
        _adjust(registry, counter, state, old, leaving, None)
    if coming is not NOTHING:
        _adjust(registry, counter, state, new, None, coming)


def _contribution(counter: Counter, state: InstanceState[Any], assigned: dict[str, Any]) -> Any:
    """Return what the object of `state` contributes to its parent.

    :data:`NOTHING` where it does not; :data:`UNKNOWN` where only the database knows.
    """
    row = counter.values_of(state) | assigned
    if any(is_expression(row[name]) for name in counter.tracked):
        return UNKNOWN
    return counter.value(row) if counter.counts(row) else NOTHING


def parent_shown(counter: Counter, state: InstanceState[Any], assigned: dict[str, Any]) -> Any:
    """Return the parent that the next flush will see: a changed relationship overrides the key."""
    name = counter.relationship.key
    if name in assigned:
        return assigned[name]
    memory = state.dict
    parent = memory.get(name)
    if name in state.committed_state:
        return parent
    key = [
        assigned[part] if part in assigned else memory.get(part, NO_VALUE)
        for part in counter.foreign_key
    ]
    if NO_VALUE in key:
        return parent
    session = state.session
    if None in key or session is None:
        return None
    return session.identity_map.get(counter.parent.identity_key_from_primary_key(tuple(key)))


def _adjust(
    registry: CounterRegistry,
    counter: Counter,
    source: InstanceState[Any],
    parent: Any,
    old: Any,
    new: Any,
) -> None:
    state = instance_state(parent)
    if not is_known(state, counter.key):
        return
    present = state.dict.get(counter.key)
    value = counter.preview(counter.empty if present is None else present, old, new)
    for outer, inner in registry.chained(counter.parent).items():
        if inner is counter:
            show(registry, (outer,), state, {counter.key: value})
    if state.session is None:
        if counter.target.property.info[REGISTRIES][0] is registry:  # the others would add it again
            set_committed_value(parent, counter.key, value)
        return
    session_state = get_session_state(registry, state.session)
    if session_state is not None:
        session_state.preview(state, counter.key, value)
        for follow in registry.followers.get(counter, ()):
            follow(state, {counter.key: value})
        if source.session is None:
            session_state.force_next_flush(state.session)
