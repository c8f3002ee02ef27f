"""Rendering of Markdown to HTML that is safe to insert into a page.

A message is parsed as CommonMark with GitHub's tables, strikethrough and bare URLs, by
markdown-it-py and linkify-it-py, without HTML, images and reference links. A line break stays one.
A heading becomes a bold paragraph, because the level of the page's headings around a message is
unknown. nh3 then removes all but the tags, attributes and URL schemes below, so that a bug of the
parser alone lets nothing else through.

The time is bounded: markdown-it-py is linear, except for the features that are disabled or limited
here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from html import escape

import nh3
from linkify_it import LinkifyIt  # type: ignore[import-untyped]
from markdown_it import MarkdownIt
from markdown_it.token import Token

# fmt: off
TAGS = frozenset({
    "p", "br", "hr", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a",
    "table", "thead", "tbody", "tr", "th", "td",
})
# fmt: on
"""The elements that a rendered message may have."""

ATTRIBUTES = {
    "a": {"href", "title"},
    "ol": {"start"},
    "code": {"class"},
    "th": {"style"},
    "td": {"style"},
}
"""Their attributes; ``class`` is a language, ``style`` an alignment, and links have `REL`."""

SCHEMES = frozenset({"http", "https", "mailto"})
"""The URL schemes of links; see `_is_absolute`."""

REL = "nofollow noopener noreferrer ugc"
"""The ``rel`` of every link: the owner of a site does not vouch for the texts of others."""

MAX_LENGTH = 10_000
"""The most characters that are parsed as Markdown; a longer message is rendered as plain text."""

MAX_DEPTH = 12
"""The most nested blocks, and the most nested spans of text.

A message that is nested deeper is rendered as plain text: markdown-it-py would leave out the
content of deeper blocks, and browsers limit the depth of a page."""

MAX_CELLS = 5000
"""The most cells of tables, filled up to their full width; tables with more stay text."""

MAX_QUOTED = 60_000
"""The maximum product of the numbers of lines and of quotes that begin; above it, a message is
rendered as plain text. markdown-it-py reads to the end from the beginning of each quote."""

MAX_BARE_URLS = 300
"""The most ``://`` in a message whose bare URLs become links; with more, they stay text:
markdown-it-py searches the text before each of them."""

_ABSOLUTE = re.compile(
    r"mailto:[^\s]"
    r"|https?://(?:[^\s/?#\\@]*@)?(?:(?=[^/?#]*[a-z0-9])[a-z0-9._~-]+|\[[0-9a-f:.]+\])"
    r"(?::[0-9]*)?(?:[/?#]|$)",
    re.IGNORECASE,
)
_DELIMITERS = re.compile(r"[>*+.)0-9 \t]*[-:| \t]+")  # of a table, in quotes and lists, too
_MARKERS = re.compile(r"(?:[ \t]*(?:>|(?:[-+*]|[0-9]{1,9}[.)])(?=[ \t]|$)))*")
_LINE_BREAK = re.compile(r"\r\n|\r|\n")
_VALUES = {
    "start": re.compile(r"[0-9]{1,9}"),
    "class": re.compile(r"language-[\w+#.-]{1,40}"),
    "style": re.compile(r"text-align:(?:left|center|right)"),
}


def render_message(message: str) -> str:
    """Return the HTML of `message`, which is safe to insert into a page unchanged.

    The result depends on the message alone, and no IO is done.

    :param message: the text that a person has written, in Markdown.
    """
    # Halves of surrogate pairs are not characters and cannot be encoded.
    text = message.encode(errors="replace").decode()
    if len(text) > MAX_LENGTH or _count_quotes(text) > MAX_QUOTED:
        return _render_plain(text)
    parser = _parser(
        tables=_count_cells(text) <= MAX_CELLS, linkify=text.count("://") <= MAX_BARE_URLS
    )
    tokens = parser.parse(text)
    if _depth(tokens) >= MAX_DEPTH:
        return _render_plain(text)
    return _cleaner().clean(parser.renderer.render(tokens, parser.options, {}))


def _render_plain(text: str) -> str:
    safe = escape(text.strip()).replace("\0", "\N{REPLACEMENT CHARACTER}")
    lines = _LINE_BREAK.sub("<br>\n", safe)
    return f"<p>{lines}</p>\n"


def _count_cells(text: str) -> int:
    """Return the most cells that tables in `text` can have, with short rows filled up."""
    lines = text.splitlines()
    widths = (line.count("|") + 1 for line in lines if "-" in line and _DELIMITERS.fullmatch(line))
    return max(widths, default=0) * len(lines)


def _count_quotes(text: str) -> int:
    """Return the number of lines times that of the quotes, nested ones and those of items too."""
    markers, quotes = "", 0
    lines = text.splitlines()
    for line in lines:
        before, markers = markers, "".join(_MARKERS.match(line)[0].split())  # type: ignore[index]
        quotes += ">" in markers and (markers != before or markers.strip(">") != "")
    return quotes * len(lines)


def _depth(tokens: Iterable[Token]) -> int:
    """Return the depth of nested blocks, or of spans within one of them."""
    return max(
        (max(token.level, _depth(token.children or ())) for token in tokens),
        default=0,
    )


@cache
def _parser(*, tables: bool, linkify: bool) -> MarkdownIt:
    # One more than is rendered, so that a message that is too deep can be detected.
    options = {"html": False, "breaks": True, "linkify": linkify, "maxNesting": MAX_DEPTH + 1}
    parser = MarkdownIt("commonmark", options)
    parser.enable(["strikethrough", "linkify", *(["table"] if tables else [])])
    parser.linkify = _linkify()
    parser.add_render_rule("heading_open", lambda *_: "<p><strong>")
    parser.add_render_rule("heading_close", lambda *_: "</strong></p>\n")
    # The URL of a reference would be repeated at each use: a short text for a long page.
    parser.disable(["html_block", "html_inline", "image", "reference"])
    parser.validateLink = _is_absolute  # type: ignore[method-assign]
    return parser


def _is_absolute(url: str) -> bool:
    """Return whether a link leads to the same URL from every page.

    ``http:/logout`` is relative on a page that is served over http, and absolute elsewhere (WHATWG
    URL, "special authority slashes state"), so both slashes and a host are required.

    :param url: the URL as markdown-it-py has normalized it, with the host in ASCII.
    """
    return _ABSOLUTE.match(url) is not None


def _linkify() -> LinkifyIt:
    """Return a finder of bare URLs that begin with ``http://`` or ``https://``."""
    linkify = LinkifyIt(options={"fuzzy_link": False, "fuzzy_email": False})
    for schema in ("ftp:", "//", "mailto:"):
        linkify.add(schema, None)
    return linkify


@cache
def _cleaner() -> nh3.Cleaner:
    return nh3.Cleaner(
        tags=set(TAGS),
        attributes={tag: set(names) for tag, names in ATTRIBUTES.items()},
        attribute_filter=_attribute,
        url_schemes=set(SCHEMES),
        url_relative="deny",
        link_rel=REL,
    )


def _attribute(_: str, name: str, value: str) -> str | None:
    if name == "href":
        return value if _is_absolute(value) else None
    allowed = _VALUES.get(name)
    return value if allowed is None or allowed.fullmatch(value) else None
