"""``tallied verify``: recount, and list wrong counters."""

from __future__ import annotations

from typing import Annotated

import typer

from ..checks import reports
from . import maintenance
from .options import App, Conditions, CounterNames, DatabaseURL, Format, format_option
from .output import Output
from .runner import run


def verify(
    counters: CounterNames = None,
    database: DatabaseURL = None,
    app: App = None,
    where: Conditions = None,
    sample: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Check only N objects of each class, chosen at random."
        ),
    ] = None,
    amounts: Annotated[
        bool,
        typer.Option(
            help="Also recompute derived columns, such as the words of comments: reads all."
        ),
    ] = True,
    form: Format = "text",
) -> None:
    """Recount, and list wrong counters.

    The command changes nothing and blocks no writer. Exit code 0: all counters are
    right. 1: some are wrong, and `tallied rebuild` corrects them.
    """
    is_json = form == "json"
    result = run(
        lambda connected, engine: maintenance.verify(
            connected,
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
        Output(form).say(reports.with_option(str(result), format_option(app, database)))
    if result.drifted:
        raise typer.Exit(1)
