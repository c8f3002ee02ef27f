"""Verify and rebuild on custom models: chains, composite keys, every kind of counter."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, select, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from support.shop import Clerk, Customer, Folder, Order, Region, Shop, ShopSession, Track, shop

from tallied.counters import Count, Counters, Sum
from tallied.counters.maintenance.rebuild import Progress
from tallied.errors import CounterError

DAY = date(2026, 3, 1)


@pytest.fixture
def engine(engine: Engine) -> Engine:
    """A database with eight customers in two regions, and up to four orders of each."""
    Shop.metadata.create_all(engine)
    with ShopSession(engine) as session:
        session.add_all([Region(code="north"), Region(code="south")])
        session.add(Clerk(id=1, name="Ada"))
        session.flush()
        for number in range(8):
            key = {"shop": number % 2 + 1, "number": number + 10}
            session.add(Customer(**key, region_code=["north", "south", None][number % 3]))
            session.flush()
            for size in range(number % 4 + 1):
                session.add(
                    Order(
                        customer_shop=key["shop"],
                        customer_number=key["number"],
                        clerk_id=1,
                        amount=Decimal("10.25") + number * size,
                        items=size + 2,
                        day=DAY + timedelta(days=3 * number + size),
                    )
                )
        session.commit()
    return engine


def drifts(engine: Engine, **options: Any) -> list[tuple[str, tuple[Any, ...]]]:
    with engine.connect() as connection:
        return [(drift.counter, drift.key) for drift in shop.verify(connection, **options)]


def rebuild(engine: Engine, **options: Any) -> int:
    with engine.connect() as connection:
        return shop.rebuild(connection, **options)


def spoil(engine: Engine, class_: type[Any], condition: Any = None, **values: Any) -> None:
    with engine.begin() as connection:
        statement = update(class_.__table__).values(values)
        connection.execute(statement if condition is None else statement.where(condition))


def contents(engine: Engine) -> dict[str, Any]:
    """Return the rows of all tables."""
    with engine.connect() as connection:
        return {
            table.name: connection.execute(select(table).order_by(*table.primary_key)).all()
            for table in Shop.metadata.sorted_tables
        }


def test_rebuild_repairs_every_kind_of_counter(engine: Engine) -> None:
    right = contents(engine)
    assert drifts(engine) == []
    spoil(
        engine,
        Customer,
        orders=99,
        open_orders=98,
        total=Decimal("0.01"),
        largest=None,
        smallest=Decimal("0.02"),
        first_day=DAY - timedelta(days=900),
        last_day=None,
    )
    spoil(engine, Clerk, orders=7, items=-4)
    spoil(engine, Region, orders=5, last_day=DAY)
    names = {counter for counter, _ in drifts(engine)}
    assert names >= {str(counter) for counter in shop.declared if counter.parent.class_ is Customer}
    assert rebuild(engine, batch_size=3) == 8 + 1 + 2
    assert contents(engine) == right
    assert drifts(engine) == []


def test_rebuild_repairs_inner_counters_of_a_chain_first(engine: Engine) -> None:
    right = contents(engine)
    spoil(engine, Customer, total=Customer.total + Decimal("5.5"), orders=Customer.orders + 3)
    steps: list[Progress] = []
    with engine.connect() as connection:
        shop.rebuild(connection, progress=steps.append)
    order = list(dict.fromkeys(at.parent for at in steps))
    assert order.index(Customer) < order.index(Region)
    assert contents(engine) == right


def test_rebuild_repairs_counters_of_a_repaired_counter(engine: Engine) -> None:
    right = contents(engine)
    spoil(engine, Customer, total=Customer.total + Decimal("5.5"), last_day=None)
    assert rebuild(engine, only="Region") == 2  # to what the customers now hold
    assert {counter for counter, _ in drifts(engine)} == {"Customer.total", "Customer.last_day"}

    chosen = Customer.number < 13
    repaired = rebuild(engine, only=[Customer.total, Customer.last_day], where=chosen)
    assert repaired == 3
    remaining = drifts(engine)
    assert {counter for counter, _ in remaining} == {"Customer.total", "Customer.last_day"}
    assert len(remaining) == 2 * 5
    assert rebuild(engine, only=["Customer.total", "Customer.last_day"]) == 5
    assert contents(engine) == right


def test_composite_keys_are_rebuilt_in_their_order(engine: Engine) -> None:
    spoil(engine, Customer, orders=70)
    keys = [(1, 10), (1, 12), (1, 14), (1, 16), (2, 11), (2, 13), (2, 15), (2, 17)]
    only = ["Customer.orders"]
    assert drifts(engine, only=only) == [("Customer.orders", key) for key in keys]
    sampled = drifts(engine, only=only, sample=3)
    assert len(set(sampled)) == 3
    steps: list[Progress] = []
    with engine.connect() as connection:
        shop.rebuild(connection, only=only, batch_size=3, progress=steps.append)
    assert [(at.key, at.done) for at in steps] == [((1, 14), 3), ((2, 13), 6), ((2, 17), 8)]

    spoil(engine, Customer, orders=70)
    assert rebuild(engine, only=only, after=(Customer, (1, 16)), batch_size=3) == 4
    assert drifts(engine, only=only) == [("Customer.orders", key) for key in keys[:4]]
    assert rebuild(engine, only=only, where=Customer.number.in_([12, 16, 17])) == 2


def test_condition_on_several_classes_is_refused(engine: Engine) -> None:
    with engine.connect() as connection:
        for method in (shop.verify, shop.rebuild):
            with pytest.raises(CounterError, match="name the counters of one class"):
                method(connection, where=Customer.number > 3)  # type: ignore[operator]


def test_sum_of_a_joined_subclass_is_verified(engine: Engine) -> None:
    with ShopSession(engine) as session:
        session.add_all([Folder(id=1), Folder(id=2)])
        session.flush()
        session.add_all([Track(folder_id=1, size=5, length=length) for length in (70, 80, 90)])
        session.commit()
    spoil(engine, Folder, Folder.id == 1, seconds=160)
    with engine.connect() as connection:
        (drift,) = shop.verify(connection, only=[Folder.seconds])
    assert (drift.key, drift.stored, drift.true) == ((1,), 160, 240)


class Tree(DeclarativeBase):
    pass


class Node(Tree):
    __tablename__ = "node"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("node.id"), index=True)
    children: Mapped[int] = mapped_column(server_default=text("0"))
    grandchildren: Mapped[int] = mapped_column(server_default=text("0"))

    parent: Mapped[Node | None] = relationship(remote_side=[id])


def test_chain_within_one_class_is_rebuilt(engine: Engine) -> None:
    tree = Counters(
        Sum(Node.grandchildren, of=Node.children, via=Node.parent),
        Count(Node.children, via=Node.parent),
    )
    Tree.metadata.create_all(engine)
    with Session(engine) as session:  # without the engine
        for number in range(40):
            session.add(Node(id=number, parent_id=(number - 1) // 3 if number else None))
            session.flush()
        session.commit()
    with engine.connect() as connection:
        assert len(list(tree.verify(connection))) == 13
        connection.rollback()
        assert tree.rebuild(connection, batch_size=4) > 0
        stored = connection.execute(
            select(Node.children, Node.grandchildren).order_by(Node.id)
        ).all()
        assert stored[:5] == [(3, 9), (3, 9), (3, 9), (3, 9), (3, 0)]
        assert list(tree.verify(connection)) == []
        connection.execute(update(Node.__table__).where(Node.id == 1).values(grandchildren=6))
        (drift,) = tree.verify(connection)
    assert (drift.key, drift.stored, drift.true) == ((1,), 6, 9)


@pytest.mark.parametrize("method", ["verify", "rebuild"])
def test_session_in_place_of_connection_is_type_error(engine: Engine, method: str) -> None:
    with Session(engine) as session, pytest.raises(TypeError, match=r"session.connection\(\)"):
        getattr(shop, method)(session)
