"""PostgreSQL databases that tests use one after the other, since to make one takes long.

After a test its new rows, tables, functions and types are dropped. A database comes back to the
tests only if it is then like its template.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import URL, Table

_numbers = itertools.count(1)

MAX_SIZE = 1_000_000
"""The bytes of its tables above which a database is replaced, since they are not given back."""

OVERSEER = "overseer"
"""The application name of the pool's own connections, which do nothing during a test."""

OTHERS = """SELECT count(*) FROM pg_stat_activity
  WHERE datname = current_database() AND pid <> pg_backend_pid()"""

DROP_NEW = """DO $$ DECLARE
  name text;
  last oid := (SELECT oid FROM pg_database WHERE datname = current_database());
BEGIN
  FOR name IN SELECT extname FROM pg_extension WHERE oid > last LOOP
    EXECUTE 'DROP EXTENSION ' || name || ' CASCADE';
  END LOOP;
  FOR name IN SELECT oid::regclass FROM pg_class WHERE oid > last
      AND relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') LOOP
    EXECUTE 'DROP TABLE IF EXISTS ' || name || ' CASCADE';
  END LOOP;
  FOR name IN SELECT oid::regprocedure FROM pg_proc WHERE oid > last
      AND pronamespace = 'public'::regnamespace LOOP
    EXECUTE 'DROP ROUTINE IF EXISTS ' || name || ' CASCADE';
  END LOOP;
  FOR name IN SELECT oid::regtype FROM pg_type WHERE oid > last
      AND typnamespace = 'public'::regnamespace AND typtype IN ('d', 'e') LOOP
    EXECUTE 'DROP TYPE IF EXISTS ' || name || ' CASCADE';
  END LOOP;
END $$"""
"""Drop the tables, functions, domains, enums and extensions that a test has made.

They are younger than the database, whose number is above those of all that its template has.
"""

FIRST_OID = 16384
"""The least number of an object that is not PostgreSQL's own."""


def _rows(catalog: str, key: str = "oid") -> str:
    """Return the SQL of a value that differs after any change of a catalog's rows."""
    return (
        f"(SELECT count(*) || ' ' || coalesce(sum(xmin::text::bigint), 0)"
        f" FROM {catalog} WHERE {key} >= {FIRST_OID})"
    )


STATE = f"""SELECT {_rows("pg_class")}, {_rows("pg_attribute", "attrelid")}, {_rows("pg_proc")},
  {_rows("pg_constraint")}, {_rows("pg_index", "indexrelid")}, {_rows("pg_trigger")},
  {_rows("pg_type")}, {_rows("pg_attrdef")}, {_rows("pg_statistic", "starelid")},
  (SELECT sum(xmin::text::bigint) FROM pg_namespace),
  (SELECT count(*) FROM pg_depend), (SELECT count(*) FROM pg_extension),
  (SELECT count(*) FROM pg_event_trigger), (SELECT count(*) FROM pg_largeobject_metadata),
  (SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()),
  (SELECT count(*) FROM pg_db_role_setting WHERE setdatabase =
    (SELECT oid FROM pg_database WHERE datname = current_database())),
  (SELECT sum(reltuples) FROM pg_class WHERE oid >= {FIRST_OID}),
  (SELECT coalesce(sum(pg_relation_size(oid)), 0) > {MAX_SIZE}
    FROM pg_class WHERE oid >= {FIRST_OID})"""
"""All that can differ between databases of one template, but for their rows."""


@contextmanager
def new_database(server: URL, template: str = "template1") -> Iterator[str]:
    """Yield the URL of a fresh PostgreSQL database, which is dropped after the block."""
    name = create_database(server, template)
    yield url_of(server, name)
    drop_database(server, name)


def create_database(server: URL, template: str) -> str:
    """Create a database, and return its name."""
    name = f"test_{next(_numbers)}"
    with _connection(server) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    return name


def drop_database(server: URL, name: str) -> None:
    """Drop a database, whoever is connected to it."""
    with _connection(server) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def url_of(server: URL, name: str) -> str:
    """Return the URL of a database, with the driver of Tallied."""
    url = server.set(drivername="postgresql+asyncpg", database=name)
    return url.render_as_string(hide_password=False)


def _connection(server: URL, **options: Any) -> psycopg.Connection[Any]:
    return psycopg.connect(server.render_as_string(False), autocommit=True, **options)


class DatabasePool:
    """Databases of one template.

    :param tables: the tables of the template, each after those that it refers to.
    """

    def __init__(self, server: URL, template: str, tables: Sequence[Table] = ()) -> None:
        self._server = server
        self._template = template
        self._free: list[str] = []
        self._overseers: dict[str, psycopg.Connection[Any]] = {}
        self._states: dict[str, Any] = {}
        deletions = [f"DELETE FROM {table.name}" for table in reversed(tables)]
        self._reset = "; ".join([DROP_NEW, *deletions])

    @contextmanager
    def database(self) -> Iterator[str]:
        """Yield the URL of a database that is like the template."""
        name = self._free.pop() if self._free else self._create()
        yield url_of(self._server, name)
        if self._clear(name):
            self._free.append(name)
        else:
            self._overseers.pop(name).close()
            drop_database(self._server, name)

    def close(self) -> None:
        """Close the pool's own connections."""
        for connection in self._overseers.values():
            connection.close()

    def _create(self) -> str:
        name = create_database(self._server, self._template)
        connection = _connection(self._server.set(database=name), application_name=OVERSEER)
        connection.prepare_threshold = 0
        connection.execute("SET lock_timeout = 500")  # as of a prepared transaction
        connection.execute("SET statement_timeout = 1000")  # as of a view in a table's place
        self._overseers[name] = connection
        self._states[name] = connection.execute(STATE).fetchone()
        return name

    def _clear(self, name: str) -> bool:
        """Remove new rows and tables; return whether the database is like its template."""
        connection = self._overseers[name]
        try:
            if not _is_alone(connection):
                return False
            connection.execute(self._reset, prepare=False)
            return connection.execute(STATE).fetchone() == self._states[name]
        except psycopg.Error:  # There is no such table any more, or not even this connection.
            return False


def _is_alone(connection: psycopg.Connection[Any]) -> bool:
    """Wait a moment for closed connections to end; return whether there is no other."""
    for _ in range(20):
        if connection.execute(OTHERS).fetchone() == (0,):
            return True
        time.sleep(0.005)
    return False
