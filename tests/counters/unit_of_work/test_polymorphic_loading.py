"""Classes loaded with their subclasses' tables are counted like all others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, delete, select, update
from sqlalchemy.orm import Session
from support.pairs import assert_verified, install, new_counters
from support.staff import LOADING, staff

from tallied.counters import Count, Max, Sum
from tallied.errors import UncountedStatementError

Step = Callable[[SimpleNamespace], Any]


WAYS = [
    pytest.param(loading, marks=pytest.mark.exhaustive if loading == "inline" else ())
    for loading in LOADING
]


@cache
def declare(loading: str, **office: Any) -> SimpleNamespace:
    """Return the classes of a staff, their counters, and the session class of these."""
    classes = staff(loading, **office)
    Office, Employee, Club = classes.Office, classes.Employee, classes.Club
    counters, Own = new_counters(
        Count(Office.number, via=Employee.office),
        Sum(Office.pay, of=Employee.pay, via=Employee.office),
        Max(Office.most, of=Employee.pay, via=Employee.office),
        Count(Club.number, via=Employee.club),
    )
    return SimpleNamespace(counters=counters, Own=Own, **vars(classes))


@pytest.fixture(params=WAYS)
def office(request: pytest.FixtureRequest, engine: Engine) -> Iterator[SimpleNamespace]:
    """An office with an employee of each class, with pays of 4 to 7, in a club; committed."""
    yield from filled(engine, declare(request.param))


def filled(engine: Engine, classes: SimpleNamespace) -> Iterator[SimpleNamespace]:
    classes.Office.metadata.create_all(engine)
    with classes.Own(engine) as session:
        first, second, club = classes.Depot(), classes.Office(), classes.Club()
        kinds = (classes.Employee, classes.Clerk, classes.Engineer, classes.Pilot)
        people = [kind(office=first, club=club, pay=pay) for pay, kind in enumerate(kinds, 4)]
        session.add_all([second, *people])
        session.commit()
        yield SimpleNamespace(
            session=session, first=first, second=second, club=club, people=people, **vars(classes)
        )
        assert_verified(session, classes.counters)


def shown(office: SimpleNamespace) -> tuple[Any, ...]:
    """Return the number of employees of the first office, their pay, and the greatest pay."""
    assert_verified(office.session, office.counters)
    return (office.first.number, office.first.pay, office.first.most)


def execute(office: SimpleNamespace, statement: Any, *parameters: Any) -> None:
    office.session.execute(statement, *parameters)


STATEMENTS: dict[str, tuple[Step, tuple[Any, ...]]] = {
    "update all": (lambda o: execute(o, update(o.Employee).values(pay=9)), (4, 36, 9)),
    "update some": (
        lambda o: execute(o, update(o.Employee).where(o.Employee.pay > 5).values(pay=3)),
        (4, 15, 5),
    ),
    "update returning": (
        lambda o: o.session.execute(
            update(o.Employee).values(pay=o.Employee.pay + 1).returning(o.Employee.id)
        ).all(),
        (4, 26, 8),
    ),
    "update by keys": (
        lambda o: execute(o, update(o.Employee), [{"id": p.id, "pay": 8} for p in o.people[:3]]),
        (4, 31, 8),
    ),
    "legacy update": (lambda o: o.session.query(o.Employee).update({"pay": 2}), (4, 8, 2)),
    "move": (
        lambda o: execute(
            o, update(o.Employee).where(o.Employee.pay < 6).values(office_id=o.second.id)
        ),
        (2, 13, 7),
    ),
    "delete": (
        lambda o: execute(o, delete(o.Employee).where(o.Employee.pay.in_([4, 7]))),
        (2, 11, 6),
    ),
    "legacy delete": (
        lambda o: o.session.query(o.Employee).filter(o.Employee.pay == 4).delete(),
        (3, 18, 7),
    ),
    "by the table": (
        lambda o: execute(o, update(o.Employee.__table__).values(pay=6)),
        (4, 24, 6),
    ),
}

EDITS: dict[str, tuple[Step, tuple[Any, ...]]] = {
    "edit": (lambda o: [setattr(p, "pay", 11) for p in o.people], (4, 44, 11)),
    "move": (lambda o: [setattr(p, "office", o.second) for p in o.people[1:3]], (2, 11, 7)),
    "delete": (lambda o: [o.session.delete(p) for p in o.people[2:]], (2, 9, 5)),
    "lock and edit": (
        lambda o: [
            setattr(o.counters.lock(o.session, o.Employee, p.id), "pay", 12) for p in o.people[1:]
        ],
        (4, 40, 12),
    ),
    "lock and delete": (
        lambda o: o.session.delete(
            o.counters.lock(o.session, o.Employee, o.people[3].id, deleting=True)
        ),
        (3, 15, 6),
    ),
}


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", STATEMENTS)
def test_statement_on_polymorphic_base_is_counted(office: SimpleNamespace, name: str) -> None:
    step, expected = STATEMENTS[name]
    step(office)
    assert shown(office) == expected


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", EDITS)
def test_edit_of_polymorphic_object_is_counted(office: SimpleNamespace, name: str) -> None:
    step, expected = EDITS[name]
    step(office)
    assert shown(office) == expected


@pytest.mark.parametrize("by_statement", [True, False])
def test_delete_of_polymorphic_parent_counts_its_cascade(
    office: SimpleNamespace, by_statement: bool
) -> None:
    third = office.Depot()
    office.session.add(third)
    office.people[0].office = office.people[1].office = third
    office.session.flush()
    assert office.club.number == 4
    if by_statement:
        office.session.execute(delete(office.Office).where(office.Office.id == third.id))
    else:
        office.session.delete(third)
    assert_verified(office.session, office.counters)
    assert (office.first.pay, office.club.number) == (13, 2)


def test_statement_that_assigns_a_polymorphic_counter_is_refused(office: SimpleNamespace) -> None:
    for statement in (update(office.Office), update(office.Office.__table__)):
        with pytest.raises(UncountedStatementError, match=r"would assign Office\.pay"):
            office.session.execute(statement.values(pay=99))
    assert shown(office) == (4, 22, 7)


def test_paused_polymorphic_classes_are_repaired(office: SimpleNamespace) -> None:
    with office.counters.pause(office.session):
        office.session.execute(update(office.Employee).values(pay=3))
        office.people[3].office = office.second
    assert shown(office) == (3, 9, 3)
    assert (office.second.number, office.second.pay) == (1, 3)


@pytest.mark.parametrize("backend", ["postgresql"])
@pytest.mark.parametrize("form", ["cte", "from_statement"])
def test_polymorphic_update_within_another_is_refused(office: SimpleNamespace, form: str) -> None:
    Employee = office.Employee
    changed = update(Employee).values(pay=5).returning(Employee.id)
    with pytest.raises(UncountedStatementError, match="UPDATE of employee within another"):
        if form == "cte":
            office.session.execute(select(changed.cte("changed").c.id))
        else:
            office.session.scalars(select(Employee).from_statement(changed))
    assert shown(office) == (4, 22, 7)


@pytest.mark.parametrize("verb", ["update", "delete"])
def test_statement_on_polymorphic_subclass_is_refused(office: SimpleNamespace, verb: str) -> None:
    for class_ in (office.Engineer, office.Pilot, office.Clerk):
        statement = delete(class_) if verb == "delete" else update(class_).values(pay=5)
        with pytest.raises(UncountedStatementError, match="one table of several"):
            office.session.execute(statement)
    assert shown(office) == (4, 22, 7)


@pytest.mark.parametrize("loading", WAYS)
def test_subclass_that_is_counted_is_locked_in_all_its_tables(engine: Engine, loading: str) -> None:
    classes = staff(loading, clerk=False)
    Office, Engineer = classes.Office, classes.Engineer
    counters, Own = install(
        engine,
        Count(Office.number, via=Engineer.office),
        Sum(Office.pay, of=Engineer.patents, via=Engineer.office, where=Engineer.pay > 3),
    )
    with Own(engine) as session:
        office = classes.Depot()
        rows = [
            classes.Employee(office=office, pay=4),
            Engineer(office=office, pay=4, patents=5),
            classes.Pilot(office=office, pay=6, patents=8),
            classes.Pilot(office=office, pay=2, patents=9),
        ]
        session.add_all(rows)
        session.commit()
        assert (office.number, office.pay) == (3, 13)
        rows[1].patents = 6
        rows[3].pay = 7
        assert_verified(session, counters)
        assert (office.number, office.pay) == (3, 23)
        locked = counters.lock(session, classes.Employee, rows[2].id)
        locked.patents = 2
        assert_verified(session, counters)
        assert (office.number, office.pay) == (3, 17)
        session.delete(rows[3])
        assert_verified(session, counters)
        assert (office.number, office.pay) == (2, 8)


@pytest.mark.parametrize("innerjoin", [True, False])
def test_lock_does_not_lock_joined_rows(engine: Engine, innerjoin: bool) -> None:
    """``lazy="joined"`` loads the office too, by an outer join or an inner join."""
    offices = filled(engine, declare("inline", lazy="joined", innerjoin=innerjoin))
    office = next(offices)
    office.session.expire_all()
    locked = office.counters.lock(office.session, office.Employee, office.people[2].id)
    with Session(engine) as other:
        free = select(office.Office.id).where(office.Office.id == office.first.id)
        if engine.dialect.name == "postgresql":
            result = other.scalars(free.with_for_update(of=office.Office.__table__, nowait=True))
            assert result.all() == [office.first.id]
    locked.pay = 16
    assert shown(office) == (4, 32, 16)
    assert next(offices, None) is None
