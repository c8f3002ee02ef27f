"""One error names all that is wrong with a set of counters."""

from __future__ import annotations

import pytest
from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from tallied.counters import Count, Counters, Derived, Max, Sum
from tallied.errors import CounterDeclarationError


class Base(DeclarativeBase):
    """A base of this module's own."""


class Shop(Base):
    __tablename__ = "shop"
    id: Mapped[int] = mapped_column(primary_key=True)
    orders: Mapped[int | None]
    paid: Mapped[int] = mapped_column(server_default="3")
    latest: Mapped[int] = mapped_column(server_default="0")
    name: Mapped[str]
    visitors: Mapped[int] = mapped_column(server_default="0")


class Order(Base):
    __tablename__ = "order"
    id: Mapped[int] = mapped_column(primary_key=True)
    amount: Mapped[int]
    shop_id: Mapped[int] = mapped_column(ForeignKey("shop.id"))
    shop: Mapped[Shop] = relationship()


class Visit(Base):
    __tablename__ = "visit"
    id: Mapped[int] = mapped_column(primary_key=True)
    shop_id: Mapped[int] = mapped_column(ForeignKey("shop.id"), index=True)
    shop: Mapped[Shop] = relationship()


def test_all_that_is_wrong_is_told_at_once() -> None:
    counters = Counters(
        Count(Shop.orders, via=Order.shop),
        Sum(Shop.paid, of=Order.amount, via=Order.shop),
        Max(Shop.latest, of=Order.amount, via=Order.shop),
        Count(Shop.visitors, via=Visit.shop),
        Derived(Shop.visitors, of=Shop.name, compute=len),
    )
    with pytest.raises(CounterDeclarationError) as raised:
        counters.install(type("ShopSession", (Session,), {}))
    ids = [id_.removeprefix("counters.") for id_, _, _ in raised.value.findings]
    assert ids == ["E004", "E006", "E007", "E004", "E026", "E004", "E008", "E026", "E034"]
    assert raised.value.id == "counters.E004"
    for _, sentence, hint in raised.value.findings:
        assert f"{sentence} HINT: {hint}" in str(raised.value)
