"""A class mapped to a join or a SELECT is refused: its tables can be written without it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Column, ForeignKey, Integer, Table, join, select
from sqlalchemy.orm import DeclarativeBase, Session, column_property, relationship
from support.pairs import counter, key, reference

from tallied.counters import Count, Counters
from tallied.errors import CounterDeclarationError


def classes(form: str) -> tuple[Any, Any, Any]:
    """Return classes of which the middle one is mapped to two tables, in the given form."""

    class Base(DeclarativeBase):
        pass

    Parent: Any = type("Parent", (Base,), {"__tablename__": "parent", "id": key(), "n": counter()})
    head = Table(
        "head",
        Base.metadata,
        Column("id", Integer, primary_key=True),
        Column("parent_id", ForeignKey("parent.id"), index=True),
        Column("n", Integer, nullable=False, server_default="0"),
    )
    tail = Table("tail", Base.metadata, Column("id", ForeignKey("head.id"), primary_key=True))
    both: Any = join(head, tail)
    one: Any = column_property(head.c.id, tail.c.id)
    if form == "select":
        both = select(head).join(tail).subquery("both")
        one = both.c.id
    middle: dict[str, Any] = {"__table__": both, "id": one, "parent": relationship(Parent)}
    if form == "select":
        middle["__mapper_args__"] = {"primary_key": [both.c.id]}
        middle["parent"] = relationship(
            Parent, primaryjoin=both.c.parent_id == Parent.id, foreign_keys=both.c.parent_id
        )
    Middle: Any = type("Middle", (Base,), middle)
    source: dict[str, Any] = {
        "__tablename__": "source",
        "id": key(),
        "middle_id": reference("head.id"),
    }
    Source: Any = type("Source", (Base,), source)
    Source.middle = relationship(
        Middle, primaryjoin=Source.middle_id == Middle.id, foreign_keys=Source.middle_id
    )
    return Parent, Middle, Source


@pytest.mark.parametrize("form", ["join", "select"])
@pytest.mark.parametrize("side", ["source", "parent"])
def test_class_mapped_to_no_table_is_refused(form: str, side: str) -> None:
    Parent, Middle, Source = classes(form)

    class Own(Session):
        pass

    declared = (
        Count(Parent.n, via=Middle.parent)
        if side == "source"
        else Count(Middle.n, via=Source.middle)
    )
    why = (
        r"^\(counters\.E035\) Middle, which \w+\.n needs, is mapped to a join, a SELECT or a union"
    )
    with pytest.raises(CounterDeclarationError, match=why):
        Counters(declared).install(Own)
