"""The findings of checks, and the error that names them all."""

from __future__ import annotations

from collections.abc import Iterable

from ...errors import CounterDeclarationError

Finding = tuple[str, str, str]

"""An id, a sentence, and a hint."""


def raise_findings(findings: Iterable[Finding]) -> None:
    """Raise one error that names all of `findings`, each once; without any, do nothing.

    :raises CounterDeclarationError: with the id, the sentence and the hint of each.
    """
    distinct = list(dict.fromkeys(findings))
    if distinct:
        first, *more = distinct
        raise CounterDeclarationError(*first, *more)
