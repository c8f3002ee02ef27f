"""Links between the pages of the documentation resolve."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import readme
import reference

import tallied

ROOT = Path(tallied.__file__).parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    slugs = {re.sub(r"[^\w\- ]", "", item).lower().replace(" ", "-") for item in headings}
    return slugs | set(re.findall(r'<a id="([^"]+)">', text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_resolve(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text("utf-8")):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_in_navigation() -> None:
    written = {str(page.relative_to(ROOT / "docs")) for page in PAGES[1:]}
    generated = {f"reference/{name}.md" for name in reference.print_pages()}
    navigation = re.findall(r'"([^"]+\.md)"', (ROOT / "zensical.toml").read_text("utf-8"))
    assert sorted(navigation) == sorted(written | generated)


def test_readme_of_index_has_addresses_of_pages_and_files() -> None:
    text = (
        "[a](docs/how-to/sqlite.md#restore) [b](docs/index.md) ![c](docs/images/c.png) [d](LICENSE)"
    )
    assert re.findall(r"\((.*?)\)", readme.use_addresses(text)) == [
        "https://docs.tallied.example/how-to/sqlite/#restore",
        "https://docs.tallied.example/",
        "https://docs.tallied.example/images/c.png",
        "https://source.tallied.example/LICENSE",
    ]
