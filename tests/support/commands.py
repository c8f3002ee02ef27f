"""The command line, run in this process, and raw SQL on the database beside it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import NullPool, Row, create_engine, make_url, text

import tallied
from tallied.cli.app import main
from tallied.database.messages import display_url

VERSIONS = Path(tallied.__file__).parent / "migrations" / "versions"
NEWEST = max(re.findall(r"tallied_\d+", " ".join(map(str, VERSIONS.glob("*.py")))))
"""The newest revision of the database."""

DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}


@dataclass(frozen=True)
class Result:
    """What a command has printed, and its exit code."""

    code: int
    out: str
    err: str


def shown(url: str) -> str:
    """Return the address of a test's database as commands print it."""
    return display_url(make_url(url))


def option(url: str) -> str:
    """Return the option of a test's database as commands print it, which may have no password."""
    return f"--database {url if url.startswith('sqlite') else '…'}"


class Commands:
    """``commands("verify", "--sample", "3")`` runs ``tallied verify --sample 3``."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Result:
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        printed = self._capsys.readouterr()
        return Result(int(str(ended.value.code)), printed.out, printed.err)


def sql(url: str, *statements: str, **values: Any) -> list[Row[Any]]:
    """Run statements past the ORM, in one transaction; the rows of the last one."""
    parsed = make_url(url)
    engine = create_engine(
        parsed.set(drivername=DRIVERS[parsed.get_backend_name()]), poolclass=NullPool
    )
    with engine.begin() as connection:
        results = [connection.execute(text(statement), values) for statement in statements]
        return list(results[-1]) if results[-1].returns_rows else []
