"""The characters that nobody sees, and those that change how the text around them is shown.

This is the one place that says what a text of nothing visible is, which characters a name or a
title may not have, and which names are the same. Python's ``unicodedata`` has categories, but not
the property Default_Ignorable_Code_Point (The Unicode Standard, section 5.21, and
DerivedCoreProperties.txt of the Unicode Character Database), so its code points are listed here.
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
"""Those that their category does not tell: fillers, variation selectors, and reserved ones."""

_VISIBLE_FORMATS = frozenset(
    {*range(0x0600, 0x0606), 0x06DD, 0x070F, 0x0890, 0x0891, 0x08E2, 0x110BD, 0x110CD}
)
"""Prepended_Concatenation_Mark: of the category Cf, but signs that are seen."""

_BLANK_SYMBOLS = frozenset({0x2800, 0x1D159})
"""Symbols without ink: the empty Braille pattern, and the null notehead."""

_BIDI_CONTROLS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
"""The explicit formatting characters of the bidirectional algorithm (UAX #9, section 2)."""


def is_ignorable(character: str) -> bool:
    """Return whether a character has no width and no ink of its own.

    That includes joiners and variation selectors, which change how their neighbours look.
    """
    code = ord(character)
    if code in _DEFAULT_IGNORABLE:
        return True
    return unicodedata.category(character) == "Cf" and code not in _VISIBLE_FORMATS


def is_blank(text: str) -> bool:
    """Return whether a text has nothing that can be seen."""
    return not any(map(_is_visible, text))


def find_control(text: str) -> str | None:
    """Return the first character that a text of one line may not have, or None.

    These are control characters, line breaks among them, and what embeds, overrides or isolates a
    direction: it would reorder what stands beside a name. Joiners (U+200C, U+200D) are letters'
    and emoji's own, and marks of a direction (U+200E, U+200F) are harmless; both are allowed.
    """
    if text.isprintable():
        return None
    return next(filter(_is_control, text), None)


def describe_control(character: str) -> str:
    """Return what a character of :func:`find_control` is, for a message."""
    kind = "a bidirectional" if unicodedata.bidirectional(character) in _BIDI_CONTROLS else "a"
    return f"{kind} control character (U+{ord(character):04X})"


def as_line(text: str) -> str:
    """Return a text as one line without control characters, such as a title of a host's object."""
    lines = "".join("\n" if _is_control(each) else each for each in text).split("\n")
    return " ".join(filter(None, lines)).strip()


def strip_ignorable(text: str) -> str:
    """Return a text without the characters that :func:`is_ignorable` tells."""
    if text.isascii():
        return text
    return "".join(each for each in text if not is_ignorable(each))


def name_key(name: str) -> str:
    """Return what two names have in common that are the same.

    Names are the same where they differ in nothing that can be seen: in ignorable characters, in
    the kind and number of spaces, or in how Unicode composes a letter (UAX #15, NFC). Case, and
    forms of a letter that NFKC would unify, can be seen, and make another name.
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
