"""Global ids, of which the last valid ones are kept."""

from __future__ import annotations

import pytest

from tallied.errors import BadUserInput
from tallied.models.base import new_id
from tallied.schema import ids
from tallied.schema.ids import decode_id, encode_id


def test_malformed_ids_are_not_kept() -> None:
    thread = encode_id("Thread", new_id())
    size = ids._parse.cache_info().currsize
    for id in ("", "x" * 10_000, encode_id("Thread", "x" * 10_000), f"{thread}="):
        with pytest.raises(BadUserInput):
            decode_id(id, "threadId", "Thread")
    with pytest.raises(BadUserInput):
        decode_id(thread, "commentId", "Comment")
    assert ids._parse.cache_info().currsize == size


def test_kept_id_is_checked_for_the_types_of_each_field() -> None:
    key = new_id()
    id = encode_id("Thread", key)
    for _ in range(2):
        assert decode_id(id, "id", "Comment", "Thread") == ("Thread", key)
        assert decode_id(id, "threadId", "Thread") == ("Thread", key)
        with pytest.raises(BadUserInput):
            decode_id(id, "commentId", "Comment")
