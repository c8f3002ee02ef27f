"""What is refused: assignments to counters, and writes that fire no event."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from inspect import signature
from typing import TYPE_CHECKING, Any

from sqlalchemy import event, inspect
from sqlalchemy.orm import ColumnProperty, Mapper, Session
from sqlalchemy.orm.attributes import instance_state, set_committed_value

from ..errors import CounterAssignmentError
from .declare import Counter

if TYPE_CHECKING:
    from .engine import Counters


ENGINES = "tallied.counters"
"""Where a counter's property keeps the engines that it was declared to, in its ``info``."""


class _CounterProperty(ColumnProperty[Any]):
    """A mapped column that ``Session.merge`` does not copy.

    A detached parent carries its counters as they were when it was loaded; merging it
    is no assignment to them, and there is no event that tells the two apart.
    """

    __slots__ = ()
    inherit_cache = True

    def merge(
        self,
        session: Session,
        source_state: Any,
        source_dict: Any,
        dest_state: Any,
        dest_dict: Any,
        load: bool,
        *args: Any,
    ) -> None:
        """Leave the counter of the destination as it is; a new one starts empty."""
        if not load and self.key in source_dict:
            dest_dict[self.key] = source_dict[self.key]
        elif dest_state.key is None and self.key not in dest_dict:
            dest_dict[self.key] = None if self.columns[0].nullable else 0


def protect(engine: Counters, mapper: Mapper[Any], counters: tuple[Counter, ...]) -> None:
    """Refuse assignments to `counters`, and let a new object start with them empty."""

    def on_init(obj: Any, args: Any, kwargs: Any) -> None:
        for counter in counters:
            set_committed_value(obj, counter.key, counter.empty)

    event.listen(mapper.class_, "init", on_init, propagate=True)
    for counter in counters:
        _refuse_assignment(counter)
        prop = mapper.attrs[counter.key]
        if type(prop) is ColumnProperty:
            prop.__class__ = _CounterProperty
        prop.info.setdefault(ENGINES, []).append(engine)


def _refuse_assignment(counter: Counter) -> None:
    def on_set(obj: Any, value: Any, old: Any, initiator: Any) -> None:
        raise CounterAssignmentError(
            f"{counter} is kept by its counter and cannot be assigned: add, change or delete "
            f"{counter.source.class_.__name__} objects, or repair it with rebuild()."
        )

    event.listen(counter.target, "set", on_set, propagate=True)


def refuse_legacy_bulk(engine: Counters, session_class: type[Session]) -> None:
    """Refuse the legacy bulk methods of `session_class` for classes that are counted.

    They write rows and fire no event, so their only hook is their name.
    """

    def guarded(name: str, mappers_of: Callable[[Any], Iterable[Mapper[Any]]]) -> None:
        original = getattr(session_class, name)

        @wraps(original)
        def method(self: Session, *args: Any, **kwargs: Any) -> Any:
            bound = signature(original).bind(self, *args, **kwargs)
            first = list(bound.arguments)[1]
            argument = bound.arguments[first]
            if not isinstance(argument, type | Mapper):
                argument = bound.arguments[first] = list(argument)
            for mapper in mappers_of(argument):
                engine.refuse(mapper, f"Session.{name}() of {mapper.class_.__name__}")
            return original(*bound.args, **bound.kwargs)

        setattr(session_class, name, method)

    guarded("bulk_save_objects", lambda objects: {instance_state(o).mapper for o in objects})
    guarded("bulk_insert_mappings", lambda class_: [inspect(class_)])
    guarded("bulk_update_mappings", lambda class_: [inspect(class_)])
