"""The isolation level of both transactions of a race."""

from __future__ import annotations

import pytest


@pytest.fixture
def level() -> str:
    """The isolation level, unless a test is parametrised with others."""
    return "READ COMMITTED"
