"""``tallied check``: say what is wrong with an installation."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import Annotated

import typer

from .. import checks
from ..checks import Level
from ..documentation import find_page
from ..server import development
from .applications import load_discussion
from .options import App, DatabaseURL, Format, format_option
from .output import Output


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
        settings, findings = checks.read_settings(os.environ, database=database)
        if "TALLIED_ENVIRONMENT" not in os.environ and development.is_development(settings):
            settings = replace(settings, environment="development")
            Output(form).warn(
                "Checked for development, for which the database was last served;"
                " TALLIED_ENVIRONMENT=production checks for production."
            )
        findings = checks.in_order(
            [*findings, *asyncio.run(checks.run_checks(settings, deep=deep))]
        )
    else:
        findings = asyncio.run(load_discussion(app, database).check_closed(deep=deep))
    findings = checks.with_option(findings, format_option(app, database))
    print(checks.as_json(findings)) if form == "json" else checks.print_findings(findings)
    if any(finding.level in ("error", fail_level) for finding in findings):
        raise typer.Exit(1)


check.__doc__ = f"""Say what is wrong with the settings, the database and what is stored.

Nothing is changed. Each finding has an id, which {find_page("checks.md")} describes.
Exit code 0: nothing as bad as the fail level. 1: something is.
"""
