"""The command line: ``tallied serve | migrate | check | seed | verify | rebuild | …``.

A command reads its options, calls one function of the package, and says what came of
it. Whatever the user can mend ends in one line on standard error and exit code 2;
exit code 1 is kept for what ``verify`` and ``check`` find.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Annotated, Literal, NoReturn, TypeVar

import typer

from . import __version__, apps, checks, commands, reports, server, upkeep
from .checks import Finding, Level
from .counters import Counters
from .database import Database
from .discussion import Discussion
from .errors import ConfigurationError, TalliedError
from .issuing import issue_token
from .migrations.run import migrate
from .models.counters import counters as tallied_counters
from .options import App, Conditions, CounterNames, DatabaseURL, option_of, told_with
from .schema.sdl import print_introspection, print_sdl
from .seed import has_threads, seed
from .settings import Guests, Settings
from .terminal import bar, resumable, say_migrated

T = TypeVar("T")

app = typer.Typer(
    help="Tallied: discussions over GraphQL, with cached counters that are exact.",
    epilog="Example: tallied serve --demo",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_GUESTS = {
    "read": "Guests may only read; to let them write, pass --guests write, or set TALLIED_GUESTS.",
    "write": "Guests may read and write; to let them only read, pass --guests read, or set "
    "TALLIED_GUESTS.",
    "moderate": "Guests may do everything, as moderators may: for trying things out. Pass --guests "
    "read or write, or set TALLIED_GUESTS, before others can reach this server.",
}


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line, and exit with its code.

    :param arguments: instead of the process's own.
    """
    try:
        code = app(arguments, standalone_mode=False, prog_name="tallied")
    except typer.TyperException as error:
        message = " ".join(error.format_message().split()).rstrip(".")
        context = getattr(error, "ctx", None)
        print(
            f"error: {message}. See `{context.command_path if context else 'tallied'} --help`.",
            file=sys.stderr,
        )
        code = 2
    except TalliedError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    sys.exit(code or 0)


@app.callback(invoke_without_command=True)
def tallied(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version, and stop.", is_eager=True)
    ] = False,
) -> None:
    if version:
        print(f"tallied {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit


@app.command(epilog="Example: tallied serve --port 8080 --workers 2 --demo")
def serve(
    host: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="The address to listen on. [default: 127.0.0.1]"),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, metavar="N", help="The port to listen on. [default: 8000]"),
    ] = None,
    database: DatabaseURL = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, max=64, metavar="N", help="How many processes share the port. [default: 1]"
        ),
    ] = None,
    guests: Annotated[
        Guests | None,
        typer.Option(
            help="What those may do who have not signed in: read; write threads and comments, "
            "too; or moderate, which is everything, and not for production. [default: read]"
        ),
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Fill in demo data if there is no thread yet.")
    ] = False,
) -> None:
    """Serve the API and its playground.

    The database is migrated first; Ctrl-C stops the server. What is not given here is
    read from TALLIED_HOST, TALLIED_PORT, TALLIED_WORKERS, TALLIED_DATABASE and TALLIED_GUESTS.
    """
    settings = _settings(host=host, port=port, workers=workers, database=database, guests=guests)

    async def prepare(opened: Database) -> None:
        await _migrate(opened)
        found.extend(await checks.check_database(opened))
        _refuse(found)
        if demo and not await has_threads(opened):
            with bar("Writing demo data") as progress:
                await seed(opened, progress=progress)

    with server.listen(settings.host, settings.port) as listener:
        found = checks.check_settings(settings)
        _refuse(found)
        commands.run(settings, prepare)
        print(_GUESTS[settings.guests])
        address = server.address(settings)
        ready = f"Tallied is serving {address} (GraphiQL at /graphql). Press Ctrl-C to stop."

        def announce() -> None:
            for warning in checks.in_order(found):
                print(warning, file=sys.stderr)
            print(ready, flush=True)

        if not server.run(settings, listener, announce):
            raise typer.Exit(3)
    print("Tallied has stopped.")


@app.command("migrate", epilog="Example: tallied migrate --database sqlite+aiosqlite:///forum.db")
def migrate_command(database: DatabaseURL = None, app: App = None) -> None:
    """Create Tallied's tables, or bring them up to date.

    Where they are, nothing happens; several processes may do it at once.
    """
    _run(_migrate, database, app)


@app.command(epilog="Example: tallied check --deep --fail-level warning")
def check(
    database: DatabaseURL = None,
    app: App = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Recount every counter, too: this reads all comments.")
    ] = False,
    fail_level: Annotated[
        Level, typer.Option(help="From what on the exit code is 1: error or warning.")
    ] = "error",
    form: Annotated[
        Literal["text", "json"], typer.Option("--format", help="For people, or for programs.")
    ] = "text",
) -> None:
    """Say what is wrong with the settings, the database and what is stored.

    Nothing is changed. Each finding has an id, which docs/checks.md describes. Exit code 0:
    nothing as bad as the fail level. 1: something is.
    """
    if app is None:
        settings, found = checks.read_settings(os.environ, database=database)
        found = checks.in_order([*found, *asyncio.run(checks.run_checks(settings, deep=deep))])
    else:
        found = asyncio.run(_load(app, database).check_closed(deep=deep))
    found = checks.with_option(found, option_of(app, database))
    print(checks.as_json(found)) if form == "json" else checks.print_findings(found)
    if any(finding.level in ("error", fail_level) for finding in found):
        raise typer.Exit(1)


@app.command("seed", epilog="Example: tallied seed --threads 50 --comments 2000")
def seed_command(
    database: DatabaseURL = None,
    threads: Annotated[
        int, typer.Option(min=0, metavar="N", help="How many threads to add.")
    ] = 1000,
    comments: Annotated[
        int, typer.Option(min=0, metavar="N", help="How many comments to add.")
    ] = 100_000,
    random_seed: Annotated[
        int | None,
        typer.Option(metavar="N", help="The same number gives the same texts and sizes."),
    ] = None,
) -> None:
    """Add demo threads and comments.

    They are in several languages and scripts. What the database has already stays.
    Interrupt it when you like: each batch is a transaction, and the counters are exact
    after every one.
    """

    async def work(opened: Database) -> None:
        await _migrate(opened)
        if await has_threads(opened):
            print("The database has threads already; the new ones are added to them.")
        with bar("Writing demo data") as progress:
            await seed(
                opened,
                threads=threads,
                comments=comments,
                random_seed=random_seed,
                progress=progress,
            )

    commands.run(_settings(database=database), work)
    print(f"Added {threads:,} threads and {comments:,} comments.")


@app.command(epilog="Example: tallied verify Thread.word_count --where 'created_at >= 2026-01-01'")
def verify(
    counters: CounterNames = None,
    database: DatabaseURL = None,
    app: App = None,
    where: Conditions = None,
    sample: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Look only at N of each class, drawn at random."),
    ] = None,
    amounts: Annotated[
        bool,
        typer.Option(
            help="Compute derived columns again, too, as each comment's words: reads all."
        ),
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Recount, and list each wrong counter.

    Nothing is changed, and nobody who writes is kept waiting. Exit code 0: all are
    right. 1: some are wrong, and `tallied rebuild` corrects them.
    """
    form = reports.as_json if as_json else str
    result = _run(
        lambda opened, engine: upkeep.verify(
            opened,
            lambda drift: print(form(drift)),
            only=counters or (),
            where=where or (),
            sample=sample,
            with_amounts=amounts,
            counters=engine,
        ),
        database,
        app,
        must_exist=True,
    )
    if not as_json:
        print(reports.with_option(str(result), option_of(app, database)))
    if result.drifted:
        raise typer.Exit(1)


@app.command(epilog="Example: tallied rebuild --amounts --batch-size 500")
def rebuild(
    counters: CounterNames = None,
    database: DatabaseURL = None,
    app: App = None,
    where: Conditions = None,
    amounts: Annotated[
        bool,
        typer.Option("--amounts", help="First correct derived columns, too: each comment's words."),
    ] = False,
    after: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Go on after the ID that an earlier run has reached."),
    ] = None,
    batch_size: Annotated[
        int,
        typer.Option(
            min=1, max=100_000, metavar="N", help="How many rows one transaction locks at most."
        ),
    ] = 1000,
) -> None:
    """Recount, and correct each wrong counter.

    Others may go on writing meanwhile: each batch is a short transaction of its own.
    Interrupt it when you like; it says how to go on.
    """
    with bar("Rebuilding counters") as show, resumable() as note:

        def progress(place: str, done: int, total: int) -> None:
            note(place)
            show(done, total)

        result = _run(
            lambda opened, engine: upkeep.rebuild(
                opened,
                only=counters or (),
                where=where or (),
                after=after,
                with_amounts=amounts,
                batch_size=batch_size,
                progress=progress,
                counters=engine,
            ),
            database,
            app,
            must_exist=True,
        )
    print(result)


@app.command(epilog="Example: tallied token 42 --name Ada --expires 12h")
def token(
    subject: Annotated[
        str, typer.Argument(metavar="SUBJECT", help="The identity that the token stands for.")
    ],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The display name. [default: none]")
    ] = None,
    moderator: Annotated[
        bool, typer.Option("--moderator", help="Let them change what others wrote.")
    ] = False,
    expires: Annotated[
        str, typer.Option(metavar="DURATION", help="After how long: 90s, 15m, 1h, 7d.")
    ] = "1h",
) -> None:
    """Print a signed bearer token, and nothing else.

    It is signed with TALLIED_SECRET, which the server must have, too. Clients send it as
    `Authorization: Bearer TOKEN`. It is good until it expires: keep that short.
    """
    print(issue_token(_settings(), subject, name=name, is_moderator=moderator, expires=expires))


@app.command("print-schema", epilog="Example: tallied print-schema > schema.graphql")
def print_schema(
    introspection: Annotated[
        bool, typer.Option("--introspection", help="As JSON: the answer to an introspection.")
    ] = False,
) -> None:
    """Print the API's GraphQL schema."""
    print(print_introspection() if introspection else print_sdl(), end="")


async def _migrate(opened: Database, _: Counters = tallied_counters) -> None:
    say_migrated(await migrate(opened), opened.url)


def _settings(**given: str | int | None) -> Settings:
    values = {name: value for name, value in given.items() if value is not None}
    return replace(Settings.from_environ(os.environ), **values)  # type: ignore[arg-type]


def _load(app: str, database: str | None) -> Discussion:
    if database is not None:
        raise ConfigurationError(
            "--app and --database contradict each other; leave --database out, since the"
            " application has one."
        )
    return apps.load(app)


def _run(
    work: Callable[[Database, Counters], Awaitable[T]],
    database: str | None,
    app: str | None,
    *,
    must_exist: bool = False,
) -> T:
    """Run on the database of an application, with its counters; by default, on the settings'."""
    with told_with(option_of(app, database)):
        if app is not None:
            return apps.run(_load(app, database), work, must_exist=must_exist)
        return commands.run(
            _settings(database=database),
            lambda opened: work(opened, tallied_counters),
            must_exist=must_exist,
        )


def _refuse(found: list[Finding]) -> None:
    """Go no further where an error has been found; warnings are told once the start succeeds."""
    errors = [finding for finding in checks.in_order(found) if finding.level == "error"]
    for error in errors:
        print(error, file=sys.stderr)
    if errors:
        raise typer.Exit(2)


if __name__ == "__main__":
    main()
