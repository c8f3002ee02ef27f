"""A database with demo data for the commands."""

from __future__ import annotations

import pytest
from support.commands import Commands


@pytest.fixture
def seeded(empty_url: str, commands: Commands) -> str:
    """The URL of a database with some threads that have comments."""
    size = ("--threads", "12", "--comments", "200", "--random-seed", "5")
    assert commands("seed", "--database", empty_url, *size).code == 0
    return empty_url
