"""System checks find faults of an installation before its users do.

As in Django's check framework, each finding has a stable id, a sentence and a hint; an
error prevents a start, a warning does not. ``docs/reference/checks.md`` lists them. A check changes
nothing.

``tallied check`` calls :func:`run_checks`; a host calls :func:`check` for an open database,
at its start with the quick checks only.
"""

from __future__ import annotations

from ..extras import require

require("app", __name__)

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

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
from .finding import summary as summary
from .finding import with_option as with_option
from .host_counters import check_counters
from .poolers import check_pooler
from .stored_data import check_depth, check_drift, check_purge, check_targets, check_words
from .tables import check_tables

_REACH = "Correct that, and check again: the rest of the database has not been checked."


async def run_checks(
    settings: Settings, rules: HostRules | None = None, *, deep: bool = False
) -> list[Finding]:
    """Run all checks for the database of the settings, which need not exist.

    :param rules: the host's rules with its registered targets; without them, no target is
        checked.
    :param deep: also recount every counter.
    """
    try:
        async with open_database(settings, must_exist=True, must_be_newest=False) as database:
            return await check(database, settings, rules, start=False, deep=deep)
    except ConfigurationError as error:
        return check_unreachable(error, settings, rules)


def check_unreachable(
    error: ConfigurationError,
    settings: Settings,
    rules: HostRules | None = None,
    *,
    has_viewers: bool | None = None,
) -> list[Finding]:
    """Return the findings for a database that cannot be used."""
    findings = check_settings(settings, rules, has_viewers=has_viewers)
    findings += _check_documents(settings)
    return in_order([*findings, Finding("tallied.E001", str(error), _REACH)])


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

    :param rules: by default, the rules that follow from the settings.
    :param session_class: the maker of the sessions that write; by default, that of `database`.
    :param has_viewers: whether viewers can sign in; by default, whether there is a secret.
    :param start: skip the checks that read rows.
    :param deep: also recount every counter.
    """
    findings = check_settings(settings, rules, has_viewers=has_viewers)
    if not start:
        findings += _check_documents(settings)
    file_findings = await check_file(database, settings, start=start)
    findings += file_findings
    if not any(finding.level == "error" for finding in file_findings):
        findings += await check_database(
            database,
            rules,
            settings=settings,
            session_class=session_class,
            start=start,
            deep=deep,
        )
    return in_order(findings)


async def check_database(
    database: Database,
    rules: HostRules | None = None,
    *,
    settings: Settings | None = None,
    session_class: Installable | None = None,
    start: bool = True,
    deep: bool = False,
) -> list[Finding]:
    """Run the part of :func:`check` that queries the database."""
    findings: list[Finding] = []
    limits = rules or HostRules.from_settings(settings or Settings())
    try:
        async for finding in _check_open(
            database, rules, limits, session_class or database.sessions, start, deep
        ):
            findings.append(finding)
    except Busy as error:
        findings.append(Finding("tallied.E001", str(error), _REACH))
    except (DBAPIError, OSError, Unavailable) as error:
        findings.append(Finding("tallied.E001", str(explain(error, database.url)), _REACH))
    return findings


async def _check_open(
    database: Database,
    rules: HostRules | None,
    limits: HostRules,
    sessions: Installable,
    start: bool,
    deep: bool,
) -> AsyncIterator[Finding]:
    engine, session_findings = check_sessions(sessions)
    for finding in session_findings:
        yield finding
    async with database.read() as connection:
        for finding in await check_pooler(database, connection):
            yield finding
            if finding.level == "error":
                return  # Statements would fail randomly.
        schema = database.schema
        table_findings = await _run(connection, check_tables, engine, schema)
        counter_findings = await _run(connection, check_counters, engine, sessions, schema)
        # The second is of options that Tallied sets on its own connections only.
        for finding in (
            *await _run(connection, check_connection),
            *([] if database.is_ours else await _run(connection, check_idle_transactions)),
            *await _run(connection, check_access, schema),
            *table_findings,
            *counter_findings,
        ):
            yield finding
        unreadable = any(
            f.level == "error" and f.id != "tallied.E024"
            for f in (*table_findings, *counter_findings)
        )
        if start or unreadable:
            return  # Stored rows cannot be read, or are not to be checked.
        for finding in (
            *await _run(connection, check_words),
            *await _run(connection, check_purge, limits.restore_days),
            *await _run(connection, check_depth, limits.reply_depth),
        ):
            yield finding
    if rules is not None:
        async for finding in check_targets(database, rules):
            yield finding
    if deep:
        async with database.plain.connect() as connection:
            drift = await _run(connection, check_drift, engine)
        for finding in drift:
            yield finding


async def _run(
    connection: AsyncConnection, check: Callable[..., Iterable[Finding]], *arguments: Any
) -> list[Finding]:
    """Run a check of a blocking connection."""
    return await connection.run_sync(lambda sync: list(check(sync, *arguments)))


async def check_host_counters(database: Database) -> tuple[Counters, list[Finding]]:
    """Return the counters of `database` and its host, and what makes them wrong."""
    engine, findings = check_sessions(database.sessions)
    async with database.read() as connection:
        findings += await _run(
            connection, check_counters, engine, database.sessions, database.schema
        )
    return engine, findings


def _check_documents(settings: Settings) -> list[Finding]:
    """Check that the server could start with its list of documents."""
    if not settings.persisted_documents:
        return []
    try:
        Executor(schema, settings)
    except ConfigurationError as error:
        return [Finding("tallied.E005", str(error), "The server does not start with that list.")]
    return []
