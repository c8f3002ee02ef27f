"""Previews of copies: a loaded row shows the values of the loaded row that it points to.

An object does not know which objects point to it. So the objects of a copied relation are
remembered by what they point to as they are loaded, added and assigned. Whether they still do is
checked when they are looked up. Nothing is remembered without a copied relation.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import InstanceState
from sqlalchemy.orm.attributes import instance_state, set_committed_value

from ...errors import CounterError
from ..declarations.copied_relation import CopiedRelation
from ..declarations.counter import Counter
from ..declarations.object_state import is_expression, is_known
from ..registry.counter_registry import CounterRegistry
from . import preview
from .referring_objects import ReferringObjects
from .state import get_session_state


def listen(registry: CounterRegistry, relation: CopiedRelation) -> None:
    """Show in the rows of `relation` the changes of the rows that they point to."""
    class_ = relation.holder.class_

    def on_pointer(name: str) -> None:
        def on_set(obj: Any, value: Any, *_: Any) -> None:
            with suppress(TypeError, ValueError, CounterError):  # for the flush to judge
                _show(registry, relation, instance_state(obj), {name: value})

        def on_remove(obj: Any, *_: Any) -> None:
            on_set(obj, None)

        event.listen(getattr(class_, name), "set", on_set, propagate=True)
        event.listen(getattr(class_, name), "remove", on_remove, propagate=True)

    for name in (relation.relationship.key, *relation.foreign_key):
        on_pointer(name)

    def known(state: InstanceState[Any], *_: Any) -> None:
        _remember(registry, relation, state, _referenced(relation, state, {}))

    event.listen(class_, "load", known, propagate=True, raw=True)
    event.listen(class_, "refresh", known, propagate=True, raw=True)

    def inserted(mapper: object, connection: object, state: InstanceState[Any]) -> None:
        known(state)

    event.listen(class_, "after_insert", inserted, propagate=True, raw=True)
    for inner in {*relation.chained.values()}:
        registry.followers.setdefault(inner, []).append(partial(follow, registry, relation))
    for tracker in relation.column_trackers:
        for name in tracker.tracked - set(tracker.foreign_key):
            _listen_to_source(registry, relation, name)


def _listen_to_source(registry: CounterRegistry, relation: CopiedRelation, name: str) -> None:
    def on_set(obj: Any, value: Any, *_: Any) -> None:
        with suppress(TypeError, ValueError, CounterError):
            follow(registry, relation, instance_state(obj), {name: value})

    event.listen(getattr(relation.pointed.class_, name), "set", on_set, propagate=True)


def show_added(registry: CounterRegistry, state: InstanceState[Any]) -> None:
    """Show in an object that was added to a session the values of the object that it points to."""
    for relation in registry.all_copied_relations():
        if state.mapper.isa(relation.holder):
            with suppress(TypeError, ValueError, CounterError):
                _show(registry, relation, state, {})


def follow(
    registry: CounterRegistry,
    relation: CopiedRelation,
    pointed: InstanceState[Any],
    assigned: Mapping[str, Any],
) -> None:
    """Show the `assigned` values of an object in all objects that point to it."""
    session = pointed.session
    session_state = None if session is None else get_session_state(registry, session)
    if session_state is None or relation not in session_state.pointing:
        return
    for state in session_state.pointing[relation].at(pointed, _place(relation, pointed)):
        if state.session is session and _referenced(relation, state, {})[0] is pointed:
            _copy(registry, relation, state, {**_values_of(relation, pointed), **assigned})


def _show(
    registry: CounterRegistry,
    relation: CopiedRelation,
    state: InstanceState[Any],
    assigned: dict[str, Any],
) -> None:
    """Show in an object the values of the object that it points to once `assigned` is set."""
    pointed, place = _referenced(relation, state, assigned)
    _remember(registry, relation, state, (pointed, place))
    if pointed is not None:
        _copy(registry, relation, state, _values_of(relation, pointed))
    elif place is None and None in assigned.values():
        for counter in relation.counters:
            _put(registry, counter, state, counter.empty)


def _values_of(relation: CopiedRelation, pointed: InstanceState[Any]) -> Mapping[str, Any]:
    """Return what memory holds of an object, and the empty counters of a new one."""
    if pointed.key is not None:
        return pointed.dict
    return {inner.key: inner.empty for inner in relation.chained.values()} | pointed.dict


def _remember(
    registry: CounterRegistry, relation: CopiedRelation, state: InstanceState[Any], at: Any
) -> None:
    place = at[1]
    session = state.session
    session_state = (
        None if session is None or place is None else get_session_state(registry, session)
    )
    if session_state is not None:
        session_state.pointing.setdefault(relation, ReferringObjects()).add(place, state)


def _referenced(
    relation: CopiedRelation, state: InstanceState[Any], assigned: dict[str, Any]
) -> tuple[InstanceState[Any] | None, Any]:
    """Return the loaded object that an object points to, and its place; None if unknown."""
    obj = preview.parent_shown(relation.pointer, state, assigned)
    if obj is not None:
        pointed = instance_state(obj)
        return pointed, _place(relation, pointed)
    name = relation.relationship.key
    if name in assigned or name in state.committed_state:
        return None, None
    row = {part: assigned.get(part, state.dict.get(part)) for part in relation.foreign_key}
    return None, relation.pointer.named_parent(row)


def _place(relation: CopiedRelation, pointed: InstanceState[Any]) -> Any:
    """Return the place to remember the objects that point to an object; nothing is loaded."""
    if pointed.key is not None:
        return tuple(pointed.key[1])
    key = tuple(pointed.dict.get(name) for name in relation.names)
    return pointed if None in key else key


def _copy(
    registry: CounterRegistry,
    relation: CopiedRelation,
    state: InstanceState[Any],
    row: Mapping[str, Any],
) -> None:
    for counter in relation.counters:
        of: Any = counter.of
        names = () if counter.predicate is None else counter.predicate.names
        if row.keys() >= {of.key, *names}:
            value = row[of.key] if counter.counts(row) else None
            _put(registry, counter, state, counter.empty if value is None else value)


def _put(
    registry: CounterRegistry, counter: Counter, state: InstanceState[Any], value: Any
) -> None:
    if is_expression(value) or not is_known(state, counter.key):
        return
    for outer, inner in registry.chained(counter.parent).items():
        if inner is counter:
            preview.show(registry, (outer,), state, {counter.key: value})
    if state.session is None:
        set_committed_value(state.obj(), counter.key, value)
    elif session_state := get_session_state(registry, state.session):
        session_state.preview(state, counter.key, value)
