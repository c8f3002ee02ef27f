"""The listeners that keep an object's derived columns: on attributes, and once more at the flush.

Setting the source computes the target. Both are then written, even if neither has changed since it
was loaded: another transaction may have changed them meanwhile, and a row must never hold the text
of one writer and the number of another. Nothing is ever loaded, which would fail under asyncio.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from sqlalchemy import BindParameter, ColumnDefault, event
from sqlalchemy.orm import InstanceState
from sqlalchemy.orm.attributes import (
    OP_REPLACE,
    AttributeEventToken,
    flag_modified,
    set_attribute,
)
from sqlalchemy.orm.base import NO_VALUE

from ...errors import CounterAssignmentError, UncountedStatementError
from .computation import Computation
from .merge import leave_out_of_merge
from .object_state import is_expression, takes_over_row
from .special_values import are_same

DERIVED = "tallied.counters.derived"
"""The key in a column's ``info`` for the declaration that it is derived by."""

SOURCE = "tallied.counters.derives"
"""The key in a column's ``info`` for a declaration by which another column is derived from it."""

IMMUTABLE = (str, bytes, int, type(None))
"""Types whose values are not computed from again at the flush: they cannot change in place."""


def listen(derived: Computation) -> None:
    """Keep a derived column of the objects of its class, and of classes that inherit from it."""
    listeners = _Listeners(derived)
    # With all three options SQLAlchemy calls a listener as it is; else it puts one around it.
    as_is: Any = {"raw": True, "retval": True, "include_key": True, "propagate": True}
    event.listen(derived.of, "set", listeners.source_set, **as_is)
    event.listen(derived.target, "set", listeners.target_set, **as_is)
    class_ = derived.target.class_
    at_flush: Any = {"raw": True, "retval": True, "propagate": True}
    event.listen(class_, "before_insert", listeners.before_insert, **at_flush)
    event.listen(class_, "before_update", listeners.before_update, **at_flush)
    leave_out_of_merge(derived.target.property)
    derived.column.info[DERIVED] = derived
    derived.source_column.info[SOURCE] = derived
    derived.column.default = default = ColumnDefault(_default_of(derived))
    default.column = derived.column


class _Listeners:
    """The listeners of one derived column."""

    def __init__(self, derived: Computation) -> None:
        self.derived = derived
        self.source = derived.of.key
        self.target = derived.target.key
        # By name, since an object's info is pickled with it.
        self.note = f"{DERIVED}.{self.target}"
        self.claim = f"{DERIVED}.{self.target}.claim"

    @cached_property
    def token(self) -> AttributeEventToken:
        """The initiator that marks computed values, as opposed to assigned ones."""
        return AttributeEventToken(self.derived.target.impl, OP_REPLACE)

    def source_set(
        self, state: InstanceState[Any], value: Any, old: object, initiator: object, key: Any = None
    ) -> Any:
        """Compute the target from the value that the source is about to have."""
        if is_expression(value):
            raise CounterAssignmentError(
                f"{self.derived.source_name} cannot be set to an SQL expression, since "
                f"{self.derived} is computed from it in Python: assign the value itself."
            )
        self._derive(state, value)
        return value

    def target_set(
        self, state: InstanceState[Any], value: Any, old: object, initiator: object, key: Any = None
    ) -> Any:
        """Refuse an assignment of another value than the computed one.

        :returns: the value that the attribute is to have.
        """
        if initiator is self.token:
            return value
        values = state.dict
        is_new = state.key is None
        if is_expression(value):
            raise self._refusal()
        if self.source not in values:
            if is_new and value:
                state.info[self.claim] = value  # until the source is set: the order is free
                return None
            if is_new or (self.target in values and are_same(values[self.target], value)):
                return value
            raise CounterAssignmentError(
                f"{self.derived} is computed from {self.derived.source_name}, which is not loaded, "
                f"so nothing can be compared with it: leave it out, or load the object first."
            )
        if is_new and not value:  # a default, as dataclasses and forms pass it
            return self._expected_value(state)
        if self.target in values and are_same(values[self.target], value):
            return value
        if not are_same(value, self._expected_value(state)):
            raise self._refusal()
        self._derive(state, values[self.source])
        return value

    def before_insert(self, mapper: Any, connection: object, state: InstanceState[Any]) -> None:
        """Compute the target of a new row, where that has not been done."""
        memory, note = state.dict, state.info.pop(self.note, None)
        value = memory.get(self.source, NO_VALUE)
        if note is not None and _is_noted(note, value, memory.get(self.target, NO_VALUE)):
            return
        if value is NO_VALUE:
            value = self._source_default(state)
            if takes_over_row(mapper, state):
                # The INSERT becomes an UPDATE, which would leave the old row's source as it is.
                set_attribute(state.obj(), self.source, value)
        self._derive(state, value)
        state.info.pop(self.note, None)

    def before_update(self, mapper: Any, connection: object, state: InstanceState[Any]) -> None:
        """See to it that the target is written with its source, and never without."""
        changed = state.committed_state
        if self.source in changed:
            value = state.dict.get(self.source)
            if self.target not in changed or not self._is_derived_of(state, value):
                self._derive(state, value)
            state.info.pop(self.note, None)
        elif self.target in changed:
            loaded = changed.pop(self.target)
            if loaded is not NO_VALUE:
                state.dict[self.target] = loaded
            elif state.session is not None:
                state.session.expire(state.obj(), [self.target])

    def _derive(self, state: InstanceState[Any], value: Any) -> None:
        result = self.derived.computed(value)
        notes = state.info
        if self.claim in notes and not are_same(notes.pop(self.claim), result):
            raise self._refusal()
        if state.key is not None:
            obj = state.obj()
            for name in (self.source, self.target):
                if name in state.dict:
                    flag_modified(obj, name)
        memory, impl = state.dict, state.manager[self.target].impl
        previews = self.derived.previews
        if state.key is None and len(impl.dispatch.set) == 1 + len(previews):
            # As below, where nobody but this listener and previews looks at what is set.
            for show in previews:
                show(state, result, NO_VALUE, self.token)
            state.committed_state.setdefault(self.target, memory.get(self.target, NO_VALUE))
            memory[self.target] = result
        else:
            impl.set(state, memory, result, self.token)
        notes[self.note] = (value, result)

    def _is_derived_of(self, state: InstanceState[Any], value: Any) -> bool:
        """Return whether the target in memory is known to have been computed from `value`."""
        note, result = state.info.get(self.note), state.dict.get(self.target, NO_VALUE)
        return note is not None and _is_noted(note, value, result)

    def _expected_value(self, state: InstanceState[Any]) -> Any:
        value = state.dict[self.source]
        if self._is_derived_of(state, value):
            return state.dict[self.target]
        return self.derived.computed(value)

    def _source_default(self, state: InstanceState[Any]) -> Any:
        """Return what the INSERT will make of a source that was never set."""
        value = getattr(state.obj(), self.source)  # a dataclass's default, or None
        if value is not None:
            return value
        value, is_known = self.derived.default()
        if not is_known:
            raise UncountedStatementError(
                f"{self.derived.source_name} is not set and has a default that is made in the "
                f"INSERT, so {self.derived} cannot be computed from it: set it."
            )
        return value

    def _refusal(self) -> CounterAssignmentError:
        return CounterAssignmentError(
            f"{self.derived} is computed from {self.derived.source_name} and cannot be set to "
            f"another value: leave it out, and set {self.derived.source_name}."
        )


def _is_noted(note: tuple[Any, Any], value: Any, result: Any) -> bool:
    """Return whether a result was computed from a value, which is the same since then."""
    return note[0] is value and note[1] is result and isinstance(value, IMMUTABLE)


def _default_of(derived: Computation) -> Callable[[Any], Any]:
    """Return the target's default, for an INSERT that leaves it out, on any connection.

    As SQLAlchemy's documentation has it ("Context-Sensitive Default Functions"), but for
    ``get_current_parameters()``, which fails for ``insert(Class).values([…])`` in 2.1.
    """
    name = derived.source_column.key

    def default(context: Any) -> Any:
        parameters, column = context.current_parameters, context.current_column
        number = column.index + 1 if getattr(column, "_is_multiparam_column", False) else 0
        names = [f"{name}_m{number}", *([] if number else [name])]
        values = context.compiled.compile_state._dict_parameters or {}
        named = [value for key, value in values.items() if getattr(key, "key", key) == name]
        names += [value.key for value in named if isinstance(value, BindParameter)]
        for spelling in names:
            if spelling in parameters:
                return derived.computed(parameters[spelling])
        value, is_known = derived.default()
        if named or not is_known:
            raise UncountedStatementError(
                f"INSERT of {derived.mapper.class_.__name__} gives {derived.source_name} no value "
                f"that Python knows, so {derived} cannot be computed from it: give the value."
            )
        return derived.computed(value)

    return default
