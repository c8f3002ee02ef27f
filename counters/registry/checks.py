"""A declaration that cannot work is refused before the first row is written.

Each check has a stable id, a sentence and a hint, in the manner of Django's system
checks. All of them look at the mappers alone; none needs a database.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    CHAR,
    Column,
    Date,
    DateTime,
    Float,
    Integer,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    TextClause,
    Time,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import CITEXT
from sqlalchemy.orm import ColumnProperty, InstrumentedAttribute, Mapper, RelationshipProperty
from sqlalchemy.orm.interfaces import MANYTOONE
from sqlalchemy.types import TypeDecorator

from ...errors import CounterDeclarationError
from ..declarations.counter import Additive, Count, Counter, Extreme
from ..declarations.dependent_columns import check_generated
from ..declarations.mapped_rows import own_key
from .mapped_tables import check_mapped_tables
from .relationship_conditions import check_join
from .resolution import all_mappers, passes_on

Finding = tuple[str, str, str]


def check(counters: Sequence[Counter]) -> tuple[list[Counter], list[Finding]]:
    """Return the counters that can be looked at further, and what is wrong with `counters`."""
    findings: list[Finding] = []
    sound = []
    for counter in counters:
        own = list(_findings(counter))
        findings += own
        if not own:
            sound.append(counter)
    return sound, [*findings, *_together(sound), *check_generated(sound)]


def raise_findings(findings: Iterable[Finding]) -> None:
    """Raise one error that names all of `findings`, each once; without any, do nothing.

    :raises CounterDeclarationError: with the id, the sentence and the hint of each.
    """
    distinct = list(dict.fromkeys(findings))
    if distinct:
        first, *more = distinct
        raise CounterDeclarationError(*first, *more)


def column_of(mapper: Mapper[Any], key: str) -> Any:
    """The table's column behind a mapped attribute."""
    return mapper.column_attrs[key].columns[0]


def _findings(counter: Counter) -> Iterator[Finding]:
    yield from _check_via(counter)
    yield from check_mapped_tables(counter)
    yield from check_join(counter)
    yield from _check_copy(counter)
    yield from _check_target(counter)
    yield from _check_of(counter)
    yield from _check_where(counter)


def _check_via(counter: Counter) -> Iterator[Finding]:
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
    if any(_has_spellings(_plain(column.type)) for column in prop.mapper.primary_key):
        yield (
            "counters.E021",
            f"The key of {prop.mapper.class_.__name__} is a CHAR or ignores case, so that one key "
            f"has several spellings.",
            "Use a VARCHAR (String) of the database's own collation.",
        )
    local = [column_of(counter.holder, name) for name in counter.foreign_key]
    if not _is_indexed(local):
        names = ", ".join(column.name for column in local)
        how = "found" if counter.is_copy else "recounted"
        yield (
            "counters.E004",
            f"{counter} is {how} by {local[0].table.name}.{names}, which no index starts with.",
            f"Add index=True to the column, or an Index that starts with {names}.",
        )


def _check_copy(counter: Counter) -> Iterator[Finding]:
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
    """Whether the database takes values of `type_` for the same that Python tells apart."""
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


def _check_target(counter: Counter) -> Iterator[Finding]:
    prop = counter.target.property
    if counter.parent.column_attrs.get(counter.key) is not prop:
        yield (
            "counters.E005",
            f"{counter} is not a column of {counter.parent.class_.__name__}, "
            f"{'where' if counter.is_copy else 'to which'} {counter.via} "
            f"{'starts' if counter.is_copy else 'leads'}.",
            "Let the counter and the relationship name the same class.",
        )
        return
    column = column_of(counter.parent, counter.key)
    if column not in set(counter.parent.local_table.c):
        yield (
            "counters.E016",
            f"{counter} is stored in {column.table}, while {counter.via} leads to rows of "
            f"{counter.parent.local_table}.",
            "Declare the counter on the class that the relationship leads to.",
        )
        return
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
    if (start := _start(column)) is not None and start != counter.empty:
        yield (
            "counters.E026",
            f"{counter} starts at {start} by its server default, before anything counts for it.",
            "Leave the server default at '0', or at NULL for an extreme.",
        )
    version = counter.parent.version_id_col
    if version is not None and (version is column or _changes_in_the_database(version)):
        yield (
            "counters.E009",
            f"{counter.parent.class_.__name__} takes {version.name} for its version_id_col, "
            f"which every change of {counter} would bump.",
            "Use a version column that only the ORM writes.",
        )


def _start(column: Column[Any]) -> Decimal | None:
    """The number that a new row starts with; None where no number is written down."""
    written = getattr(column.server_default, "arg", None)
    match = _NUMBER.fullmatch(str(written)) if isinstance(written, str | TextClause) else None
    return None if match is None else Decimal(match.group(1))


_NUMBER = re.compile(r"[\s('\"]*([+-]?\d+(?:\.\d*)?)[\s)'\"]*(?:::.*)?")


def _changes_in_the_database(version: Any) -> bool:
    """Whether any UPDATE gives the row another version: ``xmin``, or what a trigger sets."""
    return bool(version.system) or version.server_onupdate is not None


def _check_of(counter: Counter) -> Iterator[Finding]:
    if isinstance(counter, Count):
        return
    of: Any = counter.of
    mapped = isinstance(of, InstrumentedAttribute) and isinstance(of.property, ColumnProperty)
    if (
        not mapped
        or counter.source.column_attrs.get(of.key) is not of.property
        or not isinstance(column_of(counter.source, of.key), Column)
    ):
        yield (
            "counters.E010",
            f"{counter} is computed from {of}, which is not a column of "
            f"{counter.source.class_.__name__}, "
            f"{'to which' if counter.is_copy else 'where'} {counter.via} "
            f"{'leads' if counter.is_copy else 'starts'}.",
            "A sum takes a stored column of the class that is counted; for a chain, that is "
            "the counter one step further down.",
        )
        return
    source = _plain(column_of(counter.source, of.key).type)
    target = _plain(column_of(counter.parent, counter.key).type)
    if isinstance(counter, Additive):
        if isinstance(source, Float) or not isinstance(source, Integer | Numeric):
            yield (
                "counters.E011",
                f"{counter} sums {of}, whose sum is not exact, or not a number.",
                "Use Integer or Numeric.",
            )
        elif _scale(target) < _scale(source):
            yield (
                "counters.E011",
                f"{counter} keeps fewer digits than {of}, which it sums.",
                "Give the counter the type of the column, with room for the sum.",
            )
    elif not isinstance(source, Integer | Numeric | Date | DateTime | Time):
        yield (
            "counters.E017",
            f"{counter} compares {of}, which the database may order differently from Python.",
            "Take the extreme of a number or a time.",
        )


def _plain(type_: Any) -> Any:
    return type_.impl_instance if isinstance(type_, TypeDecorator) else type_


def _scale(type_: Any) -> float:
    """The digits after the point; all that are wanted where the type sets no limit."""
    if isinstance(type_, Numeric):
        return float("inf") if type_.scale is None else float(type_.scale)
    return 0.0


def _check_where(counter: Counter) -> Iterator[Finding]:
    hint = "Compare the source's own stored columns with values, by ==, <, in_, is_, and_, or_."
    try:
        predicate = counter.predicate
    except Exception as error:
        yield "counters.E012", f"The where of {counter} cannot be evaluated: {error}.", hint
        return
    if predicate is not None and not predicate.names:
        yield "counters.E012", f"The where of {counter} names no column of the source.", hint


def _together(counters: Sequence[Counter]) -> Iterator[Finding]:
    by_column: dict[Any, Counter] = {}
    for counter in counters:
        column = column_of(counter.parent, counter.key)
        if column in by_column:
            yield (
                "counters.E013",
                f"{counter} is declared twice, via {by_column[column].via} and via {counter.via}.",
                "Give each counter a column of its own.",
            )
        by_column[column] = counter
    for counter in counters:
        inner = _inner(counter, by_column)
        if inner is not None and not counter.is_copy and not passes_on(inner, counter):
            yield (
                "counters.E041",
                f"{counter} is computed from {inner}, and a change of that does not tell what it "
                f"comes to.",
                "Chain a sum to sums and counts, a maximum to maxima, and a minimum to minima.",
            )
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
            inner = _inner(inner, by_column)
        predicate = counter.predicate
        for name in predicate.names if predicate is not None else ():
            if column_of(counter.source, name) in by_column:
                yield (
                    "counters.E015",
                    f"The where of {counter} depends on the counter {name}.",
                    "Let the condition depend on columns that are not counters.",
                )


def _inner(counter: Counter, by_column: dict[Any, Counter]) -> Counter | None:
    """The counter that `counter` is a chain of, if it is one."""
    if counter.of is None:
        return None
    return by_column.get(column_of(counter.source, counter.of.key))


def check_tables(sources: Mapping[Mapper[Any], Iterable[Counter]]) -> Iterator[Finding]:
    """Find other ways to write the rows of `sources`, which no event would tell of.

    A ``secondary``, a ``post_update``, and a second class on one table.
    """
    tracked = {
        column_of(mapper, name)
        for mapper, counters in sources.items()
        for counter in counters
        for name in counter.tracked
    }
    tables = {table for source in sources for table in source.tables}
    for mapper in all_mappers():
        related = any(mapper.isa(source) or source.isa(mapper) for source in sources)
        if not related and tables & set(mapper.tables):
            yield (
                "counters.E018",
                f"{mapper.class_.__name__} is mapped to a table whose rows are counted by another "
                f"class.",
                "Map one class to the table, or let one inherit from the other.",
            )
        for relationship in mapper.relationships:
            if relationship.secondary in tables and not relationship.viewonly:
                yield (
                    "counters.E019",
                    f"{relationship} writes rows of {relationship.secondary} that are counted, "
                    f"and no event tells of them.",
                    "Make the relationship viewonly, and write association objects.",
                )
            if relationship.post_update and tracked & _written_by(relationship):
                yield (
                    "counters.E002",
                    f"{relationship} has post_update and writes a column that is counted by, in an "
                    f"UPDATE that fires no event.",
                    "Take post_update off the relationship, or make it viewonly.",
                )


def _written_by(relationship: RelationshipProperty[Any]) -> set[Any]:
    """The columns that a relationship copies a key to."""
    if relationship.viewonly:
        return set()
    return {foreign for _, foreign in relationship.synchronize_pairs}
