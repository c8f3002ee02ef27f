"""The command line: ``tallied serve | migrate | check | seed | verify | rebuild | …``.

A command reads its options, calls one function of the package, and prints the result.
An error that the user can correct ends in one line on standard error and exit code 2;
exit code 1 is reserved for findings of ``verify`` and ``check``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from inspect import getdoc
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from .. import __version__
from ..documentation import find_command, name_command
from ..errors import TalliedError
from . import usage_errors
from .output import has_chosen_json, print_error

EXAMPLES = {
    "serve": "serve --port 8080 --workers 2 --demo",
    "migrate": "migrate --database sqlite+aiosqlite:///forum.db",
    "check": "check --deep --fail-level warning",
    "seed": "seed --threads 50 --comments 2000",
    "verify": "verify Thread.word_count --where 'created_at >= 2026-01-01'",
    "rebuild": "rebuild --amounts --batch-size 500",
    "purge": "purge --days 30",
    "token": "token 42 --name Ada --expires 12h",
    "print-schema": "print-schema > schema.graphql",
}
"""An example of each command. The module of the command has its name."""


@cache
def load_command(name: str) -> Any:
    """Import the command of this name."""
    place = name.replace("-", "_")
    command = typer.Typer(
        add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
    )
    function = getattr(import_module(f".{place}", __package__), place)
    text = name_command(getdoc(function) or "")
    example = f"Example: {find_command()} {EXAMPLES[name]}"
    command.command(name, help=text, epilog=example)(function)
    return typer.main.get_command(command)


class Commands(Mapping[str, Any]):
    """The commands by name.

    A command is imported when it is used. Otherwise ``tallied --version`` and ``tallied token``
    would wait for the schema, the migrations and the server to load, which takes a second.
    """

    def __getitem__(self, name: str) -> Any:
        if name not in EXAMPLES:
            raise KeyError(name)
        return load_command(name)

    def __iter__(self) -> Iterator[str]:
        return iter(EXAMPLES)

    def __len__(self) -> int:
        return len(EXAMPLES)


class Group(TyperGroup):
    """The group of Tallied's commands."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "commands": Commands()})


app = typer.Typer(
    cls=Group,
    help="Tallied: discussions over GraphQL, with cached counters that are exact.",
    epilog=f"Example: {find_command()} serve --demo",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line, and exit with its code.

    :param arguments: by default, those of the process.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        code = app(arguments, standalone_mode=False, prog_name=find_command())
    except (typer.TyperException, TalliedError) as error:
        sentence = (
            usage_errors.explain(error) if isinstance(error, typer.TyperException) else str(error)
        )
        print_error(sentence, is_json=has_chosen_json(arguments))
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


if __name__ == "__main__":
    main()
