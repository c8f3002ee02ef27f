"""An office with a hierarchy of classes for its staff, loaded in one of several ways."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from sqlalchemy import ForeignKey, Integer, String
from sqlalchemy.orm import DeclarativeBase, mapped_column, relationship

from .pairs import counter, key, reference

LOADING: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "separate": ({}, {}),
    "with_polymorphic": ({"with_polymorphic": "*"}, {}),
    "inline": ({}, {"polymorphic_load": "inline"}),
}
"""By name, the ``__mapper_args__`` of the base class and of each subclass."""


def staff(loading: str, *, clerk: bool = True, **office: Any) -> SimpleNamespace:
    """Return the classes Office and Employee, Engineer and Pilot, each a table below the other.

    A Clerk is an Employee too, in the table of Employee. An Office keeps `number` and `pay`, and is
    itself the base of a Depot, which has a table of its own.

    :param clerk: whether there is a Clerk.
    :param office: options of the relationship from Employee to Office.
    """
    base_options, sub_options = LOADING[loading]

    class Base(DeclarativeBase):
        pass

    def declare(name: str, parents: tuple[type[Any], ...], **attributes: Any) -> Any:
        return type(name, parents, attributes)

    def root(**identity: Any) -> dict[str, Any]:
        return {"polymorphic_on": "kind", **identity, **base_options}

    Office = declare(
        "Office",
        (Base,),
        __tablename__="office",
        id=key(),
        kind=mapped_column(String),
        number=counter("number"),
        pay=counter("pay"),
        most=mapped_column(Integer),
        __mapper_args__=root(polymorphic_identity="office"),
    )
    Depot = declare(
        "Depot",
        (Office,),
        __tablename__="depot",
        id=mapped_column(ForeignKey("office.id", ondelete="CASCADE"), primary_key=True),
        places=mapped_column(Integer, default=7),
        __mapper_args__={"polymorphic_identity": "depot", **sub_options},
    )
    Employee = declare(
        "Employee",
        (Base,),
        __tablename__="employee",
        id=key(),
        kind=mapped_column(String),
        pay=mapped_column(Integer, default=2),
        office_id=reference("office.id", ondelete="CASCADE"),
        club_id=reference("club.id", ondelete="SET NULL"),
        office=relationship("Office", **office),
        club=relationship("Club"),
        __mapper_args__=root(polymorphic_identity="employee"),
    )
    Engineer = declare(
        "Engineer",
        (Employee,),
        __tablename__="engineer",
        id=mapped_column(ForeignKey("employee.id", ondelete="CASCADE"), primary_key=True),
        patents=mapped_column(Integer, default=3),
        __mapper_args__={"polymorphic_identity": "engineer", **sub_options},
    )
    Pilot = declare(
        "Pilot",
        (Engineer,),
        __tablename__="pilot",
        id=mapped_column(ForeignKey("engineer.id", ondelete="CASCADE"), primary_key=True),
        hours=mapped_column(Integer, default=40),
        __mapper_args__={"polymorphic_identity": "pilot", **sub_options},
    )
    Club = declare("Club", (Base,), __tablename__="club", id=key(), number=counter("number"))
    classes = [Office, Depot, Employee, Engineer, Pilot, Club]
    if clerk:
        identity = {"polymorphic_identity": "clerk", **sub_options}
        classes.append(declare("Clerk", (Employee,), __mapper_args__=identity))
    return SimpleNamespace(**{class_.__name__: class_ for class_ in classes})
