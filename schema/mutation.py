"""What can be changed. Each mutation is one unit of work: all of it happens, or none.

What a mutation rejects is data, in its payload's ``userErrors``; an input that cannot
even be read is an error of its field.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import wraps
from typing import Annotated, Any, TypeVar, cast
from uuid import UUID

import strawberry

from ..errors import BadUserInput, Rejected
from ..execution.requested_fields import Info
from ..resolvers import comments, threads
from ..resolvers.authors import delete_author
from ..resolvers.changes import ChangedRows
from ..resolvers.pagination.arguments import Record
from ..resolvers.rows import not_found
from ..resolvers.target_threads import thread_for
from .arguments import unset_to_none
from .ids import decode_id, encode_id
from .inputs import (
    AddCommentInput,
    CreateThreadInput,
    DeleteAuthorInput,
    DeleteCommentInput,
    DeleteThreadInput,
    EditCommentInput,
    FirstCommentInput,
    LockThreadInput,
    MoveCommentInput,
    RenameThreadInput,
    ThreadForInput,
    UnlockThreadInput,
)
from .payloads import (
    AddCommentPayload,
    CreateThreadPayload,
    DeleteAuthorPayload,
    DeleteCommentPayload,
    DeleteThreadPayload,
    EditCommentPayload,
    LockThreadPayload,
    MoveCommentPayload,
    Payload,
    RenameThreadPayload,
    ThreadForPayload,
    UnlockThreadPayload,
    UserError,
)
from .types import Comment, Thread

P = TypeVar("P", bound=Payload)
Resolver = Callable[..., Awaitable[P | None]]

_INPUT = strawberry.argument(description="The mutation's arguments.")


def mutation(description: str, payload: type[P]) -> Callable[[Resolver[P]], Resolver[P]]:
    """:func:`strawberry.mutation`, on a method that hands out `payload`, a host's as well.

    What the method rejects, by raising :class:`~tallied.errors.Rejected` or a group of them, is
    told in the payload's userErrors. Whatever the client calls the mutation is given back, where
    it has an argument ``input`` with a ``client_mutation_id``.

    :param payload: derived from :class:`.Payload`; every field has a default, which is given
        back where the mutation is rejected.
    """

    def decorate(method: Resolver[P]) -> Resolver[P]:
        @wraps(method)
        async def resolve(*positional: Any, **arguments: Any) -> P:
            done = payload()
            try:
                done = await method(*positional, **arguments) or done
            except* Rejected as rejected:
                done.user_errors = list(map(UserError.of, _all(rejected)))
            name = getattr(arguments.get("input"), "client_mutation_id", None)
            done.client_mutation_id = unset_to_none(name)
            return done

        return cast("Resolver[P]", strawberry.mutation(resolve, description=description))

    return decorate


@strawberry.type(
    description="The mutations. Each succeeds as a whole or changes nothing. What it rejects is in "
    "userErrors of its payload, which returns the changed objects with their new "
    "counters."
)
class Mutation:
    @mutation("Create a thread, and its first comment if one is given.", CreateThreadPayload)
    async def create_thread(
        self, info: Info, input: Annotated[CreateThreadInput, _INPUT]
    ) -> CreateThreadPayload | None:
        comment = unset_to_none(input.comment)
        first = None if comment is None else _new_comment(comment)
        done = await info.context.write(
            lambda unit, access: threads.create_thread(unit, access, input.title, first)
        )
        return CreateThreadPayload(
            thread=await _thread(info, "CreateThreadPayload", done.thread),
            comment=_comment(done),
        )

    @mutation("Change the title of a thread.", RenameThreadPayload)
    async def rename_thread(
        self, info: Info, input: Annotated[RenameThreadInput, _INPUT]
    ) -> RenameThreadPayload | None:
        id = _key(input.thread_id, "threadId", "Thread")
        done = await info.context.write(
            lambda unit, access: threads.rename_thread(unit, access, id, input.title)
        )
        return RenameThreadPayload(thread=await _thread(info, "RenameThreadPayload", done.thread))

    @mutation("Delete a thread and all its comments.", DeleteThreadPayload)
    async def delete_thread(
        self, info: Info, input: Annotated[DeleteThreadInput, _INPUT]
    ) -> DeleteThreadPayload | None:
        id = _key(input.thread_id, "threadId", "Thread")
        done = await info.context.write(
            lambda unit, access: threads.delete_thread(unit, access, id)
        )
        return DeleteThreadPayload(
            thread=Thread.of(done.thread), deleted_thread_id=encode_id("Thread", id)
        )

    @mutation(
        "Lock a thread, so that it accepts no more comments. A thread that is locked "
        "already stays as it is.",
        LockThreadPayload,
    )
    async def lock_thread(
        self, info: Info, input: Annotated[LockThreadInput, _INPUT]
    ) -> LockThreadPayload | None:
        id = _key(input.thread_id, "threadId", "Thread")
        done = await info.context.write(lambda unit, access: threads.lock_thread(unit, access, id))
        return LockThreadPayload(thread=await _thread(info, "LockThreadPayload", done.thread))

    @mutation(
        "Unlock a thread, so that it accepts comments again. A thread that is not locked "
        "stays as it is.",
        UnlockThreadPayload,
    )
    async def unlock_thread(
        self, info: Info, input: Annotated[UnlockThreadInput, _INPUT]
    ) -> UnlockThreadPayload | None:
        id = _key(input.thread_id, "threadId", "Thread")
        done = await info.context.write(
            lambda unit, access: threads.lock_thread(unit, access, id, locked=False)
        )
        return UnlockThreadPayload(thread=await _thread(info, "UnlockThreadPayload", done.thread))

    @mutation(
        "Return the thread about an object of the host, and create it if there is none.",
        ThreadForPayload,
    )
    async def thread_for(
        self, info: Info, input: Annotated[ThreadForInput, _INPUT]
    ) -> ThreadForPayload | None:
        target = input.target
        done = await info.context.write(
            lambda unit, access: thread_for(unit, access, target.type, target.key)
        )
        return ThreadForPayload(thread=await _thread(info, "ThreadForPayload", done.thread))

    @mutation(
        "Delete an author. The author's threads and comments stay, without the author's name.",
        DeleteAuthorPayload,
    )
    async def delete_author(
        self, info: Info, input: Annotated[DeleteAuthorInput, _INPUT]
    ) -> DeleteAuthorPayload | None:
        id = _key(input.author_id, "authorId", "Author")
        await info.context.write(lambda unit, access: delete_author(unit, access, id))
        return DeleteAuthorPayload(deleted_author_id=encode_id("Author", id))

    @mutation("Add a comment to a thread.", AddCommentPayload)
    async def add_comment(
        self, info: Info, input: Annotated[AddCommentInput, _INPUT]
    ) -> AddCommentPayload | None:
        id = _key(input.thread_id, "threadId", "Thread")
        comment = _new_comment(input)
        done = await info.context.write(
            lambda unit, access: comments.add_comment(
                unit, access, id, comment, submission=unset_to_none(input.client_mutation_id)
            )
        )
        return AddCommentPayload(
            comment=_comment(done),
            is_duplicate=done.is_duplicate,
            thread=await _thread(info, "AddCommentPayload", done.thread),
        )

    @mutation("Change the message of a comment.", EditCommentPayload)
    async def edit_comment(
        self, info: Info, input: Annotated[EditCommentInput, _INPUT]
    ) -> EditCommentPayload | None:
        id = _key(input.comment_id, "commentId", "Comment")
        done = await info.context.write(
            lambda unit, access: comments.edit_comment(unit, access, id, input.message)
        )
        return EditCommentPayload(
            comment=_comment(done), thread=await _thread(info, "EditCommentPayload", done.thread)
        )

    @mutation("Move a comment to another thread.", MoveCommentPayload)
    async def move_comment(
        self, info: Info, input: Annotated[MoveCommentInput, _INPUT]
    ) -> MoveCommentPayload | None:
        id = _key(input.comment_id, "commentId", "Comment")
        to = _key(input.thread_id, "threadId", "Thread")
        done = await info.context.write(
            lambda unit, access: comments.move_comment(unit, access, id, to)
        )
        return MoveCommentPayload(
            comment=_comment(done),
            thread=await _thread(info, "MoveCommentPayload", done.thread),
            previous_thread=await _thread(
                info, "MoveCommentPayload", done.previous_thread or {}, "previousThread"
            ),
        )

    @mutation("Delete a comment.", DeleteCommentPayload)
    async def delete_comment(
        self, info: Info, input: Annotated[DeleteCommentInput, _INPUT]
    ) -> DeleteCommentPayload | None:
        id = _key(input.comment_id, "commentId", "Comment")
        done = await info.context.write(
            lambda unit, access: comments.delete_comment(unit, access, id)
        )
        return DeleteCommentPayload(
            comment=_comment(done),
            deleted_comment_id=encode_id("Comment", id),
            thread=await _thread(info, "DeleteCommentPayload", done.thread),
        )


def _key(id: str, field: str, type_name: str) -> UUID:
    """Return the key that an input's id names.

    :raises NotFound: for what is no such id: no record is there, just as for an unknown one.
    """
    try:
        return decode_id(id, field, type_name)[1]
    except BadUserInput as error:
        raise not_found(field) from error


def _new_comment(input: AddCommentInput | FirstCommentInput) -> comments.NewComment:
    return comments.NewComment(input.message, unset_to_none(input.author_name))


def _all(rejected: BaseExceptionGroup[Rejected]) -> Iterator[Rejected]:
    for error in rejected.exceptions:
        if isinstance(error, Rejected):
            yield error
            yield from error.others
        else:
            yield from _all(error)


def _comment(done: ChangedRows) -> Comment | None:
    return None if done.comment is None else Comment.of(done.comment, done.thread)


async def _thread(info: Info, payload: str, known: Record, field: str = "thread") -> Thread | None:
    """A thread as a payload shows it: what the change brought along, and the rest read.

    The change is made by now. So where reading fails, what was to be read fails, each field
    at its own place, and not the mutation, which a client would send again.
    """
    columns = info.thread_columns(info.fields(payload).get(field, ()))
    missing = columns.difference(known)
    if not missing:
        return Thread.of(known)
    try:
        rest = await info.context.thread(known["id"], missing)
    except Exception as error:
        rest = dict.fromkeys(missing, error)
    return None if rest is None else Thread.of({**rest, **known})
