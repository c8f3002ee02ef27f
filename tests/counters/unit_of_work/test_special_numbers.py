"""NaN and infinities are counted as in the database, and leave no trace when they are removed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, Numeric, delete, insert, select, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from tallied.counters import Count, Counters, Max, Min, Sum

ZERO = text("0")


class Base(DeclarativeBase):
    pass


class Region(Base):
    __tablename__ = "region"
    id: Mapped[int] = mapped_column(primary_key=True)
    total: Mapped[Decimal] = mapped_column(Numeric, server_default=ZERO)


class Station(Base):
    __tablename__ = "station"
    id: Mapped[int] = mapped_column(primary_key=True)
    total: Mapped[Decimal] = mapped_column(Numeric, server_default=ZERO)
    high: Mapped[Decimal | None] = mapped_column(Numeric)
    low: Mapped[Decimal | None] = mapped_column(Numeric)
    warm: Mapped[int] = mapped_column(server_default=ZERO)
    region_id: Mapped[int | None] = mapped_column(ForeignKey("region.id"), index=True)
    region: Mapped[Region | None] = relationship()


class Reading(Base):
    __tablename__ = "reading"
    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[Decimal | None] = mapped_column(Numeric)
    station_id: Mapped[int | None] = mapped_column(ForeignKey("station.id"), index=True)
    station: Mapped[Station | None] = relationship()


counters = Counters(
    Sum(Region.total, of=Station.total, via=Station.region),
    Sum(Station.total, of=Reading.value, via=Reading.station),
    Max(Station.high, of=Reading.value, via=Reading.station),
    Min(Station.low, of=Reading.value, via=Reading.station),
    Count(Station.warm, via=Reading.station, where=Reading.value > 3),
)


class Own(Session):
    pass


counters.install(Own)
NAN, INFINITE, NEGATIVE = "NaN", "Infinity", "-Infinity"
START = [(1, 5, 1), (2, 2, 1), (3, 4, 2), (4, 3, 2)]
"""Readings as id, value, and station."""
FIRST = "7 5 2 1"
SECOND = "7 4 3 1"


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    Base.metadata.create_all(engine)
    with Own(engine) as session:
        session.add_all([Region(id=1), Station(id=1, region_id=1), Station(id=2, region_id=1)])
        session.add_all(
            Reading(id=id_, value=Decimal(value), station_id=station)
            for id_, value, station in START
        )
        session.commit()
        yield session


def reading(number: int, value: str, station: int = 1) -> Reading:
    return Reading(id=number, value=Decimal(value), station_id=station)


def shown(session: Session) -> tuple[str, str, str]:
    """Return the counters of both stations and the region; memory must show what is stored."""
    session.flush()
    assert [str(drift) for drift in counters.verify(session.connection())] == []
    stations = [session.get_one(Station, number) for number in (1, 2)]
    region = session.get_one(Region, 1)
    memory = [*map(formatted, stations), plain(region.total)]
    session.expire_all()
    assert [*map(formatted, stations), plain(region.total)] == memory
    return memory[0], memory[1], memory[2]


def formatted(station: Station) -> str:
    numbers = (station.total, station.high, station.low)
    return " ".join([*map(plain, numbers), str(station.warm)])


def plain(number: Decimal | None) -> str:
    return str(number if number is None or not number.is_finite() else number.normalize())


def assign(number: int, value: str) -> Callable[[Session], None]:
    def work(session: Session) -> None:
        row = session.get_one(Reading, number)
        row.value = Decimal(value)

    return work


def move(number: int, station: int) -> Callable[[Session], None]:
    def work(session: Session) -> None:
        session.get_one(Reading, number).station_id = station

    return work


def paused(session: Session) -> None:
    with counters.pause(session):
        session.delete(session.get_one(Reading, 8))


Work = Callable[[Session], Any]
Step = tuple[Work, tuple[str, str, str]]
ADDED: dict[str, str] = {
    NAN: "NaN NaN 2 2",
    INFINITE: "Infinity Infinity 2 2",
    NEGATIVE: "-Infinity 5 -Infinity 1",
}
"""The first station with a fifth reading of that value."""
LEAVING: dict[str, Work] = {
    "deleted": lambda s: s.delete(s.get_one(Reading, 8)),
    "deleted by statement": lambda s: s.execute(delete(Reading).where(Reading.id == 8)),
    "detached": lambda s: setattr(s.get_one(Reading, 8), "station_id", None),
    "emptied": lambda s: setattr(s.get_one(Reading, 8), "value", None),
    "emptied by statement": lambda s: s.execute(
        update(Reading).where(Reading.id == 8).values(value=None)
    ),
    "deleted while paused": paused,
}


@pytest.fixture(params=[NAN, INFINITE, NEGATIVE])
def special(request: pytest.FixtureRequest, engine: Engine) -> str:
    if request.param == NAN and engine.dialect.name == "sqlite":
        pytest.skip("SQLite stores NaN as NULL")
    return str(request.param)


@pytest.mark.parametrize("special", [INFINITE, NAN, NEGATIVE], indirect=True)
@pytest.mark.parametrize("way", LEAVING)
def test_special_number_leaves_no_trace(way: str, special: str, session: Session) -> None:
    session.add(reading(8, special))
    assert shown(session) == (ADDED[special], SECOND, special)
    LEAVING[way](session)
    assert shown(session) == (FIRST, SECOND, "14")


def test_edit_to_a_special_number_and_back(special: str, session: Session) -> None:
    assign(1, special)(session)
    first, second, region = shown(session)
    assert (first.split()[0], second, region) == (special, SECOND, special)
    session.get_one(Reading, 2).value = Decimal(6)
    assert shown(session)[0].split()[0] == special
    assign(1, "8")(session)
    assert shown(session) == ("14 8 6 2", SECOND, "21")


def test_special_number_moves_with_its_row(special: str, session: Session) -> None:
    session.execute(
        insert(Reading),
        [{"id": 8, "value": Decimal(special), "station_id": 1}],
    )
    assert shown(session)[0] == ADDED[special]
    move(8, 2)(session)
    first, second, region = shown(session)
    assert (first, second.split()[0], region) == (FIRST, special, special)
    session.get_one(Station, 2).region_id = None
    assert shown(session)[2] == "7"
    session.get_one(Station, 2).region_id = 1
    assert shown(session)[2] == special


@pytest.mark.postgresql  # SQLite takes the sum of opposite infinities for NULL
def test_opposite_infinities_are_counted(session: Session) -> None:
    session.add_all([reading(8, INFINITE), reading(9, NEGATIVE)])
    assert shown(session) == ("NaN Infinity -Infinity 2", SECOND, "NaN")
    session.delete(session.get_one(Reading, 9))
    assert shown(session) == (ADDED[INFINITE], SECOND, "Infinity")
    session.get_one(Reading, 8).value = Decimal(NEGATIVE)
    assert shown(session)[0].startswith("-Infinity 5 -Infinity 1")


def test_new_parent_with_special_number_is_exact(special: str, session: Session) -> None:
    station = Station(id=3, region_id=1)
    session.add_all([station, reading(8, special, 3), reading(9, "6", 3)])
    shown(session)
    assert plain(station.total) == special
    session.delete(session.get_one(Reading, 8))
    shown(session)
    assert formatted(station) == "6 6 6 1"


def test_rolled_back_special_number_is_forgotten(special: str, session: Session) -> None:
    savepoint = session.begin_nested()
    session.add(reading(8, special))
    assert shown(session)[0] == ADDED[special]
    savepoint.rollback()
    assert shown(session) == (FIRST, SECOND, "14")


@pytest.mark.postgresql  # SQLite stores NaN as NULL
def test_drift_at_a_special_number_is_found_and_repaired(session: Session, engine: Engine) -> None:
    session.commit()
    with engine.begin() as connection:
        wrong = {"total": Decimal(NAN), "high": Decimal(NAN), "low": Decimal(NAN), "warm": 5}
        connection.execute(update(Station.__table__).where(Station.id == 1).values(wrong))
        connection.execute(insert(Reading.__table__).values(value=Decimal(NAN), station_id=2, id=8))
    with engine.connect() as connection:
        drifts = list(counters.verify(connection))
        rows = sorted(
            (d.counter, d.key[0], plain(d.true)) for d in drifts if d.counter != "Station.warm"
        )
        assert rows == [
            ("Region.total", 1, "NaN"),
            ("Station.high", 1, "5"),
            ("Station.high", 2, "NaN"),
            ("Station.low", 1, "2"),
            ("Station.total", 1, "7"),
            ("Station.total", 2, "NaN"),
        ]
        connection.rollback()
        assert counters.rebuild(connection) == 3
    assert shown(session)[0] == FIRST
    assert shown(session)[1].startswith("NaN NaN 3 2")


@pytest.mark.sqlite  # PostgreSQL stores NaN
def test_on_sqlite_nan_is_stored_as_null_and_not_counted(session: Session) -> None:
    session.add(reading(8, NAN))
    assert shown(session) == (FIRST, SECOND, "14")
    assert session.scalar(select(Reading.value).where(Reading.id == 8)) is None
