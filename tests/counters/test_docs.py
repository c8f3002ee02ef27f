"""What the documentation of the engine shows is what happens."""

from __future__ import annotations

import doctest

import tallied.counters


def test_the_docstring_teaches_what_happens() -> None:
    options = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
    outcome = doctest.testmod(tallied.counters, optionflags=options)
    assert outcome.attempted > 20
    assert outcome.failed == 0
