"""The tables of the reference for hosts name what the code has, no more and no less."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import tallied
from tallied import errors
from tallied.asgi import GC_THRESHOLDS
from tallied.discussion import Discussion
from tallied.host.hooks import Hooks
from tallied.host.policy import Policy
from tallied.pages import Pages
from tallied.resolvers import views
from tallied.resolvers.view_types import CommentView, QueuedComment, ThreadView
from tallied.shortcuts import _Shortcuts, _Write

DOCS = Path(tallied.__file__).parent / "docs"
ABSTRACT = {"UserError", "Rejected"}


def read(page: str) -> str:
    return (DOCS / f"{page}.md").read_text("utf-8")


def first_cells(text: str) -> set[str]:
    """Return the names in the first cells of the tables of a text."""
    cells = re.findall(r"^\| (`.*?) \|", text, re.M)
    return {name for cell in cells for name in re.findall(r"`(\w+)", cell)}


def arguments(function: Callable[..., Any]) -> set[str]:
    return set(inspect.signature(function).parameters) - {"self"}


def test_views_of_page_have_its_arguments() -> None:
    signatures = re.findall(
        r"^\| `(read_\w+)\((.*?)\)` \|", read("reference/reading-and-writing"), re.M
    )
    assert len(signatures) > 15
    for name, words in signatures:
        names = set(re.findall(r"(?<![\w\"])[a-z_]+(?=[,=]|$)", re.sub(r"\[.*\]", "", words)))
        assert names
        assert names <= arguments(getattr(views, name)), name


@pytest.mark.parametrize(("row", "view"), [("a thread", ThreadView), ("a comment", CommentView)])
def test_attributes_of_page_are_those_of_view(row: str, view: type[Any]) -> None:
    row_of_table = re.search(rf"^\| {row} \| (.*) \|$", read("reference/reading-and-writing"), re.M)
    assert row_of_table is not None
    public, _, queued = row_of_table[1].partition("; in the queue also ")
    names = {field.name for field in fields(view)}
    assert set(re.findall(r"`(\w+)`", public)) == names
    more = {field.name for field in fields(QueuedComment)} - names if queued else set()
    assert set(re.findall(r"`(\w+)`", queued)) == more


def test_shortcuts_of_page_are_those_of_code() -> None:
    text = read("reference/discussion").partition("They are ")[2].partition(" begin with ")[0]
    names = re.findall(r"`(\w+)`", text)
    shortcuts = {name for name, value in vars(_Shortcuts).items() if isinstance(value, _Write)}
    assert set(names) == shortcuts


def test_garbage_thresholds_of_page_are_those_of_code() -> None:
    assert f"gc.set_threshold{GC_THRESHOLDS}" in read("how-to/deployment")


def test_policy_of_page_is_that_of_code() -> None:
    methods = {name for name in dir(Policy) if name.startswith("may_")}
    cells = first_cells(read("reference/policy-and-hooks"))
    assert {name for name in cells if name.startswith("may_")} == methods


def test_operations_of_page_are_those_of_hooks() -> None:
    names = {name.removeprefix("before_") for name in dir(Hooks) if name.startswith("before_")}
    assert names <= first_cells(read("reference/policy-and-hooks"))


@pytest.mark.parametrize(
    ("page", "kind", "end"),
    [
        ("reference/discussion", Discussion, "An invalid argument"),
        ("how-to/pages", Pages, "An error's text"),
    ],
)
def test_arguments_of_page_are_those_of_class(page: str, kind: type[Any], end: str) -> None:
    table = read(page).partition(end)[0]
    assert first_cells(table) == arguments(kind.__init__)


def test_errors_of_page_are_those_of_tree() -> None:
    table = read("reference/reading-and-writing").partition("## Errors")[2]
    kinds = {
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.UserError)
    }
    assert first_cells(table) == kinds - ABSTRACT
