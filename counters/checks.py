"""A declaration that cannot work is refused before the first row is written.

Each check has a stable id, a sentence and a hint, in the manner of Django's system
checks. All of them look at the mappers alone; none needs a database.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Float, PrimaryKeyConstraint, Table, UniqueConstraint
from sqlalchemy.exc import ArgumentError, InvalidRequestError
from sqlalchemy.orm import ColumnProperty, InstrumentedAttribute, Mapper, RelationshipProperty
from sqlalchemy.orm.evaluator import UnevaluatableError
from sqlalchemy.orm.interfaces import MANYTOONE
from sqlalchemy.types import TypeDecorator

from ..errors import CounterDeclarationError
from .declare import Additive, Count, Counter, Extreme

Finding = tuple[str, str, str]


def check(counters: Sequence[Counter]) -> None:
    """Raise for the first thing that is wrong with `counters`.

    :raises CounterDeclarationError: with the id of the check, what is wrong, and a hint.
    """
    for counter in counters:
        for finding in _findings(counter):
            raise CounterDeclarationError(*finding)
    for finding in _together(counters):
        raise CounterDeclarationError(*finding)


def column_of(mapper: Mapper[Any], key: str) -> Any:
    """The table's column behind a mapped attribute."""
    return mapper.column_attrs[key].columns[0]


def _findings(counter: Counter) -> Iterator[Finding]:
    yield from _check_via(counter)
    yield from _check_target(counter)
    yield from _check_of(counter)
    yield from _check_where(counter)


def _check_via(counter: Counter) -> Iterator[Finding]:
    prop = counter.via.property
    if not isinstance(prop, RelationshipProperty) or prop.direction is not MANYTOONE:
        yield (
            "counters.E001",
            f"{counter} is declared via {counter.via}, which is not a many-to-one relationship.",
            "Give the relationship from the class that is counted to the class that counts.",
        )
        return
    if prop.post_update:
        yield (
            "counters.E002",
            f"{counter.via} has post_update, whose UPDATE fires no event.",
            "Take post_update off the relationship.",
        )
    remote = {remote for _, remote in prop.local_remote_pairs or ()}
    if remote != set(prop.mapper.primary_key):
        yield (
            "counters.E003",
            f"{counter.via} does not refer to the primary key of {prop.mapper.class_.__name__}.",
            "Let the foreign key refer to the whole primary key.",
        )
        return
    local = [column_of(counter.source, name) for name in counter.foreign_key]
    if not _is_indexed(local):
        names = ", ".join(column.name for column in local)
        yield (
            "counters.E004",
            f"{counter} is recounted by {local[0].table.name}.{names}, which no index starts with.",
            f"Add index=True to the column, or an Index that starts with {names}.",
        )


def _is_indexed(columns: list[Any]) -> bool:
    table = columns[0].table
    if not isinstance(table, Table):
        return True
    leading = [list(index.columns)[: len(columns)] for index in table.indexes]
    leading += [
        list(constraint.columns)[: len(columns)]
        for constraint in table.constraints
        if isinstance(constraint, PrimaryKeyConstraint | UniqueConstraint)
    ]
    return any(set(found) == set(columns) for found in leading)


def _check_target(counter: Counter) -> Iterator[Finding]:
    prop = counter.target.property
    if counter.parent.column_attrs.get(counter.key) is not prop:
        yield (
            "counters.E005",
            f"{counter} is not a column of {counter.parent.class_.__name__}, "
            f"to which {counter.via} leads.",
            "Let the counter and the relationship name the same class.",
        )
        return
    column = column_of(counter.parent, counter.key)
    if isinstance(counter, Additive) and column.nullable:
        yield (
            "counters.E006",
            f"{counter} is nullable, and NULL plus a difference stays NULL.",
            "Declare it nullable=False (Mapped[int]) with server_default='0'.",
        )
    if isinstance(counter, Additive) and column.server_default is None:
        yield (
            "counters.E007",
            f"{counter} has no server default, so a row that SQL inserts would have no count.",
            "Add server_default='0'.",
        )
    if isinstance(counter, Extreme) and not column.nullable:
        yield (
            "counters.E008",
            f"{counter} is not nullable, but a parent without sources has none.",
            "Declare it nullable (Mapped[… | None]).",
        )
    version = counter.parent.version_id_col
    if version is not None and (version is column or version.system):
        yield (
            "counters.E009",
            f"{counter.parent.class_.__name__} takes {version.name} for its version_id_col, "
            f"which every change of {counter} would bump.",
            "Use a version column that only the ORM writes.",
        )


def _check_of(counter: Counter) -> Iterator[Finding]:
    if isinstance(counter, Count):
        return
    of: Any = counter.of
    mapped = isinstance(of, InstrumentedAttribute) and isinstance(of.property, ColumnProperty)
    if not mapped or counter.source.column_attrs.get(of.key) is not of.property:
        yield (
            "counters.E010",
            f"{counter} is computed from {of}, which is not a column of "
            f"{counter.source.class_.__name__}, where {counter.via} starts.",
            "A sum takes a stored column of the class that is counted; for a chain, that is "
            "the counter one step further down.",
        )
        return
    type_ = column_of(counter.source, of.key).type
    inner = type_.impl_instance if isinstance(type_, TypeDecorator) else type_
    if isinstance(counter, Additive) and isinstance(inner, Float):
        yield (
            "counters.E011",
            f"{counter} sums {of}, a floating-point column, whose sum depends on the order.",
            "Use Integer or Numeric.",
        )


def _check_where(counter: Counter) -> Iterator[Finding]:
    hint = "Compare the source's own stored columns with values, by ==, <, in_, is_, and_, or_."
    try:
        predicate = counter.predicate
    except (UnevaluatableError, InvalidRequestError, ArgumentError, KeyError) as error:
        yield "counters.E012", f"The where of {counter} cannot be evaluated: {error}.", hint
        return
    except Exception as error:
        yield "counters.E012", f"The where of {counter} cannot be evaluated: {error}.", hint
        return
    if predicate is not None and not predicate.names:
        yield "counters.E012", f"The where of {counter} names no column of the source.", hint


def _together(counters: Sequence[Counter]) -> Iterator[Finding]:
    seen: dict[Any, Counter] = {}
    for counter in counters:
        column = column_of(counter.parent, counter.key)
        if column in seen:
            yield (
                "counters.E013",
                f"{counter} is declared twice, via {seen[column].via} and via {counter.via}.",
                "Give each counter a column of its own.",
            )
        seen[column] = counter
    for counter in counters:
        inner = _inner(counter, seen)
        path = [counter]
        while inner is not None:
            if inner in path:
                yield (
                    "counters.E014",
                    f"{counter} is, through {inner}, computed from itself.",
                    "A chain must end at rows that are counted.",
                )
                return
            path.append(inner)
            inner = _inner(inner, seen)
        predicate = counter.predicate
        for name in predicate.names if predicate is not None else ():
            if column_of(counter.source, name) in seen:
                yield (
                    "counters.E015",
                    f"The where of {counter} depends on the counter {name}.",
                    "Let the condition depend on columns that are not counters.",
                )


def _inner(counter: Counter, seen: dict[Any, Counter]) -> Counter | None:
    """The counter that `counter` is a chain of, if it is one."""
    if counter.of is None:
        return None
    return seen.get(column_of(counter.source, counter.of.key))
