"""Check conditions of a relationship beside its key.

The parent of a row is found by the foreign key alone. A ``primaryjoin`` may have further
conditions, as that of a generic foreign key does: ``and_(foreign(Note.target_id) == Photo.id,
Note.kind == "photo")``. The relationship then has fewer rows than its key, so the counter's
``where`` must repeat the condition.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement
from sqlalchemy.orm import RelationshipProperty
from sqlalchemy.orm.interfaces import MANYTOONE
from sqlalchemy.sql.elements import BinaryExpression, BooleanClauseList, Grouping, True_
from sqlalchemy.sql.operators import and_, eq
from sqlalchemy.sql.visitors import iterate

from ..declarations.counter import Counter


def check_join(counter: Counter) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with the relationship of `counter`: an id, a sentence and a hint."""
    prop = counter.via.property
    if not isinstance(prop, RelationshipProperty) or prop.direction is not MANYTOONE:
        return
    if unmet := _unmet_conditions(counter):
        name = counter.source.class_.__name__
        yield (
            "counters.E039",
            f"{counter.via} says more than that its foreign key equals the key of "
            f"{prop.mapper.class_.__name__}: {' AND '.join(map(str, unmet))}.",
            f"Repeat a condition on columns of {name} in where=, written in the same way; one on "
            f"other columns, or another comparison of the key, cannot be counted.",
        )


def _unmet_conditions(counter: Counter) -> list[ColumnElement[Any]]:
    """Return what the relationship of `counter` demands and neither its key nor `where` does."""
    prop = counter.relationship
    conditions = [] if counter.where is None else list(_parts(counter.where))
    return [
        part
        for part in _parts(prop.primaryjoin)
        if not _is_of_key(prop, part)
        and (
            (not counter.is_copy and _is_about_parent(prop, part))
            or not any(part.compare(condition) for condition in conditions)
        )
    ]


def _parts(condition: Any) -> Iterator[ColumnElement[Any]]:
    """Yield what `condition` joins by AND."""
    if isinstance(condition, Grouping):
        yield from _parts(condition.element)
    elif isinstance(condition, BooleanClauseList) and condition.operator is and_:
        for clause in condition.clauses:
            yield from _parts(clause)
    elif not isinstance(condition, True_):
        yield condition


def _is_of_key(prop: RelationshipProperty[Any], part: Any) -> bool:
    """Return whether `part` says that a column of the foreign key equals its counterpart."""
    return (
        isinstance(part, BinaryExpression)
        and part.operator is eq
        and any({part.left, part.right} == set(pair) for pair in prop.local_remote_pairs or ())
    )


def _is_about_parent(prop: RelationshipProperty[Any], part: ColumnElement[Any]) -> bool:
    """Return whether `part` names a column of the parent, whose class may be the source's too."""
    return any(element in prop.remote_side for element in iterate(part))
