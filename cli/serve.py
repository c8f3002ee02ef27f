"""``tallied serve``: migrate, check, add demo data if requested, and serve."""

from __future__ import annotations

import webbrowser
from dataclasses import replace
from functools import partial
from threading import Thread
from typing import Annotated

import typer

from .. import checks
from ..checks import Finding
from ..counters import Counters
from ..database import Database
from ..documentation import find_command
from ..errors import ConfigurationError
from ..migrations.runner import migrate
from ..seed import count_threads, seed
from ..server import development, process
from ..settings import SETTINGS, Guests, Settings
from ..transport.playground import Playground
from .options import DatabaseURL, Format, setting_option
from .output import Output
from .progress import bar, print_migration
from .runner import read_settings, run

_GUESTS = {
    "read": "Guests may only read; to let them write, pass --guests write, or set TALLIED_GUESTS.",
    "write": "Guests may read and write; to let them only read, pass --guests read, or set "
    "TALLIED_GUESTS.",
    "moderate": "Guests may write and moderate, to try things out. Pass --guests read or write, or"
    " set TALLIED_GUESTS, before others can reach this server.",
}

_NEXT_STEPS = """\
Next:
  {url} leads to the playground and the discussions.
  {command} verify{option} recounts every counter, also while this server runs.
  {command} token 42{option} prints a token, to sign in as the person 42."""


def serve(
    host: Annotated[str | None, setting_option("host", "ADDRESS")] = None,
    port: Annotated[int | None, setting_option("port", "N")] = None,
    database: DatabaseURL = None,
    workers: Annotated[int | None, setting_option("workers", "N")] = None,
    guests: Annotated[Guests | None, setting_option("guests")] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Add demo data if there is no thread yet.")
    ] = False,
    opens: Annotated[
        bool, typer.Option("--open", help="Open the server's page in a browser, too.")
    ] = False,
    form: Format = "text",
) -> None:
    """Serve the API and, in development, its playground.

    The database is migrated first; Ctrl-C stops the server. Options that are not given are
    read from TALLIED_HOST, TALLIED_PORT, TALLIED_WORKERS, TALLIED_DATABASE and TALLIED_GUESTS.
    """
    out = Output(form)
    settings = read_settings(
        host=host, port=port, workers=workers, database=database, guests=guests
    )
    if (demo or opens) and settings.playground is None:
        settings = replace(settings, playground=True)
    if settings.guests == "moderate" and guests is None and not process.is_local(settings.host):
        raise ConfigurationError(
            f"Everyone who reaches {settings.host} could moderate, by {SETTINGS['guests']}: pass"
            " --guests read or write, or --guests moderate to allow that."
        )

    async def prepare(opened: Database, _: Counters) -> None:
        findings.extend(await checks.check_file(opened, settings, start=True))
        _refuse(out, findings)  # A damaged file must not be migrated.
        print_migration(out, await migrate(opened), opened.url)
        findings.extend(await checks.check_database(opened))
        _refuse(out, findings)
        if demo:
            await _fill_in(out, opened)

    with process.listen(settings.host, settings.port) as listener:
        findings = checks.check_settings(settings)
        _refuse(out, findings)
        run(prepare, database, settings=settings, warn=out.warn)
        settings = development.begin(settings)
        out.say(_GUESTS[settings.guests], guests=settings.guests)
        has_page = settings.shows_playground and Playground().is_complete
        announce = partial(
            _announce, out, settings, findings, has_page=has_page, opens_browser=opens
        )
        if settings.shows_playground and not has_page:
            out.warn(
                "warning: The playground's assets are not installed, so a browser is shown how to"
                " get them; the API works without."
            )
        if not process.run(settings, listener, announce):
            raise typer.Exit(3)
    out.say_last("Tallied has stopped.")


def _announce(
    out: Output,
    settings: Settings,
    findings: list[Finding],
    *,
    has_page: bool,
    opens_browser: bool,
) -> None:
    """Say what the server has started with, and what to do next."""
    for warning in checks.in_order(findings):
        _print(out, warning)
    address = process.address(settings)
    what = "GraphiQL" if has_page else "the API, without a playground,"
    sentence = f"Tallied is serving {address} ({what} at /graphql). Press Ctrl-C to stop."
    out.say(sentence, url=address, playground=has_page)
    if settings.environment == "development" and not out.is_json:
        option = process.database_option(settings)
        out.say(_NEXT_STEPS.format(command=find_command(), option=option, url=address))
    if opens_browser:  # A browser in a terminal is waited for, and the server must not be.
        Thread(target=_open_browser, args=(out, address), daemon=True).start()


async def _fill_in(out: Output, database: Database) -> None:
    """Write demo data into a database without threads, as a whole or not at all."""
    threads = await count_threads(database)
    if threads:
        number = "1 thread" if threads == 1 else f"{threads:,} threads"
        out.say(
            f"The database has {number} already, so no demo data is written; `tallied seed` adds to"
            " them.",
            threads=threads,
        )
        return
    out.say("The database has no threads yet: writing demo data.", threads=0)
    with bar(out, "Writing demo data") as progress:
        await seed(database, at_once=True, progress=progress)


def _open_browser(out: Output, address: str) -> None:
    if not webbrowser.open(address):
        out.warn(f"warning: No browser could be opened; open {address} yourself.")


def _refuse(out: Output, findings: list[Finding]) -> None:
    """Stop at the first error found; warnings are printed once the start succeeds."""
    errors = [finding for finding in checks.in_order(findings) if finding.level == "error"]
    for error in errors:
        _print(out, error)
    if errors:
        raise typer.Exit(2)


def _print(out: Output, finding: Finding) -> None:
    out.warn(str(finding), level=finding.level, id=finding.id, hint=finding.hint)
