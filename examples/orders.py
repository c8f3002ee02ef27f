"""Orders and their totals: Tallied's counter engine on models that are not Tallied's.

Run it with ``python examples/orders.py``; it needs nothing but the ``tallied`` package.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from sqlalchemy import ForeignKey, Numeric, create_engine, delete, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, sessionmaker

from tallied.counters import Count, Counters, Latest, Sum


class Base(DeclarativeBase):
    """The base of this program's own models."""


class Customer(Base):
    """Who orders, how many orders are open, and when the last one came."""

    __tablename__ = "customer"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    open_orders: Mapped[int] = mapped_column(server_default=text("0"))
    last_order: Mapped[date | None]


class Order(Base):
    """What was ordered; its total is a counter too, of its lines."""

    __tablename__ = "order"

    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"), index=True)
    day: Mapped[date]
    is_paid: Mapped[bool] = mapped_column(default=False)
    total: Mapped[Decimal] = mapped_column(Numeric(12, 2), server_default=text("0"))

    customer: Mapped[Customer] = relationship()
    lines: Mapped[list[Line]] = relationship(back_populates="order", cascade="all, delete-orphan")


class Line(Base):
    """One line of an order."""

    __tablename__ = "line"

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("order.id"), index=True)
    price: Mapped[Decimal] = mapped_column(Numeric(10, 2))

    order: Mapped[Order] = relationship(back_populates="lines")


counters = Counters(
    Sum(Order.total, of=Line.price, via=Line.order),
    Count(Customer.open_orders, via=Order.customer, where=Order.is_paid.is_(False)),
    Latest(Customer.last_order, of=Order.day, via=Order.customer),
)


def main() -> None:
    """Order, pay and cancel; print what the counters say in between."""
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    Sessions = sessionmaker(engine)
    counters.install(Sessions)
    with Sessions() as session:
        ada = Customer(name="Ada")
        prices = [Decimal("12.50"), Decimal("7.25")]
        first = Order(
            customer=ada, day=date(2026, 3, 1), lines=[Line(price=price) for price in prices]
        )
        second = Order(customer=ada, day=date(2026, 3, 9), lines=[Line(price=Decimal("3.10"))])
        session.add_all([first, second])
        print(f"before any SQL: {ada.open_orders} open orders, the first of {first.total}")

        session.commit()
        first.lines[0].price = Decimal("10.00")
        first.is_paid = True
        session.commit()
        print(f"one was paid: {ada.open_orders} open order, the first of {first.total}")

        session.delete(second)
        session.commit()
        print(f"one was cancelled: {ada.open_orders} open orders, the last of {ada.last_order}")

        session.execute(delete(Line).where(Line.price > 8))
        session.commit()
        print(f"a line was dropped: the first is of {first.total}")

        wrong = list(counters.verify(session.connection()))
        print(f"verified: {len(wrong)} counters are wrong")


if __name__ == "__main__":
    main()
