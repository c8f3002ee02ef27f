"""Fresh in memory: attribute listeners that show a change before any SQL.

They only refresh what is loaded, and never load: under asyncio a listener that loads
would fail, and the flush decides what is written anyway. The new value of a counter
is set as if it had been loaded, so the ORM never writes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy import ClauseElement, event
from sqlalchemy.orm import InstanceState, Mapper
from sqlalchemy.orm.attributes import instance_state, set_committed_value
from sqlalchemy.orm.base import NO_VALUE

from ..errors import CounterError
from .declare import Counter
from .guard import ENGINES

if TYPE_CHECKING:
    from .engine import Counters

UNKNOWN = object()
"""Stands for a parent that only the flush will tell."""


def listen(engine: Counters, source: Mapper[Any], counters: Iterable[Counter]) -> None:
    """Show what happens to `source` in its parents' `counters`, at once."""
    by_name: dict[str, list[Counter]] = {}
    for counter in counters:
        for name in (*counter.tracked, counter.relationship.key):
            by_name.setdefault(name, []).append(counter)
    for name, affected in by_name.items():
        _listen_to(engine, getattr(source.class_, name), name, affected)


def _listen_to(engine: Counters, attribute: Any, name: str, counters: list[Counter]) -> None:
    relationships = {counter.relationship.key for counter in counters}

    def on_set(obj: Any, value: Any, old: Any, initiator: Any) -> None:
        state = instance_state(obj)
        unseen = state.session is None and name not in relationships
        if unseen and relationships.isdisjoint(state.dict):
            return  # still being made: it names its parent by key, and nobody can look
        for counter in counters:
            # A value of a kind that cannot be added or compared is for the flush to judge.
            with suppress(TypeError, ValueError, ArithmeticError, CounterError):
                show(engine, counter, state, {name: value})

    def on_remove(obj: Any, value: Any, initiator: Any) -> None:
        on_set(obj, None, value, initiator)

    event.listen(attribute, "set", on_set, propagate=True)
    event.listen(attribute, "remove", on_remove, propagate=True)


def show_added(engine: Counters, counters: Iterable[Counter], state: InstanceState[Any]) -> None:
    """Show an object that was added to a session and names its parent by key alone.

    Before, there was no session to find the parent in.
    """
    for counter in counters:
        if counter.relationship.key not in state.dict:
            with suppress(TypeError, ValueError, ArithmeticError, CounterError):
                _show_all(engine, counter, state)


def _show_all(engine: Counters, counter: Counter, state: InstanceState[Any]) -> None:
    parent, value = _contribution(counter, state, {})
    if parent is not None and parent is not UNKNOWN:
        _adjust(engine, counter, state, parent, None, value)


def show(
    engine: Counters, counter: Counter, state: InstanceState[Any], assigned: dict[str, Any]
) -> None:
    """Show what comes of it for `counter` that an object is `assigned` new values."""
    old, old_value = _contribution(counter, state, {})
    new, new_value = _contribution(counter, state, assigned)
    if old is UNKNOWN or new is UNKNOWN:
        return
    if old is new:
        if old is not None and old_value != new_value:
            _adjust(engine, counter, state, old, old_value, new_value)
        return
    if old is not None:
        _adjust(engine, counter, state, old, old_value, None)
    if new is not None:
        _adjust(engine, counter, state, new, None, new_value)


def _contribution(
    counter: Counter, state: InstanceState[Any], assigned: dict[str, Any]
) -> tuple[Any, Any]:
    """The parent in memory that the object of `state` counts for, and by how much.

    Neither where there is no such parent; :data:`UNKNOWN` where only the database knows.
    """
    parent = parent_shown(counter, state, assigned)
    if parent is None:
        return None, None
    image = counter.image_of(state) | assigned
    if any(is_expression(image[name]) for name in counter.tracked):
        return UNKNOWN, None
    return (parent, counter.value(image)) if counter.counts(image) else (None, None)


def is_expression(value: Any) -> bool:
    """Whether only the database knows what `value` comes to."""
    return isinstance(value, ClauseElement) or hasattr(value, "__clause_element__")


def parent_shown(counter: Counter, state: InstanceState[Any], assigned: dict[str, Any]) -> Any:
    """The parent as the next flush will see it: a changed relationship beats the key."""
    name = counter.relationship.key
    if name in assigned:
        return assigned[name]
    loaded = state.dict.get(name)
    if name in state.committed_state:
        return loaded
    key = tuple(
        assigned[part] if part in assigned else state.dict.get(part, NO_VALUE)
        for part in counter.foreign_key
    )
    if NO_VALUE in key:
        return loaded
    if None in key or state.session is None:
        return None
    identity = counter.parent.identity_key_from_primary_key(key)
    return state.session.identity_map.get(identity)


def _adjust(
    engine: Counters,
    counter: Counter,
    source: InstanceState[Any],
    parent: Any,
    old: Any,
    new: Any,
) -> None:
    state = instance_state(parent)
    if counter.key not in state.dict and state.key is not None:
        return
    shown = state.dict.get(counter.key)
    value = counter.preview(counter.empty if shown is None else shown, old, new)
    for outer, inner in engine.chained(counter.parent).items():
        if inner is counter:
            show(engine, outer, state, {counter.key: value})
    if state.session is None:
        if counter.target.property.info[ENGINES][0] is engine:  # the others would add it again
            set_committed_value(parent, counter.key, value)
        return
    ledger = engine.ledger(state.session)
    if ledger is not None:
        ledger.preview(state, counter.key, value)
        for follow in engine.followers.get(counter, ()):
            follow(state, {counter.key: value})
        if source.session is None:
            ledger.insist_on_flush(state.session)
