"""Links and headings of messages."""

from __future__ import annotations

import pytest

from tallied.content.markdown import MAX_BARE_URLS, REL, _cleaner, render_message


def link(address: str, text: str | None = None) -> str:
    return f'<a href="{address}" rel="{REL}">{text or address}</a>'


@pytest.mark.parametrize(
    "address",
    ["http:/logout", "https:/admin", "http:logout", "https:admin", "http:///logout", "http://",
     "http://:80/", "http://@/x", "http://?x", "http://#x", "http://./x", "http:/x@y.org"],
)  # fmt: skip
def test_link_without_host_stays_text(address: str) -> None:
    assert render_message(f"[x]({address})") == f"<p>[x]({address})</p>\n"
    assert render_message(f"<{address}>") == f"<p>&lt;{address}&gt;</p>\n"
    assert render_message(f"see {address}") == f"<p>see {address}</p>\n"
    assert _cleaner().clean(f'<a href="{address}">x</a>') == f'<a rel="{REL}">x</a>'


@pytest.mark.parametrize(
    "address",
    ["http://a.org", "HTTPS://A.org/b", "http://localhost:3000/a", "https://u:p@a.org/?a#b",
     "http://[::1]:80/", "http://127.0.0.1/", "https://a_b.org", "mailto:ada@a.org"],
)  # fmt: skip
def test_link_with_host_is_kept(address: str) -> None:
    assert render_message(f"[x]({address})") == f"<p>{link(address, 'x')}</p>\n"


@pytest.mark.parametrize(
    ("message", "html"),
    [
        ("see https://a.org/b.", f"see {link('https://a.org/b')}."),
        ("https://a.org/b!", f"{link('https://a.org/b')}!"),
        ("https://a.org/b, then?", f"{link('https://a.org/b')}, then?"),
        ("(see https://a.org/b)", f"(see {link('https://a.org/b')})"),
        ("(https://a.org/b_(c))", f"({link('https://a.org/b_(c)')})"),
        ("**https://a.org/x**", f"<strong>{link('https://a.org/x')}</strong>"),
        ('"http://a.org:8080"', f'"{link("http://a.org:8080")}"'),
        ("https://a.org/?a=1&b=2#c", link("https://a.org/?a=1&amp;b=2#c")),
        ("https://a.org/x_y_z", link("https://a.org/x_y_z")),
        ("https://a.org\nhttps://b.org", f"{link('https://a.org')}<br>\n{link('https://b.org')}"),
        ("https://a.org/x<br>", f"{link('https://a.org/x')}&lt;br&gt;"),
        ("https://\u5b57.org/", link("https://xn--p8s.org/", "https://\u5b57.org/")),
    ],
)
def test_bare_url_becomes_link(message: str, html: str) -> None:
    assert render_message(message) == f"<p>{html}</p>\n"


@pytest.mark.parametrize(
    "message",
    ["ftp://a.org", "//a.org", "www.a.org", "a.org", "ada@a.org", "mailto:ada@a.org",
     "javascript://a.org", "xhttps://a.org", "https\\://a.org"],
)  # fmt: skip
def test_nothing_else_becomes_link(message: str) -> None:
    assert "<a" not in render_message(message)


def test_url_in_code_or_in_link_stays_as_it_is() -> None:
    assert render_message("`https://a.org`") == "<p><code>https://a.org</code></p>\n"
    html = render_message("[https://a.org](https://b.org)")
    assert html == f"<p>{link('https://b.org', 'https://a.org')}</p>\n"


def test_more_bare_urls_than_may_be_stay_text() -> None:
    assert render_message("http://a.org " * MAX_BARE_URLS).count("<a ") == MAX_BARE_URLS
    assert "<a" not in render_message("http://a.org " * (MAX_BARE_URLS + 1))
    assert "<a" in render_message("<http://a.org> " * (MAX_BARE_URLS + 1))


@pytest.mark.parametrize("heading", ["# x", "###### x", "# x #", "x\n===", "x\n---"])
def test_heading_becomes_bold_paragraph(heading: str) -> None:
    assert render_message(heading) == "<p><strong>x</strong></p>\n"


def test_sanitiser_alone_removes_headings() -> None:
    assert _cleaner().clean("<h1>x</h1><h4>y</h4>") == "xy"
