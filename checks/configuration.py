"""Checks of the settings and the rules: dangers and contradictions."""

from __future__ import annotations

from collections.abc import Iterator

from ..host.access import HostRules
from ..settings import ANY_ORIGIN, SETTINGS, Settings, assignment
from .finding import Finding

_DEVELOPMENT = f"for trying things out, {assignment('environment', 'development')}"


def check_settings(
    settings: Settings, rules: HostRules | None = None, *, has_viewers: bool | None = None
) -> list[Finding]:
    """Find faults of the settings, without a database.

    :param rules: by default, those that follow from the settings.
    :param has_viewers: whether anybody can sign in; by default, whether there is a secret, as a
        server for development always has one.
    """
    is_own_server = rules is None
    if rules is None:
        rules = HostRules.from_settings(settings)
    if has_viewers is None:
        has_viewers = bool(settings.secret) or settings.environment == "development"
    findings = [*_contradictions(settings, rules), *_warnings(settings, rules, has_viewers)]
    if settings.environment == "production":
        findings += _dangers(settings, rules)
        if is_own_server and settings.guests == "write" and not settings.allowed_hosts:
            findings.append(
                Finding(
                    "tallied.W009",
                    "Guests may write, and the server answers to every host name: a foreign page"
                    " can reach it by DNS rebinding.",
                    "List the names of the server,"
                    f" {assignment('allowed_hosts', 'forum.example')}.",
                )
            )
    return findings


def _warnings(settings: Settings, rules: HostRules, has_viewers: bool) -> Iterator[Finding]:
    """Find what is doubtful in development, too."""
    if not has_viewers and not rules.guests_write:
        yield Finding(
            "tallied.W003",
            "Nobody can write: guests may only read, and nobody can sign in.",
            f"Give get_viewer, or set {SETTINGS['secret']}; or, for guests,"
            f" {assignment('guests', 'write')}.",
        )
    if not has_viewers and rules.guests == "write" and rules.comment_checks:
        yield Finding(
            "tallied.W025",
            "Comments may wait for a moderator, and nobody can be one: nobody can sign in.",
            f"Give get_viewer, or set {SETTINGS['secret']}; or leave the checks of comments out.",
        )
    if settings.origins.strip() == ANY_ORIGIN:
        # In development, too: any page that the developer visits could write to the server.
        yield Finding(
            "tallied.W008",
            f"{SETTINGS['origins']} is {ANY_ORIGIN}: the pages of every website may use the API.",
            f"Name the origins of your own pages, {assignment('origins', 'https://app.example')}.",
        )
    if settings.previous_secret:
        yield Finding(
            "tallied.W004",
            f"{SETTINGS['previous_secret']} is still set, and its tokens are accepted.",
            "Remove it once the last token that it signed has expired.",
        )


def _dangers(settings: Settings, rules: HostRules) -> Iterator[Finding]:
    if settings.shows_playground:
        yield Finding(
            "tallied.W001",
            "The playground is on in production.",
            f"Set {assignment('playground', False)}; {_DEVELOPMENT}.",
        )
    for name in (None, *sorted(rules.targets)):
        target = None if name is None else rules.targets[name]
        if target is not None and target.guests is None:
            continue
        guests = rules.guests_of(name)
        where = "" if name is None else f" in the threads of {name!r}"
        setting = str(SETTINGS["guests"]) if name is None else f"guests of the target {name!r}"
        if guests == "moderate":
            yield Finding(
                "tallied.E004",
                f"In production, guests may change and delete everything{where}.",
                f"Set {setting} to read or write; {_DEVELOPMENT}.",
            )
        if guests == "write":
            yield Finding(
                "tallied.W002",
                f"In production, guests may write{where}, under any name.",
                f"Set {setting} to read, so that only signed-in viewers may write.",
            )


def _contradictions(settings: Settings, rules: HostRules) -> Iterator[Finding]:
    if settings.only_persisted and not settings.persisted_documents:
        yield Finding(
            "tallied.E003",
            f"{SETTINGS['only_persisted']} is true, and there is no list of documents: nothing can"
            " be executed.",
            f"Set {SETTINGS['persisted_documents']} to the file of the list.",
        )
    if settings.shows_playground and (settings.only_persisted or not settings.introspection):
        off = "introspection is" if not settings.introspection else "other documents are"
        yield Finding(
            "tallied.W005",
            f"The playground is on while {off} off, and it needs that.",
            f"Set {assignment('playground', False)}.",
        )
    if settings.page_size > settings.operation_cost:
        yield Finding(
            "tallied.W006",
            f"{SETTINGS['page_size']} is {settings.page_size}, and no operation may reach more than"
            f" {settings.operation_cost} nodes (TALLIED_OPERATION_COST, Settings.operation_cost).",
            "Lower the one, or raise the other.",
        )
    if rules.max_message_length > settings.body_size:
        yield Finding(
            "tallied.W006",
            f"A comment may have {rules.max_message_length} characters, and no request more than"
            f" {settings.body_size} bytes (TALLIED_BODY_SIZE, Settings.body_size).",
            f"Lower {SETTINGS['message_length']}, or raise the other.",
        )
