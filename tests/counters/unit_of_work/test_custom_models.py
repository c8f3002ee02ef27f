"""Counters of custom models: keys, chains, conditions, trees, inheritance."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.orm import Session
from support.shop import (
    Album,
    Clerk,
    Course,
    Customer,
    Enrolment,
    File,
    Folder,
    Order,
    Page,
    Region,
    Shop,
    ShopSession,
    Site,
    Student,
    Track,
    assert_exact,
)
from support.statements import recorded

DAY = date(2026, 3, 1)


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    Shop.metadata.create_all(engine)
    with ShopSession(engine) as session:
        yield session


def order(customer: Any, amount: str, **values: Any) -> Order:
    values = {"items": 3, "day": DAY, "state": "open"} | values
    return Order(customer=customer, amount=Decimal(amount), **values)


@pytest.fixture
def customers(session: Session) -> list[Customer]:
    """Three customers in two regions, with orders by two clerks, all stored."""
    north, south = Region(code="north"), Region(code="south")
    ann, bob = Clerk(name="Ann"), Clerk(name="Bob")
    customers_ = [
        Customer(shop=1, number=7, region=north),
        Customer(shop=1, number=8, region=north),
        Customer(shop=2, number=7, region=south),
    ]
    session.add_all([north, south, ann, bob, *customers_])
    for number, customer in enumerate(customers_):
        for step in range(4):
            session.add(
                order(
                    customer,
                    f"{10 * number + step + 2}.{step}5",
                    clerk=(ann, bob, None)[step % 3],
                    state=("open", "paid", "void")[(number + step) % 3],
                    day=DAY + timedelta(days=10 * number + step),
                    items=None if step == 3 else step + 2,
                )
            )
    session.flush()
    return customers_


def orders_of(session: Session, customer: Customer) -> list[Order]:
    query = select(Order).where(Order.customer == customer).order_by(Order.id)
    return list(session.scalars(query))


def test_new_rows_are_inserted_with_exact_counters(
    session: Session, customers: list[Customer]
) -> None:
    assert_exact(session)
    assert customers[0].total > 0
    assert customers[0].region.orders == 8


def test_composite_keys_move_edit_and_delete(session: Session, customers: list[Customer]) -> None:
    first, second, third, _ = orders_of(session, customers[0])
    first.customer = customers[1]
    second.customer_shop, second.customer_number = 2, 7
    third.amount = Decimal("99.99")
    assert_exact(session)
    session.delete(third)
    assert_exact(session)


def test_row_that_starts_or_stops_to_match_is_counted(
    session: Session, customers: list[Customer]
) -> None:
    for place, edited in enumerate(orders_of(session, customers[0])):
        before = customers[0].total
        edited.state = "void" if edited.state != "void" else "paid"
        assert customers[0].total == before + (
            edited.amount if edited.state == "paid" else -edited.amount
        )
        if place % 2:
            assert_exact(session)
    assert_exact(session)


def test_parent_may_be_missing(session: Session, customers: list[Customer]) -> None:
    for placed in orders_of(session, customers[1]):
        placed.clerk = None if placed.clerk is not None else session.scalars(select(Clerk)).first()
    assert_exact(session)
    session.add(order(customers[1], "5.05", clerk=None))
    assert_exact(session)


def test_chain_follows_both_of_its_relationships(
    session: Session, customers: list[Customer]
) -> None:
    north, south = customers[0].region, customers[2].region
    before = north.orders, south.orders
    session.add(order(customers[0], "7.77"))
    assert (north.orders, south.orders) == (before[0] + 1, before[1])
    session.flush()
    assert (north.orders, south.orders) == (before[0] + 1, before[1])
    customers[0].region = south
    assert (north.orders, south.orders) == (4, before[1] + 5)
    assert_exact(session)
    session.add(order(customers[0], "3.33", day=DAY + timedelta(days=99)))
    customers[0].region = None
    assert_exact(session)
    session.delete(orders_of(session, customers[1])[0])
    customers[1].region = south
    assert_exact(session)


def test_extreme_of_a_chain_is_recounted_when_removed(
    session: Session, customers: list[Customer]
) -> None:
    session.delete(orders_of(session, customers[1])[3])
    assert_exact(session)
    for customer in orders_of(session, customers[1]):
        session.delete(customer)
    assert_exact(session)
    assert customers[1].last_day is None
    assert customers[1].region.last_day == customers[0].last_day


def test_decimals_are_summed_without_rounding(
    session: Session, backend: str, customers: list[Customer]
) -> None:
    session.add_all(order(customers[2], "0.10") for _ in range(30))
    if backend == "postgresql":  # rounds to the column's two digits; SQLite keeps them all
        session.add(order(customers[2], "0.125"))
    assert_exact(session)


def test_tree_counts_its_children(session: Session) -> None:
    site, other = Site(), Site()
    root = Page(words=5, site=site)
    leaves = [Page(words=n, parent=root, site=site) for n in (2, 7, 9)]
    session.add_all([root, *leaves, other])
    session.flush()
    twigs = [Page(words=n, parent=leaves[0], site=other) for n in (3, 4)]
    session.add_all(twigs)
    assert_exact(session)
    assert (root.children, leaves[0].children, root.longest_child) == (3, 2, 9)
    twigs[0].parent = root
    leaves[2].words = 1
    assert_exact(session)
    leaves[1].parent = twigs[1]
    leaves[1].site = other
    assert_exact(session)


def test_deleted_branch_is_subtracted_from_other_parents(session: Session, engine: Engine) -> None:
    site, other = Site(), Site()
    root, second = Page(words=5, site=site), Page(words=6, site=other)
    branches = [Page(words=n, parent=root, site=(site, other)[n % 2]) for n in range(3, 8)]
    twigs = [Page(words=9, parent=branch, site=other) for branch in branches for _ in range(2)]
    session.add_all([root, second, *branches, *twigs])
    session.flush()
    session.delete(branches[0])
    assert_exact(session)
    assert root.children == 4
    session.execute(delete(Page).where(Page.id == branches[1].id))
    assert_exact(session)
    session.expire_all()
    session.delete(session.get_one(Page, root.id))
    assert_exact(session)
    assert session.scalars(select(Page.words)).all() == [6]


def test_association_counts_on_both_sides(session: Session) -> None:
    students = [Student() for _ in range(3)]
    courses = [Course() for _ in range(3)]
    session.add_all([*students, *courses])
    session.add_all(
        Enrolment(student=s, course=c, points=5 + place)
        for place, s in enumerate(students)
        for c in courses[place:]
    )
    assert_exact(session)
    links = session.scalars(select(Enrolment)).all()
    links[0].points = 30
    session.delete(links[1])
    assert_exact(session)
    session.delete(students[0])
    assert_exact(session)
    session.execute(delete(Course).where(Course.id == courses[2].id))
    assert_exact(session)


def test_inheritance_counts_what_each_class_declares(session: Session) -> None:
    folder, album = Folder(), Album()
    session.add_all([folder, album])
    session.add_all(File(folder=folder, size=size) for size in (10, 20, 30))
    tracks = [Track(folder=album, size=100 + n, length=60 + n) for n in range(3)]
    session.add_all([*tracks, Track(folder=folder, size=7, length=8)])
    assert_exact(session)
    assert (album.files, album.bytes, album.seconds) == (3, 303, 183)
    tracks[0].length = 99
    tracks[1].folder = folder
    tracks[2].size = 5
    assert_exact(session)
    session.delete(tracks[0])
    assert_exact(session)
    assert (album.files, album.seconds) == (1, 62)


def test_deletion_of_parent_lowers_other_parents(
    session: Session, customers: list[Customer]
) -> None:
    session.commit()
    session.delete(session.get_one(Customer, (1, 7)))
    assert_exact(session)
    session.execute(delete(Customer).where(Customer.shop == 2))
    assert_exact(session)
    ann = session.scalars(select(Clerk).where(Clerk.name == "Ann")).one()
    session.delete(ann)
    session.delete(session.get_one(Region, "north"))
    assert_exact(session)


@pytest.mark.slow
def test_deletion_of_parent_takes_constant_number_of_statements(
    session: Session, engine: Engine, customers: list[Customer]
) -> None:
    clerks = [Clerk(name=f"Clerk {n}") for n in range(50)]
    session.add_all(clerks)
    session.flush()
    counts = []
    for size in (20, 2000):
        big = Customer(shop=9, number=size, region=customers[0].region)
        session.add(big)
        session.flush()
        key = {"customer_shop": 9, "customer_number": size}
        values = {"items": 2, "day": DAY, "state": "paid", **key}
        rows = [{"clerk_id": clerks[n % 50].id, "amount": Decimal(n + 1)} for n in range(size)]
        session.execute(insert(Order), [row | values for row in rows])
        assert_exact(session)
        with recorded(engine) as executed:
            session.delete(big)
            session.flush()
        counts.append(len(executed))
        assert_exact(session)
    assert counts[0] == counts[1] <= 9


def test_flush_takes_one_update_a_parent_table(
    session: Session, engine: Engine, customers: list[Customer]
) -> None:
    ann = session.scalars(select(Clerk).where(Clerk.name == "Ann")).one()
    late = DAY + timedelta(days=90)
    with recorded(engine) as executed:
        session.add_all(order(customer, "8.08", clerk=ann, day=late) for customer in customers)
        session.flush()
    assert [verb for verb in executed.verbs if verb.startswith("UPDATE")] == [
        "UPDATE clerk",
        "UPDATE customer",
        "UPDATE region",
    ]
    assert not any(verb.startswith("SELECT") for verb in executed.verbs)
    assert_exact(session)


BULK: dict[str, Callable[[Session], Any]] = {
    "void": lambda s: s.execute(update(Order).where(Order.amount > 12).values(state="void")),
    "raise": lambda s: s.execute(update(Order).values(amount=Order.amount * 2)),
    "hand over": lambda s: s.execute(update(Order).values(clerk_id=None)),
    "move": lambda s: s.execute(
        update(Order).where(Order.customer_shop == 1).values(customer_shop=2, customer_number=7)
    ),
    "move customers": lambda s: s.execute(update(Customer).values(region_code="south")),
    "delete": lambda s: s.execute(delete(Order).where(Order.state != "paid")),
}


@pytest.mark.parametrize("name", BULK)
def test_bulk_statement_is_counted_in_all_parents(
    session: Session, customers: list[Customer], name: str
) -> None:
    BULK[name](session)
    assert_exact(session)


@pytest.mark.slow
def test_random_history_ends_exact(
    session: Session, customers: list[Customer], is_exhaustive: bool
) -> None:
    chance = random.Random(20260301)
    actions = ["add", "add", "edit", "move", "void", "clerk", "delete", "region"]
    for step in range(120 if is_exhaustive else 40):
        orders = session.scalars(select(Order).order_by(Order.id)).all()
        parents = [session.scalars(select(class_)).all() for class_ in (Region, Clerk)]
        regions, clerks = ([None, *rows] for rows in parents)
        action = chance.choice(actions) if orders else "add"
        picked: Any = chance.choice(orders) if orders else None
        match action:
            case "add":
                day = DAY + timedelta(days=chance.randrange(60))
                amount = f"{chance.randrange(900)}.{step % 100:02}"
                session.add(order(chance.choice(customers), amount, day=day))
            case "edit":
                picked.amount = Decimal(chance.randrange(5000)) / 100
                picked.items = chance.choice([None, 2, 3, 4])
            case "move":
                picked.customer = chance.choice(customers)
            case "void":
                picked.state = chance.choice(["open", "paid", "void"])
            case "clerk":
                picked.clerk = chance.choice(clerks)
            case "delete":
                session.delete(picked)
            case _:
                chance.choice(customers).region = chance.choice(regions)
        if chance.random() < 0.4:
            assert_exact(session)
    assert_exact(session)
