"""After any history of a discussion, stored and true numbers are equal, and so is memory."""

from __future__ import annotations

import pytest
from support.forest import Forest
from support.state_machines import run_machine


def test_any_history_of_discussions_is_exact(with_tables: None, empty_url: str) -> None:
    run_machine(Forest, url=empty_url, examples=2, steps=20)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(6))
def test_long_histories_of_discussions_are_exact(
    with_tables: None, empty_url: str, part: int
) -> None:
    run_machine(Forest, url=empty_url, examples=4 + 2 * part, steps=40)
