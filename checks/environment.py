"""The settings of the environment, with all of their faults at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches

from ..documentation import find_page
from ..errors import ConfigurationError
from ..settings import SETTINGS, Settings
from .finding import Finding

_PREFIX = "TALLIED_"
_SECRETS = ("TALLIED_SECRET", "TALLIED_PREVIOUS_SECRET")


def read_settings(
    environ: Mapping[str, str], *, database: str | None = None
) -> tuple[Settings, list[Finding]]:
    """Return the settings of `environ` without the unusable ones, and a finding for each of these.

    :param database: in place of what `environ` has.
    """
    findings: list[Finding] = []
    usable: dict[str, str] = {}
    variables = {setting.variable for setting in SETTINGS.values()}
    for name in sorted(name for name in environ if name.startswith(_PREFIX)):
        if name not in variables:
            findings.append(_unknown_finding(name, variables))
        elif name != "TALLIED_PREVIOUS_SECRET" and _is_usable({name: environ[name]}, findings):
            usable[name] = environ[name]
    previous = environ.get("TALLIED_PREVIOUS_SECRET", "")
    if previous:
        # It is nothing without the other one, which has been told of where it is at fault.
        secret = {name: environ[name] for name in _SECRETS if name in (*usable, _SECRETS[1])}
        at_fault = bool(environ.get("TALLIED_SECRET")) and "TALLIED_SECRET" not in usable
        if not at_fault and _is_usable(secret, findings):
            usable |= secret
    settings = Settings.from_environ(usable)
    return (settings if database is None else replace(settings, database=database)), findings


def _is_usable(values: Mapping[str, str], findings: list[Finding]) -> bool:
    try:
        Settings.from_environ(values)
    except ConfigurationError as error:
        findings.append(
            Finding("tallied.E002", str(error), "Until then, its default is what is checked here.")
        )
        return False
    return True


def _unknown_finding(name: str, variables: set[str]) -> Finding:
    close = get_close_matches(name, variables, n=1, cutoff=0.8)
    return Finding(
        "tallied.W007",
        f"There is no setting {name}, so it changes nothing.",
        f"Did you mean {close[0]}?"
        if close
        else f"Remove it; {find_page('reference/settings')} lists the settings.",
    )
