"""The examples of the counters' docstring run as shown."""

from __future__ import annotations

import doctest

import tallied.counters


def test_examples_of_the_docstring_run() -> None:
    (example,) = doctest.DocTestFinder(recurse=False).find(tallied.counters)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL)
    outcome = runner.run(example, clear_globs=False)
    example.globs["session"].close()
    example.globs["engine"].dispose()
    assert outcome.attempted > 20
    assert outcome.failed == 0
