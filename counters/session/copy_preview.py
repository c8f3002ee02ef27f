"""Previews of copies: a loaded row shows the values of the loaded row that it points to.

An object does not know which objects point to it. So the objects of a copied relation are
remembered by what they point to as they are loaded, added and assigned. Whether they still do is
checked when they are looked up. Nothing is remembered without a copied relation.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
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


class CopyPreview:
    """The listeners of one copied relation."""

    def __init__(self, registry: CounterRegistry, relation: CopiedRelation) -> None:
        self.registry = registry
        self.relation = relation

    def listen(self) -> None:
        """Show in the rows of the relation the changes of the rows that they point to."""
        relation, class_ = self.relation, self.relation.holder.class_
        for name in (relation.relationship.key, *relation.foreign_key):
            self._listen_to_pointer(name)
        for event_name in ("load", "refresh"):
            event.listen(class_, event_name, self._on_load, propagate=True, raw=True)
        event.listen(class_, "after_insert", self._on_insert, propagate=True, raw=True)
        for inner in {*relation.chained.values()}:
            self.registry.followers.setdefault(inner, []).append(self.follow)
        for tracker in relation.column_trackers:
            for name in tracker.tracked - set(tracker.foreign_key):
                self._listen_to_source(name)

    def _listen_to_pointer(self, name: str) -> None:
        def on_set(obj: Any, value: Any, *_: Any) -> None:
            with suppress(TypeError, ValueError, CounterError):  # for the flush to judge
                self.show(instance_state(obj), {name: value})

        def on_remove(obj: Any, *_: Any) -> None:
            on_set(obj, None)

        attribute = getattr(self.relation.holder.class_, name)
        event.listen(attribute, "set", on_set, propagate=True)
        event.listen(attribute, "remove", on_remove, propagate=True)

    def _on_load(self, state: InstanceState[Any], *_: Any) -> None:
        self._remember(state, self._find_source(state, {})[1])

    def _on_insert(self, mapper: object, connection: object, state: InstanceState[Any]) -> None:
        self._on_load(state)

    def _listen_to_source(self, name: str) -> None:
        def on_set(obj: Any, value: Any, *_: Any) -> None:
            with suppress(TypeError, ValueError, CounterError):
                self.follow(instance_state(obj), {name: value})

        attribute = getattr(self.relation.source.class_, name)
        event.listen(attribute, "set", on_set, propagate=True)

    def follow(self, source: InstanceState[Any], assigned: Mapping[str, Any]) -> None:
        """Show the `assigned` values of an object in all objects that point to it."""
        session_state = get_session_state(self.registry, source.session)
        if session_state is None or self.relation not in session_state.pointing:
            return
        for state in session_state.pointing[self.relation].at(source, self._place(source)):
            if state.session is source.session and self._find_source(state, {})[0] is source:
                self._copy(state, {**self._values(source), **assigned})

    def show(self, state: InstanceState[Any], assigned: dict[str, Any]) -> None:
        """Show in an object the values of the object that it points to once `assigned` is set."""
        source, place = self._find_source(state, assigned)
        self._remember(state, place)
        if source is not None:
            self._copy(state, self._values(source))
        elif place is None and None in assigned.values():
            for counter in self.relation.counters:
                self._set(counter, state, counter.empty)

    def _values(self, source: InstanceState[Any]) -> Mapping[str, Any]:
        """Return the values of an object in memory, and the empty counters of a new one."""
        if source.key is not None:
            return source.dict
        return {inner.key: inner.empty for inner in self.relation.chained.values()} | source.dict

    def _remember(self, state: InstanceState[Any], place: Any) -> None:
        session_state = get_session_state(self.registry, state.session)
        if session_state is not None and place is not None:
            objects = session_state.pointing.setdefault(self.relation, ReferringObjects())
            objects.add(place, state)

    def _find_source(
        self, state: InstanceState[Any], assigned: dict[str, Any]
    ) -> tuple[InstanceState[Any] | None, Any]:
        """Return the loaded object that an object points to, and its place; None if unknown."""
        relation = self.relation
        obj = preview.parent_shown(relation.pointer, state, assigned)
        if obj is not None:
            source = instance_state(obj)
            return source, self._place(source)
        name = relation.relationship.key
        if name in assigned or name in state.committed_state:
            return None, None
        row = {part: assigned.get(part, state.dict.get(part)) for part in relation.foreign_key}
        return None, relation.pointer.named_parent(row)

    def _place(self, source: InstanceState[Any]) -> Any:
        """Return the place to remember the objects that point to an object; nothing is loaded."""
        if source.key is not None:
            return tuple(source.key[1])
        key = tuple(source.dict.get(name) for name in self.relation.names)
        return source if None in key else key

    def _copy(self, state: InstanceState[Any], row: Mapping[str, Any]) -> None:
        for counter in self.relation.counters:
            of: Any = counter.of
            if row.keys() >= counter.names_read:
                value = row[of.key] if counter.counts(row) else None
                self._set(counter, state, counter.empty if value is None else value)

    def _set(self, counter: Counter, state: InstanceState[Any], value: Any) -> None:
        if is_expression(value) or not is_known(state, counter.key):
            return
        for outer, inner in self.registry.chained(counter.parent).items():
            if inner is counter:
                preview.show(self.registry, (outer,), state, {counter.key: value})
        if state.session is None:
            set_committed_value(state.obj(), counter.key, value)
        elif session_state := get_session_state(self.registry, state.session):
            session_state.preview(state, counter.key, value)


def show_added(registry: CounterRegistry, state: InstanceState[Any]) -> None:
    """Show in an object that was added to a session the values of the object that it points to."""
    for relation in registry.all_copied_relations():
        if state.mapper.isa(relation.holder):
            with suppress(TypeError, ValueError, CounterError):
                CopyPreview(registry, relation).show(state, {})
