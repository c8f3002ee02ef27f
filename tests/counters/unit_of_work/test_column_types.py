"""A counter whose column is of another type than its source, as times may be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import DateTime, Dialect, Engine, ForeignKey, delete, insert, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from support.pairs import install

from tallied.counters import Count, Counters, Max
from tallied.models.base import UTCDateTime


class Press(DeclarativeBase):
    pass


class Hour(UTCDateTime):
    """A host's own kind of time, which the database has without minutes."""

    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        value = value and value.replace(minute=0, second=0, microsecond=0)
        return super().process_bind_param(value, dialect)


class Desk(Press):
    """A parent whose column has SQLAlchemy's type; the times of its news have Tallied's."""

    __tablename__ = "desk"
    id: Mapped[int] = mapped_column(primary_key=True)
    news_count: Mapped[int] = mapped_column(server_default="0")
    latest_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    latest_hour: Mapped[datetime | None] = mapped_column(UTCDateTime)


class News(Press):
    __tablename__ = "news"
    id: Mapped[int] = mapped_column(primary_key=True)
    desk_id: Mapped[int] = mapped_column(ForeignKey("desk.id"), index=True)
    said_at: Mapped[datetime] = mapped_column(UTCDateTime)
    hour: Mapped[datetime | None] = mapped_column(Hour)
    desk: Mapped[Desk] = relationship()


COUNTERS = (
    Count(Desk.news_count, via=News.desk),
    Max(Desk.latest_at, of=News.said_at, via=News.desk),
)
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)


def test_drift_formats_both_values_alike(engine: Engine) -> None:
    counters = Counters(*COUNTERS)
    Press.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(insert(Desk), [{"id": 1, "news_count": 4}, {"id": 2, "news_count": 3}])
        for desk, time in ((1, NOON), (2, LATER)):
            connection.execute(update(Desk).where(Desk.id == desk).values(latest_at=time))
        news = [{"id": id, "desk_id": 1 + id % 2, "said_at": NOON} for id in range(6)]
        connection.execute(insert(News), news)
    with engine.connect() as connection:
        count, latest = counters.verify(connection)
    # The time of the first desk is right, though its count is not.
    assert (count.counter, count.key, count.stored, count.true) == ("Desk.news_count", (1,), 4, 3)
    assert (latest.counter, latest.key) == ("Desk.latest_at", (2,))
    assert latest.difference == timedelta(hours=1)
    zone = latest.stored.strftime("%z")
    assert latest.true.strftime("%z") == zone
    text = str(latest).split(", difference")[0]
    assert text == (
        f"Desk.latest_at of 2: stored {latest.stored.isoformat()}, true {latest.true.isoformat()}"
    )


def test_extreme_of_another_type_is_kept(engine: Engine) -> None:
    counters, Own = install(engine, *COUNTERS)
    with Own(engine) as session:

        def latest() -> datetime:
            session.commit()
            assert list(counters.verify(session.connection())) == []
            stored = session.get_one(Desk, 1).latest_at
            assert stored is not None
            return stored if stored.tzinfo is None else stored.astimezone(UTC).replace(tzinfo=None)

        desk = Desk(id=1)
        session.add(desk)
        session.add_all(
            News(id=n, desk=desk, said_at=NOON + timedelta(hours=n)) for n in range(1, 5)
        )
        noon = NOON.replace(tzinfo=None)
        assert latest() == noon + timedelta(hours=4)
        session.add(News(id=5, desk=desk, said_at=NOON + timedelta(hours=5)))
        assert latest() == noon + timedelta(hours=5)
        session.get_one(News, 5).said_at = NOON + timedelta(hours=3)
        assert latest() == noon + timedelta(hours=4)
        session.delete(session.get_one(News, 4))
        assert latest() == noon + timedelta(hours=3)
        session.execute(delete(News).where(News.id.in_([3, 5])))
        assert latest() == noon + timedelta(hours=2)


@pytest.mark.parametrize(
    "time",
    [
        datetime(1, 1, 2, tzinfo=UTC),
        datetime(2026, 3, 4, 12, 0, 0, 1, tzinfo=UTC),
        datetime(9999, 12, 30, 23, 59, 59, 999_999, tzinfo=UTC),
    ],
    ids=str,
)
def test_time_that_comes_back_is_stored_unchanged(engine: Engine, time: datetime) -> None:
    assert UTCDateTime.comes_back(time)
    counters, Own = install(engine, *COUNTERS)
    with Own(engine) as session:
        session.add(Desk(id=1))
        session.flush()
        session.add(News(id=1, desk_id=1, said_at=time))
        session.commit()
        assert session.scalar(select(News.said_at)) == time
        assert list(counters.verify(session.connection())) == []


def test_time_of_another_zone_is_tried() -> None:
    zone = timezone(timedelta(hours=2))
    assert not UTCDateTime.comes_back(NOON.astimezone(zone))
    assert not UTCDateTime.comes_back(NOON.replace(tzinfo=None))


def test_type_that_overrides_times_is_tried(engine: Engine) -> None:
    latest_hour = Max(Desk.latest_hour, of=News.hour, via=News.desk)
    counters, Own = install(engine, *COUNTERS, latest_hour)
    with Own(engine) as session:
        session.add(Desk(id=1))
        session.flush()
        session.add(News(id=1, desk_id=1, said_at=NOON, hour=NOON + timedelta(minutes=5)))
        session.commit()
        assert list(counters.verify(session.connection())) == []
