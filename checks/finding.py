"""Findings of the checks, similar to the messages of Django's system checks."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Literal, TypeAlias

import orjson

from ..documentation import find_finding, find_page
from . import reports

Level: TypeAlias = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One fault; ``docs/reference/checks.md`` lists all of them."""

    id: str
    """Stable: ``tallied.E…`` for an error, ``tallied.W…`` for a warning."""
    sentence: str
    """The fault."""
    hint: str
    """The remedy."""

    @property
    def level(self) -> Level:
        """The severity: an error breaks or falsifies something; a warning may be intended."""
        return "error" if self.id.rpartition(".")[2].startswith("E") else "warning"

    @property
    def page(self) -> str:
        """Where the documentation describes it."""
        return find_finding(self.id)

    def __str__(self) -> str:
        return f"{self.level}: ({self.id}) {self.sentence} HINT: {self.hint}"


def with_option(findings: list[Finding], option: str) -> list[Finding]:
    """Add the option that names the database to the commands of the findings."""
    return [
        replace(
            finding,
            sentence=reports.with_option(finding.sentence, option),
            hint=reports.with_option(finding.hint, option),
        )
        for finding in findings
    ]


def in_order(findings: list[Finding]) -> list[Finding]:
    """Sort the findings: errors, then warnings, each by id."""
    return sorted(findings, key=lambda finding: (finding.level, finding.id))


def as_json(findings: list[Finding]) -> str:
    """Return a JSON array of the findings: id, level, sentence, hint and page."""
    rows = [{**asdict(f), "level": f.level, "page": f.page} for f in findings]
    return orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode()


def summary(findings: list[Finding]) -> str:
    """Return the number of findings as a sentence."""
    if not findings:
        return "All checks have passed."
    levels = [finding.level for finding in findings]
    numbers = {name: levels.count(name) for name in sorted(set(levels))}
    counts = [f"{number} {name}{'s' if number > 1 else ''}" for name, number in numbers.items()]
    page = find_page("reference/checks")
    return f"The checks have found {' and '.join(counts)}; {page} says more."
