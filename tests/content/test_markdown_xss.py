"""No attack of the corpus in tests/content/xss.txt leaves anything but the allowed behind.

What comes out is read by a browser's parser (lexbor's), not the one that has cleaned it.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser, LexborNode

from tallied.content.markdown import REL, _cleaner, render_message

STANDS_FOR = str.maketrans({"␊": "\n", "␍": "\r", "␉": "\t", "␀": "\0"})
ATTACKS = list(
    dict.fromkeys(
        line.translate(STANDS_FOR)
        for line in (Path(__file__).parent / "xss.txt").read_text("utf-8").split("\n")
        if line and not line.startswith("## ")
    )
)
PLACES = {
    "alone": "{}",
    "after text": "Hello {} there",
    "as a link's address": "[text]({})",
    "as a link's address in brackets": "[text](<{}>)",
    "as a link's text": "[{}](https://example.org/)",
    "as a link's title": '[text](https://example.org/ "{}")',
    "in a link's address": "[text](https://example.org/{})",
    "as an image": "![{0}]({0})",
    "as an autolink": "<{}>",
    "as a reference": "[text]: {}\n\n[text]",
    "in code": "`{}`",
    "as a language": "```{}\ncode\n```",
    "in a table": "| a |\n|:-:|\n| {} |",
    "in a list in a quote": "> - {}",
    "in emphasis": "**_~~{}~~_**",
    "nested too deeply": "> " * 30 + "{}",
    "after too much": "x" * 10_000 + "{}",
}

TAGS = {"p", "br", "hr", "em", "strong", "s", "code", "pre"}
TAGS |= {"blockquote", "ul", "ol", "li", "a", "table", "thead", "tbody", "tr", "th", "td"}
VALUES = {
    ("a", "title"): r"(?s:.*)",
    ("a", "rel"): re.escape(REL),
    ("ol", "start"): r"\d+",
    ("code", "class"): r"language-[\w+#.-]+",
    ("th", "style"): "text-align:(left|center|right)",
    ("td", "style"): "text-align:(left|center|right)",
}


def faults(html: str) -> list[str]:
    """Return the forbidden elements and attributes of `html`."""
    document = LexborHTMLParser(f"<!doctype html><html><head></head><body>{html}</body></html>")
    assert document.body is not None
    result = [f"head: {node.tag}" for node in document.css("head *")]
    for node in document.root.traverse(include_text=True):  # type: ignore[union-attr]
        if node.tag in {"-text", "html", "head", "body"}:
            result += [f"{node.tag} {name}" for name in (node.attributes or {})]
        elif node.tag not in TAGS:
            result.append(f"<{node.tag}>")
        else:
            result += wrong_attributes(node)
    return result


def wrong_attributes(node: LexborNode) -> list[str]:
    attributes = dict(node.attributes or {})
    result = []
    if node.tag == "a":
        address = attributes.pop("href", None)
        if address is not None and not is_absolute(address):
            result.append(f"href {address!r}")
        if attributes.get("rel") != REL:
            result.append("no rel")
    for name, value in attributes.items():
        pattern = VALUES.get((str(node.tag), name))
        if pattern is None or not re.fullmatch(pattern, value or ""):
            result.append(f"{node.tag} {name}={value!r}")
    return result


def is_absolute(address: str) -> bool:
    """Return whether a browser goes to the same place from every page."""
    url = urlsplit(address)
    if url.scheme in {"http", "https"}:
        return address[len(url.scheme) :].startswith("://") and bool(url.hostname)
    return url.scheme == "mailto"


def twice(html: str) -> list[str]:
    """Return the faults of `html`, and of the HTML after a round trip through a parser."""
    body = LexborHTMLParser(f"<body>{html}</body>").body
    assert body is not None
    return faults(html) + faults(body.inner_html or "")


def test_corpus_contains_attacks() -> None:
    assert len(ATTACKS) >= 300
    caught = [attack for attack in ATTACKS if faults(attack)]
    assert len(caught) >= 200, "what is held against the HTML finds them"
    assert faults('<a href="https://example.org">x</a>') == ["no rel"]
    assert faults(f'<a rel="{REL}" href="javascript:x">x</a>') == ["href 'javascript:x'"]
    for address in ("http:/logout", "https:admin", "http:///logout", "/logout"):
        assert faults(f'<a rel="{REL}" href="{address}">x</a>') == [f"href {address!r}"]
    assert faults("<p>x</p><!-- -->") == ["<-comment>"]


@pytest.mark.exhaustive
@pytest.mark.parametrize("place", PLACES)
def test_attacks_are_sanitised(place: str) -> None:
    for attack in ATTACKS:
        html = render_message(PLACES[place].replace("{0}", "{}").replace("{}", attack))
        assert twice(html) == [], attack


def test_sanitiser_alone_stops_attacks() -> None:
    """As if the parser had let all of it pass."""
    for attack in ATTACKS:
        for html in (
            attack,
            f"<p>{attack}</p>",
            f'<a href="{attack}">x</a>',
            f"<a title='{attack}'>",
        ):
            assert twice(_cleaner().clean(html)) == [], html


FRAGMENTS = st.one_of(
    st.sampled_from(ATTACKS),
    st.sampled_from([*"[]()<>|*_`&#\"'\n\0", "](", "\n\n"]),
    st.text(max_size=8),
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(FRAGMENTS, max_size=12).map("".join))
@example("[\ud800](http://\udfff)")
def test_mixed_attacks_are_sanitised(message: str) -> None:
    html = render_message(message)
    assert twice(html) == []
    assert html == render_message(message)
