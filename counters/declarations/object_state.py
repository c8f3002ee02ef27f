"""The state of one object: its key, and whether memory has its stored values."""

from __future__ import annotations

from datetime import datetime
from types import NoneType
from typing import Any
from uuid import UUID

from sqlalchemy.orm import InstanceState, Mapper
from sqlalchemy.orm.base import NO_VALUE
from sqlalchemy.sql.elements import ClauseElement

from .mapped_rows import Key, key_names

_VALUES = frozenset({bool, datetime, int, NoneType, str, UUID})
"""Types that most values have, and no expression."""


def identity(state: InstanceState[Any]) -> Key:
    """Return the key of a stored object, as its row has it."""
    assert state.key is not None
    return tuple(state.key[1])


def key_of(mapper: Mapper[Any], state: InstanceState[Any]) -> Key:
    """Return the key that memory holds for an object, stored or not."""
    memory = state.dict
    try:
        return tuple([memory[name] for name in key_names(mapper)])
    except KeyError:  # It has to be asked of the object.
        return tuple(mapper.primary_key_from_instance(state.obj()))


def takes_over_row(mapper: Mapper[Any], state: InstanceState[Any]) -> bool:
    """Return whether an INSERT becomes an UPDATE: the row with its key is deleted by the flush.

    The unit of work of SQLAlchemy calls that a "row switch".
    """
    session = state.session
    if session is None or not session.identity_map:
        return False
    key = key_of(mapper, state)
    if None in key:
        return False
    existing = session.identity_map.get(mapper.identity_key_from_primary_key(key))
    return existing is not None and existing is not state.obj()


def is_known(state: InstanceState[Any], key: str) -> bool:
    """Return whether memory shows the stored value of the attribute `key`, or that of a new object.

    False where it is not loaded, and where a value was assigned before it was loaded.
    """
    if state.key is None:
        return True
    return key in state.dict and state.committed_state.get(key) is not NO_VALUE


def is_expression(value: Any) -> bool:
    """Return whether only the database knows what `value` comes to."""
    if type(value) in _VALUES:
        return False
    return isinstance(value, ClauseElement) or hasattr(value, "__clause_element__")
