"""Models that are not Tallied's, with everything that a declaration may be about."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from sqlalchemy import (
    Enum,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    MetaData,
    Numeric,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from tallied.counters import Count, Counters, First, Latest, Max, Min, Sum


class Shop(DeclarativeBase):
    """A base of somebody else's."""

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
    """The second parent of an order, and one that it may lack."""

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
    """An association object, in the manner of many-to-many."""

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
    """The session class that these counters are installed on."""


shop.install(ShopSession)
