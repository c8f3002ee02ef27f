"""The tutorial and the reference for hosts are correct, and so is what checks them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import tutorial

HOST = """
import sys
import models, resolvers, schema
import tallied.asgi, tallied.discussion, tallied.cli.app
assert models.WHOSE == resolvers.WHOSE == schema.WHOSE == "the host's"
assert not [name for name in sys.modules if name.split(".")[0] in ("counters", "settings")]
"""


NOT_RUN = {"plugging-in.md": 1}
"""The numbers of blocks that stand in nobody's file."""


def test_tutorial_has_no_other_blocks() -> None:
    """``scripts/check`` runs the tutorial, with the wheel alone."""
    for document in tutorial.DOCUMENTS:
        text = document.read_text("utf-8")
        blocks = len(tutorial.blocks(text))
        assert blocks == text.count("```python file=") + text.count("```console")
        assert text.count("```") // 2 == blocks + NOT_RUN.get(document.name, 0)


@pytest.mark.parametrize(
    ("console", "sentence"),
    [
        ("$ echo one\ntwo\n", "prints\none\n\nin place of\ntwo"),
        ("$ exit 3\n", "exits with 3"),
        ("$ true --port 8123 &\n", "does not listen"),
        ("```\n```python file=a.py\none\n```\n```python file=a.py after=two\n", "no line with two"),
    ],
)
def test_wrong_tutorial_is_reported(tmp_path: Path, console: str, sentence: str) -> None:
    document = tmp_path / "document.md"
    document.write_text(f"```console\n{console}```\n")
    with pytest.raises(tutorial.Wrong, match=sentence):
        tutorial.run(document, Path(sys.executable), tmp_path)


def test_block_is_inserted_below_line(tmp_path: Path) -> None:
    document = tmp_path / "document.md"
    document.write_text(
        "```python file=new.py\none\ntwo\nthree\n```\n```python file=new.py after=tw\nnew\n```\n"
    )
    assert tutorial.run(document, Path(sys.executable), tmp_path) == 2
    assert (tmp_path / "new.py").read_text() == "one\ntwo\nnew\nthree\n"


@pytest.mark.slow
def test_examples_with_other_libraries_run(tmp_path: Path) -> None:
    page = tutorial.ROOT / "docs" / "how-to" / "counters-and-other-libraries.md"
    assert tutorial.run(page, Path(sys.executable), tmp_path) == 6


@pytest.mark.slow
def test_host_may_have_packages_of_these_names(tmp_path: Path) -> None:
    for name in ("models", "resolvers", "schema"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text('WHOSE = "the host\'s"\n')
    (tmp_path / "host.py").write_text(HOST)
    document = tmp_path / "document.md"
    document.write_text("```console\n$ python host.py\n```\n")
    assert tutorial.run(document, Path(sys.executable), tmp_path) == 1
