"""Check the relationship of a counter, and the foreign key behind it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import CHAR, ColumnElement, PrimaryKeyConstraint, Table, UniqueConstraint
from sqlalchemy.dialects.postgresql import CITEXT
from sqlalchemy.orm import InstrumentedAttribute, RelationshipProperty
from sqlalchemy.orm.interfaces import MANYTOONE
from sqlalchemy.sql.elements import BinaryExpression, BooleanClauseList, Grouping, True_
from sqlalchemy.sql.operators import and_, eq
from sqlalchemy.sql.visitors import iterate

from ..declarations.counter import Counter
from ..declarations.kinds import Count
from ..declarations.mapped_rows import column_of, own_key
from .column_checks import plain_type
from .findings import Finding


def check_via(counter: Counter) -> Iterator[Finding]:
    prop = counter.via.property
    if not isinstance(prop, RelationshipProperty) or prop.direction is not MANYTOONE:
        yield (
            "counters.E001",
            f"{counter} is declared via {counter.via}, which is not a many-to-one relationship.",
            "Give the relationship from the class that is counted to the class that counts; or "
            "from the class that counts to the one row that it copies.",
        )
        return
    if prop.post_update:
        yield (
            "counters.E002",
            f"{counter.via} has post_update, whose UPDATE fires no event.",
            "Take post_update off the relationship.",
        )
    remote = {remote for _, remote in prop.local_remote_pairs or ()}
    if remote not in (set(prop.mapper.primary_key), set(own_key(prop.mapper))):
        yield (
            "counters.E003",
            f"{counter.via} does not refer to the primary key of {prop.mapper.class_.__name__}.",
            "Let the foreign key refer to the whole primary key.",
        )
        return
    if any(_has_spellings(plain_type(column.type)) for column in prop.mapper.primary_key):
        yield (
            "counters.E021",
            f"The key of {prop.mapper.class_.__name__} is a CHAR or ignores case, so that one key "
            f"has several spellings.",
            "Use a VARCHAR (String) of the database's own collation.",
        )
    local = [column_of(counter.holder, name) for name in counter.foreign_key]
    if not _is_indexed(local):
        names = ", ".join(column.name for column in local)
        verb = "found" if counter.is_copy else "recounted"
        yield (
            "counters.E004",
            f"{counter} is {verb} by {local[0].table.name}.{names}, which no index starts with.",
            f"Add index=True to the column, or an Index that starts with {names}.",
        )


def check_copy(counter: Counter) -> Iterator[Finding]:
    if not counter.is_copy:
        return
    name = counter.source.class_.__name__
    if isinstance(counter, Count):
        yield (
            "counters.E022",
            f"{counter} counts along {counter.via}, which leads to one {name} or none.",
            f"Copy a counter of {name} with Sum(…, of={name}.…); or give the relationship from the "
            f"class that is counted.",
        )
        return
    names = [column_of(counter.holder, name_) for name_ in counter.foreign_key]
    if not set(names) <= set(counter.holder.local_table.c):
        yield (
            "counters.E023",
            f"{counter} and the foreign key of {counter.via} are stored in two tables.",
            "Keep the counter in the table that has the foreign key.",
        )
    of: Any = counter.of
    if (
        isinstance(of, InstrumentedAttribute)
        and counter.source.column_attrs.get(of.key) is of.property
        and column_of(counter.source, of.key) not in set(counter.source.local_table.c)
    ):
        yield (
            "counters.E023",
            f"{counter} copies {of}, which is stored in another table than {name}'s own.",
            "Copy a column of the table that the foreign key refers to.",
        )


def _has_spellings(type_: Any) -> bool:
    """Return whether the database takes values of `type_` for the same that Python tells apart."""
    collation = (getattr(type_, "collation", None) or "").upper()
    return isinstance(type_, CHAR | CITEXT) or collation in ("NOCASE", "RTRIM")


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
    return any(set(indexed) == set(columns) for indexed in leading)


def check_join(counter: Counter) -> Iterator[Finding]:
    """Yield a finding for a relationship with conditions beside its key.

    The parent of a row is found by the foreign key alone. A ``primaryjoin`` may have further
    conditions, as that of a generic foreign key does: ``and_(foreign(Note.target_id) == Photo.id,
    Note.kind == "photo")``. The relationship then has fewer rows than its key, so the counter's
    ``where`` must repeat the condition.
    """
    prop = counter.via.property
    if not isinstance(prop, RelationshipProperty) or prop.direction is not MANYTOONE:
        return
    if counter.via._of_type not in (None, prop.mapper):
        yield (
            "counters.E039",
            f"{counter.via}.of_type(…) leads to a subclass or an alias, and the foreign key of "
            f"{counter.via} to any {prop.mapper.class_.__name__}.",
            f"Give {counter.via} itself; or, for a counter of a subclass, a relationship to it.",
        )
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
    added = counter.via._extra_criteria  # by its and_()
    return [
        part
        for condition in (prop.primaryjoin, *added)
        for part in _parts(condition)
        if not _is_of_key(prop, part)
        and (
            (not counter.is_copy and _is_about_parent(prop, part))
            or not any(part.compare(repeated) for repeated in conditions)
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
