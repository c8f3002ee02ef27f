"""Invisible characters, and those that change how the text around them is displayed.

This module alone defines a blank text, the characters that a name or a title may not have, and
equal names. Python's ``unicodedata`` has categories, but not the property
Default_Ignorable_Code_Point (The Unicode Standard, section 5.21, and DerivedCoreProperties.txt of
the Unicode Character Database), so its code points are listed here.
"""

from __future__ import annotations

import unicodedata

_SEPARATORS = frozenset({"Zs", "Zl", "Zp", "Cc", "Cf"})
_LINE_BREAKS = frozenset({"Zl", "Zp"})

_DEFAULT_IGNORABLE = frozenset(
    {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2065, 0x3164, 0xFFA0}
    | {*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xFFF0, 0xFFF9)}
    | {*range(0xE0000, 0xE1000)}
)
"""Ignorable code points of other categories: fillers, variation selectors, reserved ones."""

_VISIBLE_FORMATS = frozenset(
    {*range(0x0600, 0x0606), 0x06DD, 0x070F, 0x0890, 0x0891, 0x08E2, 0x110BD, 0x110CD}
)
"""Prepended_Concatenation_Mark: of the category Cf, but visible."""

_BLANK_SYMBOLS = frozenset({0x2800, 0x1D159})
"""Symbols that are blank: the empty Braille pattern, and the null notehead."""

_BIDI_CONTROLS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
"""The explicit formatting characters of the bidirectional algorithm (UAX #9, section 2)."""


def is_ignorable(character: str) -> bool:
    """Return whether a character has no width and no glyph of its own.

    Joiners and variation selectors are included, which change how their neighbours look.
    """
    code = ord(character)
    if code in _DEFAULT_IGNORABLE:
        return True
    return unicodedata.category(character) == "Cf" and code not in _VISIBLE_FORMATS


def is_blank(text: str) -> bool:
    """Return whether a text has no visible character."""
    return not any(map(_is_visible, text))


def find_control(text: str) -> str | None:
    """Return the first character that is not allowed in a text of one line, or None.

    These are control characters, including line breaks, and the characters that embed, override or
    isolate a direction, which would reorder the text beside a name. Joiners (U+200C, U+200D), which
    letters and emoji need, and harmless direction marks (U+200E, U+200F) are allowed.
    """
    if text.isprintable():
        return None
    return next(filter(_is_control, text), None)


def describe_control(character: str) -> str:
    """Return a character of :func:`find_control` in words, for a message."""
    kind = "a bidirectional" if unicodedata.bidirectional(character) in _BIDI_CONTROLS else "a"
    return f"{kind} control character (U+{ord(character):04X})"


def as_line(text: str) -> str:
    """Return a text as one line without control characters, such as a title of a host's object."""
    lines = "".join("\n" if _is_control(char) else char for char in text).split("\n")
    return " ".join(filter(None, lines)).strip()


def strip_ignorable(text: str) -> str:
    """Return a text without ignorable characters, see :func:`is_ignorable`."""
    if text.isascii():
        return text
    return "".join(char for char in text if not is_ignorable(char))


def name_key(name: str) -> str:
    """Return a key that equal names share.

    Names are equal if they differ in nothing visible: only in ignorable characters, in the kind and
    number of spaces, or in how Unicode composes a letter (UAX #15, NFC). Case, and forms of a
    letter that NFKC would unify, are visible differences.
    """
    return " ".join(unicodedata.normalize("NFC", strip_ignorable(name)).split())


def _is_visible(character: str) -> bool:
    code = ord(character)
    if code in _DEFAULT_IGNORABLE or code in _BLANK_SYMBOLS:
        return False
    return unicodedata.category(character) not in _SEPARATORS or code in _VISIBLE_FORMATS


def _is_control(character: str) -> bool:
    category = unicodedata.category(character)
    return (
        category == "Cc"
        or category in _LINE_BREAKS
        or unicodedata.bidirectional(character) in _BIDI_CONTROLS
    )
