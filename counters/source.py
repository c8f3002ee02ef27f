"""A class whose rows are counted, and what one of its rows contributes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, time
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, Date, DateTime, Float, Integer, Numeric, String, Time, Uuid
from sqlalchemy import Enum as EnumType
from sqlalchemy.orm import InstanceState, Mapper
from sqlalchemy.types import TypeDecorator, TypeEngine

from .declare import Counter, Key


class Source:
    """A class whose rows are counted, and the counters that they count for."""

    def __init__(self, mapper: Mapper[Any], counters: Iterable[Counter]) -> None:
        self.mapper = mapper
        self.counters = tuple(counters)
        self.names = tuple(sorted(frozenset().union(*(c.tracked for c in self.counters))))
        self.relationships = tuple({c.relationship.key: None for c in self.counters})
        self._types = {name: mapper.column_attrs[name].columns[0].type for name in self.names}

    def changed(self, state: InstanceState[Any]) -> set[str]:
        """The tracked attributes of `state` that the flush writes."""
        return {name for name in self.names if state.attrs[name].history.has_changes()}

    def is_touched(self, state: InstanceState[Any]) -> bool:
        """Whether the flush may change what the row of `state` counts for."""
        return any(
            state.attrs[name].history.has_changes() for name in self.names + self.relationships
        )

    def known(self, state: InstanceState[Any], names: Iterable[str]) -> dict[str, Any] | None:
        """What the row holds in `names`, as it was just written.

        None where memory does not know it to the last digit: the database computed it,
        or may have rounded it.
        """
        values = {}
        for name in names:
            if name not in state.dict or not is_exact(self._types[name], state.dict[name]):
                return None
            values[name] = state.dict[name]
        return values


def is_exact(type_: TypeEngine[Any], value: Any) -> bool:
    """Whether a column of `type_` holds `value` just as memory does."""
    if value is None:
        return True
    if isinstance(type_, TypeDecorator):
        return not isinstance(type_.impl_instance, Numeric | Float) and is_exact_kind(value)
    if isinstance(type_, Float):
        return False
    if isinstance(type_, Numeric):
        return _fits(value, type_.scale)
    if isinstance(type_, DateTime | Time) and getattr(type_, "precision", None) is not None:
        return False
    kinds: Any = _KINDS.get(next((each for each in _KINDS if isinstance(type_, each)), Integer))
    return isinstance(value, kinds)


def is_exact_kind(value: Any) -> bool:
    """Whether `value` is of a kind that databases do not round."""
    return isinstance(value, int | str | UUID | date | time | Enum)


_KINDS: dict[type[TypeEngine[Any]], Any] = {
    EnumType: (str, Enum),
    Boolean: bool,
    Integer: int,
    Uuid: UUID,
    String: str,
    DateTime: date,
    Date: date,
    Time: time,
}


def _fits(value: Any, scale: int | None) -> bool:
    if isinstance(value, int):
        return True
    if not isinstance(value, Decimal) or not value.is_finite():
        return False
    exponent = value.as_tuple().exponent
    return scale is None or (isinstance(exponent, int) and -exponent <= scale)


def identity(state: InstanceState[Any]) -> Key:
    """The key of a stored object, as its row has it."""
    assert state.key is not None
    return tuple(state.key[1])


def key_of(mapper: Mapper[Any], state: InstanceState[Any]) -> Key:
    """The key that memory holds for an object, stored or not."""
    return tuple(mapper.primary_key_from_instance(state.obj()))
