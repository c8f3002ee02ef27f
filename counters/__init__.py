"""Counters that SQLAlchemy keeps current: fresh in memory, exact in the database, cheap.

A counter is a column of one class that caches something about the rows of another. It
is declared in one line, and installed on a session class:

>>> from sqlalchemy import ForeignKey, create_engine, text
>>> from sqlalchemy.orm import DeclarativeBase, Mapped, Session
>>> from sqlalchemy.orm import mapped_column, relationship
>>> from tallied.counters import Count, Counters, Sum

>>> class Base(DeclarativeBase):
...     pass
>>> class Basket(Base):
...     __tablename__ = "basket"
...     id: Mapped[int] = mapped_column(primary_key=True)
...     count: Mapped[int] = mapped_column(server_default=text("0"))
...     cents: Mapped[int] = mapped_column(server_default=text("0"))
...     items: Mapped[list["Item"]] = relationship(back_populates="basket")
>>> class Item(Base):
...     __tablename__ = "item"
...     id: Mapped[int] = mapped_column(primary_key=True)
...     basket_id: Mapped[int] = mapped_column(ForeignKey("basket.id"), index=True)
...     cents: Mapped[int]
...     basket: Mapped[Basket] = relationship(back_populates="items")

>>> class CountedSession(Session):
...     pass
>>> counters = Counters(
...     Count(Basket.count, via=Item.basket),
...     Sum(Basket.cents, of=Item.cents, via=Item.basket),
... )
>>> counters.install(CountedSession)

**Fresh.** Attribute listeners show a change in memory at once, with no SQL:

>>> engine = create_engine("sqlite://")
>>> Base.metadata.create_all(engine)
>>> session = CountedSession(engine)
>>> basket = Basket(items=[Item(cents=250), Item(cents=199)])
>>> basket.count, basket.cents
(2, 449)

What memory shows is a preview, which the ORM never writes. A new parent is inserted with
what its sources amount to; from then on the flush writes differences, and shows what
the database made of them, the changes of others included:

>>> session.add(basket)
>>> session.commit()
>>> basket.items[0].cents = 300
>>> basket.cents
499
>>> session.add(Item(basket_id=basket.id, cents=1))
>>> session.commit()
>>> basket.count, basket.cents
(3, 500)

**Exact.** A difference is *new minus what the row held under its lock*, not minus what
this session once loaded; so two sessions that edit or delete the same row, in whatever
order they run, add up. The differences of a flush are written by one UPDATE a parent
table, parents in the order of their keys, as its last statement. Nothing that the ORM
does goes by uncounted: cascades, orphans, foreign keys assigned by hand, statements,
and rows that the database itself removes. What cannot be counted is refused:

>>> basket.cents = 0
Traceback (most recent call last):
...
tallied.errors.CounterAssignmentError: Basket.cents is kept by its counter and cannot ...
>>> list(counters.verify(session.connection()))
[]

**Cheap.** An insert costs that one UPDATE, whatever the parent's size; an edit, a move or
a deletion one locking SELECT more; a flush of anything else nothing.

The code is in layers, and each imports those below it alone:

- :mod:`.manager`: :class:`Counters`, and :mod:`.alembic`, a migration that adds a counter;
- :mod:`.maintenance`: verify counters, and rebuild those that are wrong;
- :mod:`.unit_of_work`: what a flush or a statement does to rows, and so to counters;
- :mod:`.session`: what a session remembers, and shows before it is flushed;
- :mod:`.registry`: the declared counters, resolved and checked;
- :mod:`.sql`: the statements that recount, update and read;
- :mod:`.declarations`: what can be counted.

What is promised, and what is not: ``docs/explanation/exactness.md``.
"""

from .declarations.counter import Counter as Counter
from .declarations.derived import Derived as Derived
from .declarations.kinds import Count as Count
from .declarations.kinds import First as First
from .declarations.kinds import Latest as Latest
from .declarations.kinds import Max as Max
from .declarations.kinds import Min as Min
from .declarations.kinds import Sum as Sum
from .declarations.number import Number as Number
from .maintenance.verify import Drift as Drift
from .manager import Counters as Counters
