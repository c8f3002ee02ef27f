"""Custom models with everything that a declaration may be about, and their recount."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    Enum,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    MetaData,
    Numeric,
    inspect,
    select,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from tallied.counters import Count, Counters, First, Latest, Max, Min, Sum


class Shop(DeclarativeBase):
    """A separate base."""

    metadata = MetaData()


def counter() -> Mapped[int]:
    return mapped_column(server_default=text("0"))


class Region(Shop):
    __tablename__ = "region"

    code: Mapped[str] = mapped_column(primary_key=True)
    orders: Mapped[int] = counter()
    total: Mapped[Decimal] = mapped_column(Numeric(14, 2), server_default=text("0"))
    last_day: Mapped[date | None]


class Customer(Shop):
    """A composite key; counted in its region, and counting for it."""

    __tablename__ = "customer"

    shop: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    region_code: Mapped[str | None] = mapped_column(
        ForeignKey("region.code", ondelete="SET NULL"), index=True
    )
    orders: Mapped[int] = counter()
    open_orders: Mapped[int] = counter()
    total: Mapped[Decimal] = mapped_column(Numeric(14, 2), server_default=text("0"))
    largest: Mapped[Decimal | None] = mapped_column(Numeric(12, 2))
    smallest: Mapped[Decimal | None] = mapped_column(Numeric(12, 2))
    first_day: Mapped[date | None]
    last_day: Mapped[date | None]

    region: Mapped[Region | None] = relationship()


class Clerk(Shop):
    """The second, optional parent of an order."""

    __tablename__ = "clerk"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str]
    orders: Mapped[int] = counter()
    items: Mapped[int] = counter()


class Order(Shop):
    __tablename__ = "order"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    customer_shop: Mapped[int]
    customer_number: Mapped[int]
    clerk_id: Mapped[int | None] = mapped_column(
        ForeignKey("clerk.id", ondelete="SET NULL"), index=True
    )
    amount: Mapped[Decimal] = mapped_column(Numeric(12, 2))
    items: Mapped[int | None]
    state: Mapped[str] = mapped_column(Enum("open", "paid", "void", name="state"), default="open")
    day: Mapped[date]

    customer: Mapped[Customer] = relationship()
    clerk: Mapped[Clerk | None] = relationship()

    __table_args__ = (
        ForeignKeyConstraint(
            ["customer_shop", "customer_number"],
            ["customer.shop", "customer.number"],
            ondelete="CASCADE",
        ),
        Index("ix_order_customer", "customer_shop", "customer_number"),
    )


class Page(Shop):
    """A tree: each page counts its direct children."""

    __tablename__ = "page"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    parent_id: Mapped[int | None] = mapped_column(
        ForeignKey("page.id", ondelete="CASCADE"), index=True
    )
    site_id: Mapped[int | None] = mapped_column(ForeignKey("site.id"), index=True)
    words: Mapped[int]
    children: Mapped[int] = counter()
    longest_child: Mapped[int | None]

    parent: Mapped[Page | None] = relationship(remote_side=[id])
    site: Mapped[Site | None] = relationship()


class Site(Shop):
    __tablename__ = "site"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    pages: Mapped[int] = counter()
    words: Mapped[int] = counter()


class Student(Shop):
    __tablename__ = "student"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    courses: Mapped[int] = counter()


class Course(Shop):
    __tablename__ = "course"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    students: Mapped[int] = counter()
    points: Mapped[int] = counter()


class Enrolment(Shop):
    """An association object of a many-to-many relationship."""

    __tablename__ = "enrolment"

    student_id: Mapped[int] = mapped_column(
        ForeignKey("student.id", ondelete="CASCADE"), primary_key=True
    )
    course_id: Mapped[int] = mapped_column(
        ForeignKey("course.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    points: Mapped[int]

    student: Mapped[Student] = relationship()
    course: Mapped[Course] = relationship()


class Folder(Shop):
    """Single-table inheritance on one side, joined-table inheritance on the other."""

    __tablename__ = "folder"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    kind: Mapped[str]
    files: Mapped[int] = counter()
    bytes: Mapped[int] = counter()
    seconds: Mapped[int] = counter()
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "folder"}


class Album(Folder):
    tracks: Mapped[int] = mapped_column(server_default=text("0"))
    __mapper_args__ = {"polymorphic_identity": "album"}


class File(Shop):
    __tablename__ = "file"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    kind: Mapped[str]
    folder_id: Mapped[int | None] = mapped_column(ForeignKey("folder.id"), index=True)
    size: Mapped[int]
    folder: Mapped[Folder | None] = relationship()
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "file"}


class Track(File):
    __tablename__ = "track"

    id: Mapped[int] = mapped_column(ForeignKey("file.id"), primary_key=True)
    length: Mapped[int]
    __mapper_args__ = {"polymorphic_identity": "track"}

    album: Mapped[Folder | None] = relationship(viewonly=True)


shop = Counters(
    Count(Customer.orders, via=Order.customer),
    Count(Customer.open_orders, via=Order.customer, where=Order.state.in_(["open", "paid"])),
    Sum(Customer.total, of=Order.amount, via=Order.customer, where=Order.state != "void"),
    Max(Customer.largest, of=Order.amount, via=Order.customer),
    Min(Customer.smallest, of=Order.amount, via=Order.customer),
    First(Customer.first_day, of=Order.day, via=Order.customer),
    Latest(Customer.last_day, of=Order.day, via=Order.customer),
    Count(Clerk.orders, via=Order.clerk, where=Order.state != "void"),
    Sum(Clerk.items, of=Order.items, via=Order.clerk),
    Sum(Region.orders, of=Customer.orders, via=Customer.region),
    Sum(Region.total, of=Customer.total, via=Customer.region),
    Latest(Region.last_day, of=Customer.last_day, via=Customer.region),
    Count(Page.children, via=Page.parent),
    Max(Page.longest_child, of=Page.words, via=Page.parent),
    Count(Site.pages, via=Page.site),
    Sum(Site.words, of=Page.words, via=Page.site, where=Page.words > 2),
    Count(Student.courses, via=Enrolment.student),
    Count(Course.students, via=Enrolment.course),
    Sum(Course.points, of=Enrolment.points, via=Enrolment.course),
    Count(Folder.files, via=File.folder),
    Sum(Folder.bytes, of=File.size, via=File.folder),
    Sum(Folder.seconds, of=Track.length, via=Track.folder),
)


class ShopSession(Session):
    """The session class of these counters."""


shop.install(ShopSession)


def counters_of_customer(orders: list[Any]) -> dict[str, Any]:
    """Return the counters of a customer, computed in plain Python."""
    return {
        "orders": len(orders),
        "open_orders": sum(o.state in ("open", "paid") for o in orders),
        "total": sum((o.amount for o in orders if o.state != "void"), Decimal(0)),
        "largest": max((o.amount for o in orders), default=None),
        "smallest": min((o.amount for o in orders), default=None),
        "first_day": min((o.day for o in orders), default=None),
        "last_day": max((o.day for o in orders), default=None),
    }


def truths(connection: Any) -> Iterator[tuple[type[Any], Any, dict[str, Any]]]:
    """Yield the class, the row and the true counters of each parent, computed from the rows."""

    def rows(model: type[Any]) -> list[Any]:
        return list(connection.execute(select(*inspect(model).local_table.columns)))

    orders, pages, enrolments = rows(Order), rows(Page), rows(Enrolment)
    customers, files, tracks = rows(Customer), rows(File), rows(Track)
    lengths = {track.id: track.length for track in tracks}
    for row in customers:
        key = (row.shop, row.number)
        own = [o for o in orders if (o.customer_shop, o.customer_number) == key]
        yield Customer, row, counters_of_customer(own)
    for row in rows(Region):
        own = [c for c in customers if c.region_code == row.code]
        days = [c.last_day for c in own if c.last_day is not None]
        totals = {"orders": sum(c.orders for c in own), "total": sum(c.total for c in own)}
        yield Region, row, totals | {"last_day": max(days, default=None)}
    for row in rows(Clerk):
        own = [o for o in orders if o.clerk_id == row.id]
        served = sum(o.state != "void" for o in own)
        yield Clerk, row, {"orders": served, "items": sum(o.items or 0 for o in own)}
    for row in rows(Page):
        own = [p.words for p in pages if p.parent_id == row.id]
        yield Page, row, {"children": len(own), "longest_child": max(own, default=None)}
    for row in rows(Site):
        words = [p.words for p in pages if p.site_id == row.id]
        yield Site, row, {"pages": len(words), "words": sum(w for w in words if w > 2)}
    for row in rows(Student):
        yield Student, row, {"courses": sum(e.student_id == row.id for e in enrolments)}
    for row in rows(Course):
        points = [e.points for e in enrolments if e.course_id == row.id]
        yield Course, row, {"students": len(points), "points": sum(points)}
    for row in rows(Folder):
        own = [f for f in files if f.folder_id == row.id]
        sizes = {"files": len(own), "bytes": sum(f.size for f in own)}
        yield Folder, row, sizes | {"seconds": sum(lengths.get(f.id, 0) for f in own)}


def assert_exact(session: Session) -> None:
    """Assert that column, recount and memory agree for each parent, as ``verify`` finds."""
    session.flush()
    for model, row, true in truths(session.connection()):
        assert {name: getattr(row, name) for name in true} == true, (model, row)
        key = tuple(getattr(row, column.name) for column in inspect(model).primary_key)
        loaded = session.identity_map.get(inspect(model).identity_key_from_primary_key(key))
        memory = {} if loaded is None else vars(loaded)
        assert {name: memory[name] for name in true if name in memory} == {
            name: value for name, value in true.items() if name in memory
        }
    assert list(shop.verify(session.connection())) == []
