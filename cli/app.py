"""The command line: ``tallied serve | migrate | check | seed | verify | rebuild | …``.

A command reads its options, calls one function of the package, and says what came of
it. Whatever the user can mend ends in one line on standard error and exit code 2;
exit code 1 is kept for what ``verify`` and ``check`` find.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, NoReturn

import typer

from .. import __version__, checks
from ..checks import Level, reports
from ..counters import Counters
from ..database import Database
from ..documentation import find_page
from ..errors import TalliedError
from ..migrations.run import migrate
from ..schema.printing import print_introspection, print_sdl
from ..seed import count_threads, seed
from ..server import development
from . import maintenance, runner, usage_errors
from .options import (
    App,
    Conditions,
    CounterNames,
    DatabaseURL,
    Format,
    option_of,
)
from .output import Output, has_chosen_json, print_error
from .progress import bar, resumable, say_migrated
from .serve import serve
from .startup import load, read_settings, run
from .token import issue_token

app = typer.Typer(
    help="Tallied: discussions over GraphQL, with cached counters that are exact.",
    epilog="Example: tallied serve --demo",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line, and exit with its code.

    :param arguments: instead of the process's own.
    """
    given = sys.argv[1:] if arguments is None else arguments
    try:
        code = app(given, standalone_mode=False, prog_name="tallied")
    except (typer.TyperException, TalliedError) as error:
        sentence = (
            usage_errors.explain(error) if isinstance(error, typer.TyperException) else str(error)
        )
        print_error(sentence, is_json=has_chosen_json(given))
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


app.command(epilog="Example: tallied serve --port 8080 --workers 2 --demo")(serve)


@app.command("migrate", epilog="Example: tallied migrate --database sqlite+aiosqlite:///forum.db")
def migrate_command(database: DatabaseURL = None, app: App = None, form: Format = "text") -> None:
    """Create Tallied's tables, or bring them up to date.

    Where they are, nothing happens; several processes may do it at once.
    """
    out = Output(form)

    async def work(opened: Database, _: Counters) -> None:
        say_migrated(out, await migrate(opened), opened.url)

    run(work, database, app, warn=out.warn)


@app.command(
    epilog="Example: tallied check --deep --fail-level warning",
    help="Say what is wrong with the settings, the database and what is stored."
    f"\n\nNothing is changed. Each finding has an id, which {find_page('checks.md')} describes."
    " Exit code 0: nothing as bad as the fail level. 1: something is.",
)
def check(
    database: DatabaseURL = None,
    app: App = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Recount every counter, too: this reads all comments.")
    ] = False,
    fail_level: Annotated[
        Level, typer.Option(help="From what on the exit code is 1: error or warning.")
    ] = "error",
    form: Format = "text",
) -> None:
    if app is None:
        settings, found = checks.read_settings(os.environ, database=database)
        if "TALLIED_ENVIRONMENT" not in os.environ and development.is_development(settings):
            settings = replace(settings, environment="development")
            Output(form).warn(
                "Checked for development, for which the database was last served;"
                " TALLIED_ENVIRONMENT=production checks for production."
            )
        found = checks.in_order([*found, *asyncio.run(checks.run_checks(settings, deep=deep))])
    else:
        found = asyncio.run(load(app, database).check_closed(deep=deep))
    found = checks.with_option(found, option_of(app, database))
    print(checks.as_json(found)) if form == "json" else checks.print_findings(found)
    if any(finding.level in ("error", fail_level) for finding in found):
        raise typer.Exit(1)


@app.command("seed", epilog="Example: tallied seed --threads 50 --comments 2000")
def seed_command(
    database: DatabaseURL = None,
    threads: Annotated[
        int, typer.Option(min=0, max=1_000_000, metavar="N", help="How many threads to add.")
    ] = 1000,
    comments: Annotated[
        int, typer.Option(min=0, max=100_000_000, metavar="N", help="How many comments to add.")
    ] = 100_000,
    random_seed: Annotated[
        int | None,
        typer.Option(metavar="N", help="The same number gives the same texts and sizes."),
    ] = None,
    form: Format = "text",
) -> None:
    """Add demo threads and comments.

    They are in several languages and scripts. What the database has already stays.
    Interrupt it when you like: each batch is a transaction, and the counters are exact
    after every one.
    """

    out = Output(form)

    async def work(opened: Database) -> None:
        say_migrated(out, await migrate(opened), opened.url)
        if await count_threads(opened):
            out.say("The database has threads already; the new ones are added to them.")
        with bar(out, "Writing demo data") as progress:
            await seed(
                opened,
                threads=threads,
                comments=comments,
                random_seed=random_seed,
                progress=progress,
            )

    runner.run(read_settings(database=database), work, warn=out.warn)
    sentence = f"Added {threads:,} threads and {comments:,} comments."
    out.say(sentence, threads=threads, comments=comments)


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
    form: Format = "text",
) -> None:
    """Recount, and list each wrong counter.

    Nothing is changed, and nobody who writes is kept waiting. Exit code 0: all are
    right. 1: some are wrong, and `tallied rebuild` corrects them.
    """
    is_json = form == "json"
    result = run(
        lambda opened, engine: maintenance.verify(
            opened,
            lambda drift: print(reports.as_json(drift) if is_json else drift),
            only=counters or (),
            where=where or (),
            sample=sample,
            with_amounts=amounts,
            counters=engine,
        ),
        database,
        app,
        must_exist=True,
        warn=Output(form).warn,
    )
    if not is_json:
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
    form: Format = "text",
) -> None:
    """Recount, and correct each wrong counter.

    Others may go on writing meanwhile: each batch is a short transaction of its own.
    Interrupt it when you like; it says how to go on.
    """
    out = Output(form)
    with bar(out, "Rebuilding counters") as show, resumable(out) as note:

        def progress(place: str, done: int, total: int) -> None:
            note(place)
            show(done, total)

        result = run(
            lambda opened, engine: maintenance.rebuild(
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
            warn=out.warn,
        )
    out.say(str(result), rows=result.rows, amounts=result.amounts)


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
    database: DatabaseURL = None,
    form: Format = "text",
) -> None:
    """Print a signed bearer token, and nothing else.

    It is signed with TALLIED_SECRET, which the server must have, too; in development, with a
    secret that is kept beside the database. Clients send it as `Authorization: Bearer TOKEN`.
    It is good until it expires: keep that short.
    """
    settings = read_settings(database=database)
    if "TALLIED_ENVIRONMENT" not in os.environ and development.is_development(settings):
        settings = replace(settings, environment="development")
    printed = issue_token(
        development.with_secret(settings),
        subject,
        name=name,
        is_moderator=moderator,
        expires=expires,
    )
    Output(form).say_value("token", printed)


@app.command("print-schema", epilog="Example: tallied print-schema > schema.graphql")
def print_schema(form: Format = "text") -> None:
    """Print the API's GraphQL schema.

    As text, it is in the schema definition language; as JSON, it is the answer to an introspection.
    """
    print(print_introspection() if form == "json" else print_sdl(), end="")


if __name__ == "__main__":
    main()
