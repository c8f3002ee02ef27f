"""`tallied verify` and `tallied rebuild`: selections, samples, derived columns."""

from __future__ import annotations

import json
import re
from uuid import UUID

import pytest
from support.commands import Commands, option, sql

from tallied.counters.maintenance import rebuild as rebuilding
from tallied.models import Thread


def threads(url: str) -> list[str]:
    """Return the keys of the threads, in order, as the command line takes them."""
    rows = sql(url, "SELECT id FROM tallied_thread ORDER BY id")
    return [str(UUID(str(row.id))) for row in rows]


def spoil(url: str) -> None:
    sql(url, "UPDATE tallied_thread SET word_count = word_count + 17")


def test_verify_selects_counters_and_threads(seeded: str, commands: Commands) -> None:
    spoil(seeded)
    sql(seeded, "UPDATE tallied_thread SET comment_count = 5000")
    first, second, *_, last = threads(seeded)

    def lines(*arguments: str) -> list[str]:
        verified = commands("verify", "--database", seeded, *arguments)
        assert (verified.code, verified.err) == (1, "")
        return verified.out.splitlines()

    assert len(lines("Thread.word_count")) == 13
    assert len(lines("Thread")) == 25
    result = lines("Thread.word_count", "--where", f"id in {first}, {last}")
    assert [re.split(r" of |: ", line)[:2] for line in result[:-1]] == [
        ["Thread.word_count", first],
        ["Thread.word_count", last],
    ]
    assert result[-1] == f"2 counters are wrong; run `tallied rebuild {option(seeded)}`."
    between = ("--where", f"id > {first}", "--where", f"id <= {second}")
    assert len(lines("Thread.word_count", *between)) == 2
    assert len(lines("Thread.word_count", "--sample", "3")) == 4

    right = commands("verify", "Thread.last_comment_at", "--sample", "3", "--database", seeded)
    assert (right.code, right.out) == (0, "The counters of 3 threads are right.\n")

    rebuilt = commands("rebuild", "Thread.word_count", *between, "--database", seeded)
    assert (rebuilt.code, rebuilt.out) == (0, "Put 1 row right.\n")
    assert len(lines("Thread.word_count")) == 12


def test_difference_is_printed_as_text_and_json(seeded: str, commands: Commands) -> None:
    spoil(seeded)
    arguments = ("verify", "--database", seeded, "--sample", "1")
    assert "difference +17\n" in commands(*arguments).out
    (line,) = commands(*arguments, "--format", "json").out.splitlines()
    assert json.loads(line)["difference"] == 17


@pytest.mark.usefixtures("terminal")
def test_amounts_are_verified_and_repaired(seeded: str, commands: Commands) -> None:
    query = "SELECT id, word_count, message FROM tallied_comment ORDER BY id LIMIT 2"
    before = sql(seeded, query)
    sql(
        seeded,
        f"UPDATE tallied_comment SET word_count = word_count + 9 WHERE id = '{before[0].id}'",
        f"UPDATE tallied_comment SET message = 'two words' WHERE id = '{before[1].id}'",
    )
    without = commands("verify", "--no-amounts", "--database", seeded)
    repair = f"run `tallied rebuild {option(seeded)}`."
    assert without.out.splitlines()[-1] == f"1 counter is wrong; {repair}"
    verified = commands("verify", "--database", seeded)
    assert verified.code == 1
    *result, summary = verified.out.splitlines()
    assert [line.split()[0] for line in result] == [
        "Thread.word_count",
        *["Comment.word_count"] * 2,
    ]
    repair = f"run `tallied rebuild {option(seeded)} --amounts`."
    assert summary == f"1 counter and 2 amounts are wrong; {repair}"

    assert commands("rebuild", "--database", seeded).out == "Put 1 row right.\n"
    alone = commands("verify", "Comment.word_count", "--database", seeded)
    assert alone.out.splitlines()[-1] == f"2 amounts are wrong; {repair}"
    rebuilt = commands("rebuild", "--amounts", "--batch-size", "30", "--database", seeded)
    assert (rebuilt.code, rebuilt.out) == (0, "Put 2 amounts right.\n"), "the counters follow"
    assert re.search(r"\b(\d\d+)/\1\b", rebuilt.err), "the progress bar"
    assert commands("verify", "--database", seeded).code == 0
    assert [row.word_count for row in sql(seeded, query)] == [before[0].word_count, 2]
    right = commands("verify", "Comment.word_count", "--database", seeded)
    assert right.out == "The amounts of all 200 comments are right.\n"


def test_amounts_are_repaired_alone_where_they_are_named(seeded: str, commands: Commands) -> None:
    sql(seeded, "UPDATE tallied_comment SET word_count = word_count + 1")
    spoil(seeded)
    rebuilt = commands("rebuild", "Comment.word_count", "--database", seeded)
    assert (rebuilt.code, rebuilt.out) == (0, "Put 200 amounts right.\n")
    assert commands("verify", "Comment", "--database", seeded).code == 0
    assert commands("verify", "Thread.word_count", "--database", seeded).code == 1


def test_amounts_of_some_threads_and_after_some_comment(seeded: str, commands: Commands) -> None:
    query = "SELECT thread_id, count(*) FROM tallied_comment GROUP BY thread_id ORDER BY 1"
    thread, number = sql(seeded, query)[2]
    wrong = (
        "UPDATE tallied_comment SET word_count = word_count + 1",
        "UPDATE tallied_thread SET word_count = word_count + comment_count",
        "UPDATE tallied_author SET word_count = word_count + comment_count",
    )
    arguments = ("rebuild", "--amounts", "--batch-size", "30", "--database", seeded)

    sql(seeded, *wrong)
    partial = commands(*arguments, "Thread", "--where", f"id = {UUID(str(thread))}")
    assert (partial.code, partial.out) == (0, f"Put {number} amounts right.\n")
    remaining = commands("verify", "--database", seeded, "Comment")
    assert remaining.out.splitlines()[-1].startswith(f"{200 - number} amounts are wrong")

    assert commands(*arguments).code == 0
    sql(seeded, *wrong)
    comments = sql(seeded, "SELECT id FROM tallied_comment ORDER BY id")
    hundredth = UUID(str(comments[99].id))
    remainder = commands(*arguments, "--after", f"Comment.word_count:{hundredth}")
    assert (remainder.code, remainder.out) == (0, "Put 100 amounts right.\n")
    assert commands("verify", "--database", seeded, "Thread").code == 0


def test_folded_titles_are_verified_and_repaired(seeded: str, commands: Commands) -> None:
    sql(seeded, "UPDATE tallied_thread SET title_folded = 'x', word_count = word_count + 3")
    verified = commands("verify", "Thread.title_folded", "--database", seeded)
    assert verified.out.splitlines()[-1].startswith("12 amounts are wrong; run")
    eighth = threads(seeded)[7]
    arguments = ("rebuild", "Thread", "--database", seeded)
    counted = commands(*arguments, "--after", f"Thread:{eighth}")
    assert (counted.code, counted.out) == (0, "Put 4 rows right.\n")
    remainder = commands(*arguments, "--after", f"Thread.title_folded:{eighth}")
    assert (remainder.code, remainder.out) == (0, "Put 8 rows and 4 amounts right.\n")
    assert commands(*arguments).out == "Put 8 amounts right.\n"
    assert commands("verify", "--database", seeded).code == 0


def test_interrupted_rebuild_prints_how_to_continue(
    seeded: str, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(seeded)
    looked = rebuilding.Rebuild._find_wrong
    batches = 0

    def interrupted(self: rebuilding.Rebuild, *arguments: object) -> object:
        nonlocal batches
        batches += self.mapper.class_ is Thread
        if batches == 3:
            raise KeyboardInterrupt
        return looked(self, *arguments)  # type: ignore[arg-type]

    arguments = ("rebuild", "--batch-size", "4", "--database", seeded)
    with monkeypatch.context() as patch:
        patch.setattr(rebuilding.Rebuild, "_find_wrong", interrupted)
        stopped = commands(*arguments)
    eighth = threads(seeded)[7]
    assert (stopped.code, stopped.out) == (130, "")
    output = f"Stopped; go on with the same command and --after Thread:{eighth}"
    assert output in " ".join(stopped.err.split())
    after = commands(*arguments, "--after", f"Thread:{eighth}")
    assert (after.code, after.out) == (0, "Put 4 rows right.\n")
    assert commands("verify", "--database", seeded).code == 0

    spoil(seeded)
    plain = commands(*arguments, "Thread", "--after", eighth)
    assert (plain.code, plain.out) == (0, "Put 4 rows right.\n")


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (
            ["verify", "Thread.words"],
            "There is no counter Thread.words; there is Thread.last_seq, ",
        ),
        (["rebuild", "Reply"], "There is no counter Reply; there is Thread.last_seq, "),
        (
            ["verify", "Thread", "--where", "DROP TABLE x"],
            "The condition 'DROP TABLE x' cannot be read",
        ),
        (
            ["verify", "Thread", "--where", "words > 3"],
            "Thread has no column 'words'; it has id, title",
        ),
        (["verify", "Thread", "--where", "id = 12"], "'12' is not a value of id; it takes a UUID"),
        (
            ["verify", "Thread", "--where", "created_at > soon"],
            "'soon' is not a value of created_at",
        ),
        (
            ["verify", "Thread", "--where", "word_count = 3; DROP"],
            "'3; DROP' is not a value of word_count",
        ),
        (
            ["verify", "--where", "id = 12"],
            "Comment and Thread and Author; name the counters of one class",
        ),
        (
            ["rebuild", "--where", "id = 12"],
            "Comment and Thread and Author; name the counters of one class",
        ),
        (
            ["rebuild", "--after", "Reaction:12"],
            "The place 'Reaction:12' cannot be read; write ReactionTotal:ID",
        ),
        (
            ["rebuild", "--after", "12"],
            "The place '12' cannot be read; write ReactionTotal:ID",
        ),
        (["rebuild", "Thread", "--after", "12"], "'12' is not a value of id; it takes a UUID"),
        (["verify", "--sample", "0"], "--sample must be a whole number of 1 or more"),
    ],
)
def test_unreadable_arguments_are_one_line(
    arguments: list[str], reason: str, seeded: str, commands: Commands
) -> None:
    spoil(seeded)
    before = sql(seeded, "SELECT * FROM tallied_thread ORDER BY id")
    refused = commands(*arguments, "--database", seeded)
    assert (refused.code, refused.out) == (2, "")
    assert re.fullmatch(r"error: [^\n]+[.]\n", refused.err), refused.err
    assert reason in refused.err
    assert sql(seeded, "SELECT * FROM tallied_thread ORDER BY id") == before


@pytest.mark.parametrize(
    ("condition", "number"),
    [
        ("title = Bee", 1),
        ("title != Bee", 11),
        ("title in Bee, Wasp", 2),
        ("created_at >= 2031-01-01", 1),
        ("created_at < 2031-01-01T00:00:00+00:00", 11),
        ("last_comment_at = null", 2),
        ("last_comment_at != null", 10),
        ("word_count > 100000", 3),
    ],
)
def test_conditions_select_threads(
    condition: str, number: int, seeded: str, commands: Commands
) -> None:
    first, second, third = (UUID(key) for key in threads(seeded)[:3])
    if seeded.startswith("sqlite"):
        first, second, third = (key.hex for key in (first, second, third))  # type: ignore[assignment]
    update = "UPDATE tallied_thread SET"
    sql(
        seeded,
        f"{update} last_comment_at = created_at",
        f"{update} title = 'Bee', created_at = '2031-02-03 04:05:06' WHERE id = '{first}'",
        f"{update} title = 'Wasp', last_comment_at = NULL WHERE id = '{second}'",
        f"{update} last_comment_at = NULL, word_count = 200000 WHERE id = '{third}'",
        f"{update} comment_count = comment_count + 1",
        f"{update} word_count = word_count + 200000 WHERE id IN ('{first}', '{second}')",
    )
    verified = commands(
        "verify",
        "Thread.comment_count",
        "--where",
        condition,
        "--database",
        seeded,
        "--format",
        "json",
    )
    assert (verified.code, verified.err) == (1, "")
    assert len(verified.out.splitlines()) == number


def test_purge_deletes_texts_of_deleted_comments(seeded: str, commands: Commands) -> None:
    sql(
        seeded,
        "DELETE FROM tallied_withdrawn_text",
        """UPDATE tallied_comment SET status = 'deleted', shown = false
             WHERE id IN (SELECT id FROM tallied_comment ORDER BY id LIMIT 2)""",
        """INSERT INTO tallied_withdrawn_text (comment_id, message, status, withdrawn_at)
             SELECT id, 'x', 'published', created_at FROM tallied_comment ORDER BY id LIMIT 3""",
    )
    for arguments, number in ((("--days", "3650"), 0), ((), 2), (("--days", "0"), 0)):
        purged = commands("purge", "--database", seeded, "--format", "json", *arguments)
        assert (purged.code, json.loads(purged.out.splitlines()[-1])["purged"]) == (0, number)
    assert len(sql(seeded, "SELECT 1 FROM tallied_withdrawn_text")) == 1
