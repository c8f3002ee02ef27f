"""System checks: what is wrong with an installation, before its users find out.

In the manner of Django's check framework: each finding has a stable id, a sentence and a
hint; an error refuses a start, a warning does not. ``docs/checks.md`` lists them. A check
changes nothing.

:func:`run_checks` is what ``tallied check`` does, and :func:`check` what a host does with a
database that it has open; at its start, only what is quick.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from ..counters import Counters
from ..counters.registry.session_classes import Installable
from ..database import Database
from ..database.messages import explain
from ..errors import Busy, ConfigurationError, Unavailable
from ..execution.executor import Executor
from ..host.access import HostRules
from ..migrations.opener import open_database
from ..schema.build import schema
from ..settings import Settings
from .access import check_access
from .configuration import check_settings as check_settings
from .connections import check_connection, check_idle_transactions, check_sessions
from .environment import read_settings as read_settings
from .files import check_file as check_file
from .finding import Finding as Finding
from .finding import Level as Level
from .finding import as_json as as_json
from .finding import in_order as in_order
from .finding import print_findings as print_findings
from .finding import with_option as with_option
from .host_counters import check_counters
from .poolers import check_pooler
from .stored_data import check_drift, check_targets, check_words
from .tables import check_tables

_REACH = "Mend that, and check again: nothing more of the database has been looked at."


async def run_checks(
    settings: Settings, rules: HostRules | None = None, *, deep: bool = False
) -> list[Finding]:
    """Run all checks for the database of the settings, which need not exist.

    :param rules: the host's, with the targets that it has registered; without them, no
        target is looked at.
    :param deep: recount every counter, too.
    """
    try:
        async with open_database(settings, must_exist=True, must_be_newest=False) as database:
            return await check(database, settings, rules, start=False, deep=deep)
    except ConfigurationError as error:
        return out_of_reach(error, settings, rules)


def out_of_reach(
    error: ConfigurationError,
    settings: Settings,
    rules: HostRules | None = None,
    *,
    has_viewers: bool | None = None,
) -> list[Finding]:
    """Return the findings for a database that cannot be used."""
    found = check_settings(settings, rules, has_viewers=has_viewers)
    found += _check_documents(settings)
    return in_order([*found, Finding("tallied.E001", str(error), _REACH)])


async def check(
    database: Database,
    settings: Settings,
    rules: HostRules | None = None,
    *,
    session_class: Installable | None = None,
    has_viewers: bool | None = None,
    start: bool = True,
    deep: bool = False,
) -> list[Finding]:
    """Return the faults of the settings and of an open database; errors come first.

    :param rules: by default, those that follow from the settings.
    :param session_class: what makes the sessions that write; by default, `database`.
    :param has_viewers: whether anybody can sign in; by default, whether there is a secret.
    :param start: leave out what reads rows.
    :param deep: recount every counter, too.
    """
    found = check_settings(settings, rules, has_viewers=has_viewers)
    if not start:
        found += _check_documents(settings)
    of_file = await check_file(database, settings, start=start)
    found += of_file
    if not any(finding.level == "error" for finding in of_file):
        found += await check_database(
            database, rules, session_class=session_class, start=start, deep=deep
        )
    return in_order(found)


async def check_database(
    database: Database,
    rules: HostRules | None = None,
    *,
    session_class: Installable | None = None,
    start: bool = True,
    deep: bool = False,
) -> list[Finding]:
    """Run the part of :func:`check` that queries the database."""
    found: list[Finding] = []
    try:
        async for finding in _ask(database, rules, session_class or database.sessions, start, deep):
            found.append(finding)
    except Busy as error:
        found.append(Finding("tallied.E001", str(error), _REACH))
    except (DBAPIError, OSError, Unavailable) as error:
        found.append(Finding("tallied.E001", str(explain(error, database.url)), _REACH))
    return found


async def _ask(
    database: Database, rules: HostRules | None, sessions: Installable, start: bool, deep: bool
) -> AsyncIterator[Finding]:
    engine, of_sessions = check_sessions(sessions)
    for finding in of_sessions:
        yield finding
    async with database.read() as connection:
        for finding in await check_pooler(database, connection):
            yield finding
            if finding.level == "error":
                return  # Statements would fail at random.
        of_tables = await connection.run_sync(
            lambda sync: list(check_tables(sync, engine, database.schema))
        )
        of_counters = await connection.run_sync(
            lambda sync: list(check_counters(sync, engine, sessions, database.schema))
        )
        for finding in (
            *await connection.run_sync(lambda sync: list(check_connection(sync))),
            *await connection.run_sync(lambda sync: _check_hosts_engine(sync, database)),
            *await connection.run_sync(lambda sync: list(check_access(sync, database.schema))),
            *of_tables,
            *of_counters,
        ):
            yield finding
        unreadable = any(
            f.level == "error" and f.id != "tallied.E024" for f in (*of_tables, *of_counters)
        )
        if start or unreadable:
            return  # What is stored cannot be read, or is not asked for.
        for finding in await connection.run_sync(lambda sync: list(check_words(sync))):
            yield finding
    if rules is not None:
        async for finding in check_targets(database, rules):
            yield finding
    if deep:
        async with database.plain.connect() as connection:
            drift = await connection.run_sync(lambda sync: list(check_drift(sync, engine)))
        for finding in drift:
            yield finding


def _check_hosts_engine(connection: Connection, database: Database) -> list[Finding]:
    """Check what Tallied sets on its own connections, and leaves as it is on a host's."""
    return [] if database.is_ours else list(check_idle_transactions(connection))


async def check_host_counters(database: Database) -> tuple[Counters, list[Finding]]:
    """Return the counters of `database` and its host, and what makes them wrong."""
    engine, found = check_sessions(database.sessions)
    async with database.read() as connection:
        found += await connection.run_sync(
            lambda sync: list(check_counters(sync, engine, database.sessions, database.schema))
        )
    return engine, found


def _check_documents(settings: Settings) -> list[Finding]:
    """Check that the server could start with its list of documents."""
    if not settings.persisted_documents:
        return []
    try:
        Executor(schema, settings)
    except ConfigurationError as error:
        return [Finding("tallied.E005", str(error), "The server does not start with that list.")]
    return []
