"""What hosts may import, and how it is called: a change of it is a decision, never an accident.

:data:`PUBLIC` says what is public. ``python tests/test_public_names.py`` writes the signatures
of it to ``tests/public_names.txt`` anew. What is taken from a line there breaks hosts:
CONTRIBUTING.md says what that asks for.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NewType

from tallied.counters import Counter

PINNED = Path(__file__).with_name("public_names.txt")

PUBLIC = {
    "tallied.asgi": "create_app",
    "tallied.counters": "Count Sum Min Max First Latest Number Derived Drift",
    "tallied.counters.Counters": """install extend pause lock_all record_lock flushed_values
        verify rebuild""",
    "tallied.database.Database": "read run_query write dispose",
    "tallied.discussion.Discussion": """access access_as_host check check_closed context install
        lifespan render routes unit write""",
    "tallied.errors": """TalliedError UserError BadUserInput Unauthenticated Rejected NotFound
        InvalidText SignInRequired NotAllowed Locked NotRestorable Vetoed UnknownTargetType
        UnknownReaction RateLimited RepeatedText Conflict Busy
        Unavailable OutcomeUnknown
        ConfigurationError CounterError CounterDeclarationError CounterAssignmentError
        UncountedStatementError""",
    "tallied.host.comment_checks": "CheckedComment CommentCheck",
    "tallied.host.standard_checks": """LinkLimit WordList FirstComments Repetition CommentRate
        standard_checks""",
    "tallied.host.hooks": "Event Hooks",
    "tallied.migrations.autogenerate": "include_name include_object",
    "tallied.migrations.runner": "VERSION_TABLE migrate downgrade read_state require_newest",
    "tallied.pages.Pages": """csrf install links read_comment read_form read_thread render routes
        viewer""",
    "tallied.pages.views": "DiscussionView Links PageSize ReactionOption",
    "tallied.models": """Base Author Thread Comment Mark Reaction ReactionTotal Revision
        WithdrawnText count_words""",
    "tallied.models.counters": "counters",
    "tallied.host.policy": "Policy ThreadContext CommentContext viewer_value",
    "tallied.content.markdown": "render_message",
    "tallied.resolvers.authors": "delete_author find_author",
    "tallied.resolvers.pagination.filters": "ThreadFilter CommentFilter",
    "tallied.resolvers.views": """read_thread read_thread_for read_threads read_comments
        read_comment read_counts read_reactions read_history read_unread read_comments_since
        read_replies read_around read_trees read_latest_comments read_moderation_queue
        read_withdrawn_texts WithdrawnTextView
        CommentSurroundings MixedPage QueuedComment
        ThreadView CommentView ViewPage CommentPage TargetCounts ReactionGroup ReadRevision
        Unread""",
    "tallied.resolvers.target_threads": "get_or_create_thread",
    "tallied.resolvers.validation": "clean_message clean_title",
    "tallied.resolvers.changes": "ChangedRows",
    "tallied.resolvers.comments": """NewComment add_comment edit_comment move_comment
        delete_comment restore_comment""",
    "tallied.resolvers.erasure": "Eraser erase_author",
    "tallied.resolvers.purge": "purge_texts",
    "tallied.resolvers.flags": "flag_comment",
    "tallied.resolvers.marks": "mark_read MarkChange",
    "tallied.resolvers.moderation": "moderate_comments",
    "tallied.resolvers.reactions": "add_reaction remove_reaction ReactionChange",
    "tallied.resolvers.threads": "create_thread rename_thread lock_thread delete_thread",
    "tallied.host.access.Access": "as_host may may_start may_delete_author read_condition",
    "tallied.schema.build": "merge_schemas schema",
    "tallied.execution.context.Context": "read write stop load_thread load_author",
    "tallied.schema.ids": "encode_id decode_id",
    "tallied.schema.nodes.Node": "global_id load_nodes",
    "tallied.schema.payloads": "Payload UserError mutation",
    "tallied.schema.scalars": "SafeInt",
    "tallied.execution.requested_fields.Info": "columns",
    "tallied.schema.types.Author": "from_record",
    "tallied.schema.types.Comment": "from_record",
    "tallied.schema.types.Thread": "from_record",
    "tallied.settings": "Settings",
    "tallied.shortcuts.SyncShortcuts": """create_thread rename_thread lock_thread delete_thread
        get_or_create_thread add_comment edit_comment delete_comment restore_comment move_comment
        add_reaction remove_reaction flag_comment moderate_comments mark_read read_thread
        read_thread_for read_threads read_comment read_comments read_comments_since read_replies
        read_around read_trees read_reactions read_history read_withdrawn_texts read_unread
        read_counts""",
    "tallied.host.targets": "Target",
    "tallied.auth.tokens": "encode_token decode_token read_bearer_token authenticate",
    "tallied.database.unit_of_work": "UnitOfWork",
    "tallied.auth.viewer": "Viewer",
}
"""The public names of each module, and of the classes of which not every member is public."""


def public() -> Iterator[str]:
    """Return a line for each public name, with its signature."""
    for place, names in PUBLIC.items():
        owner = _find(place)
        if inspect.isclass(owner):
            yield f"class {place}{_signature(owner)}"
        for name in names.split():
            yield from _lines(f"{place}.{name}", getattr(owner, name), not inspect.isclass(owner))


def _find(place: str) -> Any:
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError:
        module, _, name = place.rpartition(".")
        return getattr(importlib.import_module(module), name)


def _lines(name: str, value: Any, members: bool) -> Iterator[str]:
    kind = "class " if inspect.isclass(value) else ""
    has_signature = callable(value) and not isinstance(value, NewType)  # Python 3.13 gives it one
    yield f"{kind}{name}{_signature(value) if has_signature else ''}"
    if kind and members and not issubclass(value, BaseException | Counter):
        for member, result in sorted(vars(value).items()):
            is_ours = getattr(result, "__module__", "").startswith("tallied.")
            if not member.startswith("_") and callable(result) and is_ours:
                yield f"{name}.{member}{_signature(result)}"


def _signature(value: Any) -> str:
    """Return the names of the parameters, and which may be left out."""
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return ""
    return f"({', '.join(map(_parameter, parameters))})"


def _parameter(item: inspect.Parameter) -> str:
    stars = {item.VAR_POSITIONAL: "*", item.VAR_KEYWORD: "**"}.get(item.kind, "")
    optional = "" if item.default is item.empty else "=..."
    return f"{stars}{item.name}{optional}"


def test_public_names_are_those_that_are_pinned() -> None:
    pinned, result = PINNED.read_text("utf-8").splitlines(), list(public())
    deleted = sorted(set(pinned) - set(result))
    new = sorted(set(result) - set(pinned))
    assert (deleted, new) == ([], []), "see the docstring of this module"


if __name__ == "__main__":
    PINNED.write_text("\n".join(public()) + "\n", "utf-8")
