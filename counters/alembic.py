"""A new counter on a table that has data: an Alembic migration that fills it in online.

::

    from alembic import op
    from tallied.counters import Count
    from tallied.counters.alembic import add_counter

    def upgrade() -> None:
        add_counter(Count(Thread.comment_count, via=Comment.thread))

    def downgrade() -> None:
        op.drop_column("thread", "comment_count")

`Thread` and `Comment` may be the app's models. A migration that is to mean the same for
ever maps classes of its own instead, with just the keys, the counter, and the columns
that it is computed from.

**What it does.** The column is added with its server default, which takes an instant
whatever the size of the table (PostgreSQL's documentation, "Adding a Column"; "ALTER
TABLE" of SQLite). That is committed at once, because until then nobody can use the table
(``ACCESS EXCLUSIVE``). Then the counter is rebuilt (:mod:`.rebuild`): in batches, while
others read and write. If it is cut short, run the migration again; it goes on from there.

**In which order to deploy.** The code that counts cannot run before the column is there,
and the code that does not count yet runs until it is replaced:

1. Run the migration. The old version does not know the column, and goes on undisturbed.
2. Deploy the version that declares the counter, everywhere.
3. When the last process of the old version has ended, rebuild the counter once more:
   ``counters.rebuild(connection, only=[Thread.comment_count])``. The old version may have
   written to threads that were filled in already. Just those are wrong now, so just those
   are locked.

Until step 3 the counter may be wrong, so do not show it before. Where nothing writes during
an upgrade, the migration is all there is to do.
"""

from __future__ import annotations

from ..extras import require

require("alembic", __name__)

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from alembic import op
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Column, Connection, Table, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import configure_mappers

from ..errors import CounterError
from .declarations.counter import Counter
from .declarations.mapped_rows import column_of
from .maintenance.rebuild import Progress, Rebuild
from .maintenance.transactions import transactional
from .registry.checks import check
from .registry.findings import raise_findings

_LOCK_NOT_AVAILABLE = "55P03"


def add_counter(
    counter: Counter,
    *,
    backfill: bool = True,
    batch_size: int = 1000,
    progress: Callable[[Progress], None] | None = None,
    lock_timeout: str = "5s",
) -> int:
    """Add the column of `counter`, and fill it in while others write; for ``upgrade()``.

    What the migration has done before this is committed, so give it a migration of its
    own, and configure Alembic with ``transaction_per_migration=True``. An index on the
    counter is for ``op.create_index`` to make, afterwards.

    :param backfill: False to add the column only, and to rebuild the counter later.
    :param batch_size: how many parents are locked at a time, at most.
    :param progress: called after each batch.
    :param lock_timeout: how long to wait for the table on PostgreSQL, with every later
        query of others behind it.
    :returns: how many parents had a counter to fill in.
    :raises CounterDeclarationError: for a counter that cannot work as declared.
    :raises CounterError: where the table cannot be locked within `lock_timeout`, and where
        Alembic runs in a transaction that it has not begun and so cannot commit.
    """
    configure_mappers()
    raise_findings(check((counter,))[1])
    context = op.get_context()
    if backfill and getattr(context, "_in_external_transaction", False):
        raise CounterError(
            f"{counter} cannot be filled in online within a transaction that Alembic has not "
            "begun: let env.py pass a connection that is in none, or add it with backfill=False "
            "and rebuild it afterwards."
        )
    if context.as_sql:
        _add_column(counter)
        op.execute(text(f"-- {counter} is at its default now; rebuild() fills it in"))
        return 0
    connection = op.get_bind()
    with _waiting(connection, counter, lock_timeout):
        table = _table(counter)
        existing = inspect(connection).get_columns(table.name, schema=table.schema)
        if _column(counter).name not in {existing_column["name"] for existing_column in existing}:
            _add_column(counter)
    if not backfill:
        return 0
    return _fill_in(context, counter, batch_size, progress)


def _fill_in(
    context: MigrationContext,
    counter: Counter,
    batch_size: int,
    progress: Callable[[Progress], None] | None,
) -> int:
    with context.autocommit_block():  # commits what was done so far
        assert context.connection is not None
        _end_driver_transaction(context.connection)
        with context.connection.engine.connect() as connection, transactional(connection):
            walk = Rebuild(connection, counter.parent, [counter], None, batch_size, progress)
            return walk.run()


def _end_driver_transaction(connection: Connection) -> None:
    """Release SQLite's lock, where a host's own listener has begun a transaction with BEGIN.

    Alembic's block calls ``Connection.begin()``, so the listener has run in AUTOCOMMIT too.
    """
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "sqlite" and driver.in_transaction:
        connection.exec_driver_sql("COMMIT")


def _add_column(counter: Counter) -> None:
    table, column = _table(counter), _column(counter)
    default: Any = column.server_default
    added: Column[Any] = Column(
        column.name,
        column.type,
        server_default=None if default is None else default.arg,
        nullable=column.nullable,
        comment=column.comment,
    )
    op.add_column(table.name, added, schema=table.schema)


@contextmanager
def _waiting(connection: Connection, counter: Counter, lock_timeout: str) -> Iterator[None]:
    """Wait for the table's lock no longer than `lock_timeout`."""
    if connection.dialect.name != "postgresql":
        yield
        return
    set_it = text("SELECT set_config('lock_timeout', :value, true)")
    before = connection.execute(text("SHOW lock_timeout")).scalar_one()
    connection.execute(set_it, {"value": lock_timeout})
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        raise CounterError(
            f"The table of {counter} was not to be had within {lock_timeout}, for a transaction "
            f"of somebody else; run the migration again."
        ) from error
    connection.execute(set_it, {"value": before})


def _table(counter: Counter) -> Table:
    table = counter.parent.local_table
    assert isinstance(table, Table)
    return table


def _column(counter: Counter) -> Column[Any]:
    column = column_of(counter.parent, counter.key)
    assert isinstance(column, Column)
    return column
