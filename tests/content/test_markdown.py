"""The HTML of ordinary Markdown; rendering is quick and loses no text."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from selectolax.lexbor import LexborHTMLParser

from tallied.content.markdown import MAX_LENGTH, render_message

REL = 'rel="nofollow noopener noreferrer ugc"'


def text_of(html: str) -> str:
    """Return the visible text."""
    return LexborHTMLParser(html).text(separator=" ")


@pytest.mark.parametrize(
    ("message", "html"),
    [
        ("Hello, world.", "<p>Hello, world.</p>\n"),
        ("one\ntwo\n\nthree", "<p>one<br>\ntwo</p>\n<p>three</p>\n"),
        ("one\r\ntwo", "<p>one<br>\ntwo</p>\n"),
        ("*a* **b** ~~c~~ `d < e`",
         "<p><em>a</em> <strong>b</strong> <s>c</s> <code>d &lt; e</code></p>\n"),
        ("a < b && c > d", "<p>a &lt; b &amp;&amp; c &gt; d</p>\n"),
        ("Zoë 字 😀 &copy; &lt;b&gt;", "<p>Zoë 字 😀 © &lt;b&gt;</p>\n"),
        ("<b>bold</b>", "<p>&lt;b&gt;bold&lt;/b&gt;</p>\n"),
        ("# One\n### Three", "<p><strong>One</strong></p>\n<p><strong>Three</strong></p>\n"),
        ("> quoted\n> twice\n\nanswer",
         "<blockquote>\n<p>quoted<br>\ntwice</p>\n</blockquote>\n<p>answer</p>\n"),
        ("- a\n- b\n  - c",
         "<ul>\n<li>a</li>\n<li>b\n<ul>\n<li>c</li>\n</ul>\n</li>\n</ul>\n"),
        ("3. x\n4. y", '<ol start="3">\n<li>x</li>\n<li>y</li>\n</ol>\n'),
        ("---", "<hr>\n"),
        ("```c++\nif (a < b)\n```",
         '<pre><code class="language-c++">if (a &lt; b)\n</code></pre>\n'),
        ("    code", "<pre><code>code\n</code></pre>\n"),
        ("[site](https://example.org/?a=1&b=2 'Title')",
         f'<p><a href="https://example.org/?a=1&amp;b=2" title="Title" {REL}>site</a></p>\n'),
        ("<http://a.org>", f'<p><a href="http://a.org" {REL}>http://a.org</a></p>\n'),
        ("<ada@a.org>", f'<p><a href="mailto:ada@a.org" {REL}>ada@a.org</a></p>\n'),
        ("[字](http://example.org/字)",
         f'<p><a href="http://example.org/%E5%AD%97" {REL}>字</a></p>\n'),
        ("![a cat](https://example.org/cat.png)",
         f'<p>!<a href="https://example.org/cat.png" {REL}>a cat</a></p>\n'),
        ("", ""),
        (" \n ", ""),
    ],
)  # fmt: skip
def test_ordinary_markdown_is_rendered(message: str, html: str) -> None:
    assert render_message(message) == html


def test_table_keeps_its_alignment() -> None:
    assert render_message("| a | b |\n|---|--:|\n| 1 | 2 |") == (
        '<table>\n<thead>\n<tr>\n<th>a</th>\n<th style="text-align:right">b</th>\n</tr>\n'
        '</thead>\n<tbody>\n<tr>\n<td>1</td>\n<td style="text-align:right">2</td>\n</tr>\n'
        "</tbody>\n</table>\n"
    )


@pytest.mark.parametrize(
    "message",
    ["[x](javascript:alert(1))", "[x](/logout)", "[x](//example.org)", "[x](#top)", "[x](ftp://a.b)",
     "[x](data:text/plain,x)"],
)  # fmt: skip
def test_link_to_forbidden_scheme_stays_text(message: str) -> None:
    html = render_message(message)
    assert "<a" not in html
    assert html == f"<p>{message}</p>\n"


def test_reference_stays_text() -> None:
    html = render_message("[x]: http://example.org\n[x]")
    bare = f'<a href="http://example.org" {REL}>http://example.org</a>'
    assert html == f"<p>[x]: {bare}<br>\n[x]</p>\n"


def test_no_part_of_message_is_lost() -> None:
    for message in ("> " * 40 + "kept", "- " * 40 + "kept", "*a **b " * 20 + "kept" + "** b*" * 20,
                    "word " * 3000 + "kept", "> a\n\nb\n\n" * 400 + "kept"):  # fmt: skip
        assert text_of(render_message(message)).rstrip().endswith(("kept", "*")), message[:20]
        assert "kept" in render_message(message)
    five_deep = "- a\n  - b\n    - c\n      - d\n        - e\n"
    assert render_message(five_deep).count("<ul>") == 5
    assert render_message("> " * 8 + "deep").count("<blockquote>") == 8


def test_plain_fallback_is_safe_and_keeps_lines() -> None:
    assert render_message("> " * 30 + "<b a=\"1\" b='2'>&\r\nnext") == (
        f"<p>{'&gt; ' * 30}&lt;b a=&quot;1&quot; b=&#x27;2&#x27;&gt;&amp;<br>\nnext</p>\n"
    )
    assert render_message(f"<{'x' * MAX_LENGTH}").startswith("<p>&lt;xxx")


def test_invalid_character_is_replaced() -> None:
    assert render_message("a\ud800b\0c") == "<p>a?b\N{REPLACEMENT CHARACTER}c</p>\n"
    assert render_message("> " * 30 + "\0").endswith("\N{REPLACEMENT CHARACTER}</p>\n")


def full(unit: str, tail: str = "") -> str:
    """Return a message of the maximum length."""
    return (unit * MAX_LENGTH)[: MAX_LENGTH - len(tail)] + tail


HOSTILE = {
    "brackets": full("["),
    "images": full("!["),
    "bracket pairs": full("[[a]"),
    "addresses": full("[a]("),
    "titles": full('[]( "'),
    "emphasis": full("*a **a "),
    "two kinds of emphasis": full("*_"),
    "emphasis, closed": "*a " * 2500 + "a*" * 1250,
    "strikethrough": full("~~a "),
    "backticks": full("`a``"),
    "backticks of all lengths": "".join("`" * n + "a" for n in range(140))[:MAX_LENGTH],
    "quotes": full("> "),
    "quotes of many lines": full("> " * 9 + "a\n"),
    "quotes that go on": "> " * 10 + full("a\n")[20:],
    "quotes of code that is not closed": full("& \n>```\n"),
    "quotes after what looks like one": full(".>- >\n>\t>\n"),
    "quotes in items": full("2. > a\n3. > ```\nb\n"),
    "as many quotes as may be": "a\n>```\n" * 170 + "x" * 8000,
    "lists": full("- "),
    "lists that go on": "- " * 5 + full("a\n")[10:],
    "entities": full("&"),
    "tags": full("<a "),
    "escapes": full("\\"),
    "tables of two columns": full("a|b\n-|-\n"),
    "a table that is filled up": "|x" * 50 + "|\n" + "|-" * 50 + "|\n" + "a\n" * 4898,
    "a table in a quote": "> " + "|x" * 50 + "|\n> " + "|-" * 50 + "|\n" + "> a\n" * 2000,
    "an address used often": "[a]: http://" + "x" * 5000 + "\n\n" + "[a]" * 1600,
    "underlines": full("a\n=\n"),
    "the beginnings of URLs": full("a://"),
    "URLs that are not links": full("http://a."),
    "URLs with brackets that stay open": full("http://a/("),
    "as many URLs as may be": "http://a.b/[( " * 300 + "(" * 5800,
    "nothing": full("\n"),
}


def steps(work: Callable[[], object]) -> int:
    """Return how many calls and returns there are: the time, as no other load changes it."""
    count = 0

    def counted(*_: object) -> None:
        nonlocal count
        count += 1

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", HOSTILE)
def test_rendering_time_is_bounded(kind: str) -> None:
    message = HOSTILE[kind]
    assert len(message) <= MAX_LENGTH
    html: list[str] = []
    assert steps(lambda: html.append(render_message(message))) < 4_000_000
    assert len(html[0]) < 20 * MAX_LENGTH
