"""Drafts: new comments whose texts have been checked, before anything is read or written."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from ..host.access import Access
from ..host.hooks import has_before_hook
from ..models import Comment
from .new_comment import NewComment, as_new_comment, build_comment, text_checks
from .submissions import hash_submission
from .validation import collect_errors, expect_type


class CommentDraft(NamedTuple):
    """A new comment of a viewer who may write, with texts that follow the rules."""

    access: Access
    thread_id: UUID
    author_name: str | None
    message: str
    key: str | None
    """The hash of the submission; None without an id of the client."""
    reply_to_id: UUID | None
    """The comment that it is a reply to."""
    checks_thread_first: bool
    """Whether the thread is read before the message is shown to the host."""

    @property
    def may_share(self) -> bool:
        """Whether other comments may be written in the same transaction.

        No hook and no check may use the session, no condition may select the thread, and no other
        comment may have to be locked.
        """
        checks = self.access.rules.comment_checks
        if self.reply_to_id is not None or any(check.reads_database for check in checks):
            return False
        if has_before_hook(self.access.rules.hooks, "add_comment"):
            return False
        return self.access.read_condition() is None

    def build(self, author_id: UUID | None, created_at: datetime | None = None) -> Comment:
        """Return the row of the comment.

        :param created_at: its time; by default, the present.
        """
        time = {} if created_at is None else {"created_at": created_at}
        return build_comment(
            self.author_name,
            self.message,
            thread_id=self.thread_id,
            author_id=author_id,
            submission_key=self.key,
            **time,
        )


def draft_comment(
    access: Access,
    thread_id: UUID,
    comment: NewComment | str,
    submission: str | None = None,
    reply_to_id: UUID | None = None,
) -> CommentDraft:
    """Check a new comment without reading anything.

    :param submission: the client's own id of the comment.
    :raises InvalidText: for a message or a guest's name that breaks a rule.
    :raises SignInRequired, NotAllowed: if the viewer may write nowhere.
    """
    expect_type(Access, access=access)
    expect_type(UUID, thread_id=thread_id)
    if reply_to_id is not None:
        expect_type(UUID, reply_to_id=reply_to_id)
    checks = text_checks(access, as_new_comment(comment), access.rules.max_message_length)
    name, message = collect_errors(*checks)
    access.require(access.may_write, "write comments")
    key = None
    if submission:
        key = hash_submission(access, (thread_id, reply_to_id), name, message, submission)
    may_write = access.may_comment_anywhere if reply_to_id is None else access.may_reply_anywhere
    checks_thread_first = bool(access.rules.hooks) or not may_write
    return CommentDraft(access, thread_id, name, message, key, reply_to_id, checks_thread_first)
