"""Copies are fresh in memory too: what a loaded row shows of the loaded row that it points to.

Who points to an object is not to be seen from it. So the rows of a link are remembered by
what they point to, as they are loaded, added and assigned; whether they still do is asked
when it matters. Nothing is remembered where no link is declared.
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
from ..declarations.copied_relation import Link
from ..declarations.counter import Counter
from ..declarations.object_state import is_expression, is_known
from ..registry.counter_registry import CounterRegistry
from . import preview
from .pointing_objects import PointingObjects
from .state import get_session_state


def listen(registry: CounterRegistry, link: Link) -> None:
    """Show in the rows of `link` what happens to what they point to, and where they point."""
    class_ = link.holder.class_

    def on_pointer(name: str) -> None:
        def on_set(obj: Any, value: Any, *_: Any) -> None:
            with suppress(TypeError, ValueError, CounterError):  # for the flush to judge
                _show(registry, link, instance_state(obj), {name: value})

        def on_remove(obj: Any, *_: Any) -> None:
            on_set(obj, None)

        event.listen(getattr(class_, name), "set", on_set, propagate=True)
        event.listen(getattr(class_, name), "remove", on_remove, propagate=True)

    for name in (link.relationship.key, *link.foreign_key):
        on_pointer(name)

    def known(state: InstanceState[Any], *_: Any) -> None:
        _remember(registry, link, state, _pointed(link, state, {}))

    event.listen(class_, "load", known, propagate=True, raw=True)
    event.listen(class_, "refresh", known, propagate=True, raw=True)

    def inserted(mapper: object, connection: object, state: InstanceState[Any]) -> None:
        known(state)

    event.listen(class_, "after_insert", inserted, propagate=True, raw=True)
    for inner in {*link.chained.values()}:
        registry.followers.setdefault(inner, []).append(partial(follow, registry, link))
    for watch in link.watches:
        for name in watch.tracked - set(watch.foreign_key):
            _listen_to_source(registry, link, name)


def _listen_to_source(registry: CounterRegistry, link: Link, name: str) -> None:
    def on_set(obj: Any, value: Any, *_: Any) -> None:
        with suppress(TypeError, ValueError, CounterError):
            follow(registry, link, instance_state(obj), {name: value})

    event.listen(getattr(link.pointed.class_, name), "set", on_set, propagate=True)


def show_added(registry: CounterRegistry, state: InstanceState[Any]) -> None:
    """Show in an object that was added to a session what it points to there."""
    for link in registry.all_links():
        if state.mapper.isa(link.holder):
            with suppress(TypeError, ValueError, CounterError):
                _show(registry, link, state, {})


def follow(
    registry: CounterRegistry, link: Link, pointed: InstanceState[Any], assigned: Mapping[str, Any]
) -> None:
    """Show in all that point to it that `pointed` has come to hold what is `assigned`."""
    session = pointed.session
    session_state = None if session is None else get_session_state(registry, session)
    if session_state is None or link not in session_state.pointing:
        return
    for state in session_state.pointing[link].at(pointed, _place(link, pointed)):
        if state.session is session and _pointed(link, state, {})[0] is pointed:
            _copy(registry, link, state, {**_image(link, pointed), **assigned})


def _show(
    registry: CounterRegistry, link: Link, state: InstanceState[Any], assigned: dict[str, Any]
) -> None:
    """Show what an object points to, or will when what is `assigned` has been set."""
    pointed, place = _pointed(link, state, assigned)
    _remember(registry, link, state, (pointed, place))
    if pointed is not None:
        _copy(registry, link, state, _image(link, pointed))
    elif place is None and None in assigned.values():
        for counter in link.counters:
            _put(registry, counter, state, counter.empty)


def _image(link: Link, pointed: InstanceState[Any]) -> Mapping[str, Any]:
    """Return what memory holds of an object, and the empty counters of a new one."""
    if pointed.key is not None:
        return pointed.dict
    return {inner.key: inner.empty for inner in link.chained.values()} | pointed.dict


def _remember(registry: CounterRegistry, link: Link, state: InstanceState[Any], at: Any) -> None:
    place = at[1]
    session = state.session
    session_state = (
        None if session is None or place is None else get_session_state(registry, session)
    )
    if session_state is not None:
        session_state.pointing.setdefault(link, PointingObjects()).add(place, state)


def _pointed(
    link: Link, state: InstanceState[Any], assigned: dict[str, Any]
) -> tuple[InstanceState[Any] | None, Any]:
    """The loaded object that an object points to, and where to remember that; None for neither."""
    obj = preview.parent_shown(link.pointer, state, assigned)
    if obj is not None:
        pointed = instance_state(obj)
        return pointed, _place(link, pointed)
    name = link.relationship.key
    if name in assigned or name in state.committed_state:
        return None, None
    image = {part: assigned.get(part, state.dict.get(part)) for part in link.foreign_key}
    return None, link.pointer.named_parent(image)


def _place(link: Link, pointed: InstanceState[Any]) -> Any:
    """Where to remember who points to an object; nothing is loaded for that."""
    if pointed.key is not None:
        return tuple(pointed.key[1])
    key = tuple(pointed.dict.get(name) for name in link.names)
    return pointed if None in key else key


def _copy(
    registry: CounterRegistry, link: Link, state: InstanceState[Any], image: Mapping[str, Any]
) -> None:
    for counter in link.counters:
        of: Any = counter.of
        names = () if counter.predicate is None else counter.predicate.names
        if image.keys() >= {of.key, *names}:
            value = image[of.key] if counter.counts(image) else None
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
