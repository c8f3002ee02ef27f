"""``tallied check``: report the faults of an installation."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from .. import checks
from ..checks import Finding, Level
from ..documentation import find_page, name_command
from ..server import development
from .applications import load_discussion
from .options import App, DatabaseURL, Format, format_option
from .output import Output


def check(
    database: DatabaseURL = None,
    app: App = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also recount every counter, which reads all comments.")
    ] = False,
    fail_level: Annotated[
        Level, typer.Option(help="The lowest level that makes the exit code 1.")
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
    print(checks.as_json(findings)) if form == "json" else print_findings(findings)
    if any(finding.level in ("error", fail_level) for finding in findings):
        raise typer.Exit(1)


check.__doc__ = f"""Report faults of the settings, the database and the stored data.

The command changes nothing. {find_page("reference/checks")} describes the id of each finding.
Exit code 0: no finding has the fail level. 1: at least one has.
"""


def print_findings(findings: list[Finding]) -> None:
    """Print the findings for people, in colours on a terminal."""
    console = Console(highlight=False, soft_wrap=True)
    for finding in findings:
        style = "bold red" if finding.level == "error" else "bold yellow"
        line = Text.assemble(
            (f"{finding.level} {finding.id}", style), f"  {name_command(finding.sentence)}"
        )
        console.print(line)
        console.print(Text(f"    HINT: {name_command(finding.hint)} ({finding.page})", "dim"))
    console.print(checks.summary(findings), style="" if findings else "green")
