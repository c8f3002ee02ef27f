"""Visible characters, characters that a line may not have, and names that look alike."""

from __future__ import annotations

import unicodedata

import pytest

from tallied.content.characters import as_line, describe_control, find_control, is_blank, name_key

ZWNJ, ZWJ, VS16 = "\u200c", "\u200d", "\ufe0f"
INVISIBLE = (
    "\u200b\u200c\u200d\u200e\u200f\u2060\u2064\ufeff\u00ad\u034f\u061c\u115f\u1160\u17b4\u180b"
    "\u180e\u2800\u3164\uffa0\ufe0f\ufff9\U0001d159\U0001d173\U000e0001\U000e0020\U000e0100"
)


@pytest.mark.parametrize("character", INVISIBLE, ids=lambda item: f"U+{ord(item):04X}")
def test_invisible_character_is_blank(character: str) -> None:
    assert is_blank(character * 3)
    assert is_blank(f" {character}\n")
    assert not is_blank(f"{character}x{character}")


def test_whitespace_and_controls_are_blank_and_letters_are_not() -> None:
    assert is_blank("")
    assert is_blank(" \t\n\u3000\u2028\x07\x85\xa0")
    for text in ("x", "字", "🙂", "🏴", "\u0627", "\u0600", "\u0301", "0", ".", "_"):
        assert not is_blank(text), ascii(text)


@pytest.mark.parametrize(
    ("character", "kind"),
    [
        ("\0", "a control character (U+0000)"),
        ("\n", "a control character (U+000A)"),
        ("\x1b", "a control character (U+001B)"),
        ("\x85", "a control character (U+0085)"),
        ("\u2028", "a control character (U+2028)"),
        ("\u2029", "a control character (U+2029)"),
        *((chr(code), f"a bidirectional control character (U+{code:04X})")
          for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))),
    ],
)  # fmt: skip
def test_control_character_is_described(character: str, kind: str) -> None:
    assert find_control(f"a{character}b") == character
    assert describe_control(character) == kind
    assert as_line(f" a{character}b ") == "a b"


@pytest.mark.parametrize(
    "name",
    [
        "Ada Lovelace",
        f"علی{ZWNJ}رضا",  # Persian: two parts of one name
        f"क्{ZWJ}ष",  # Devanagari: a half form
        f"👩{ZWJ}💻",
        f"❤{VS16}",
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",  # England's flag
        "葛\U000e0100城",  # a variant that the family writes
        "אדה\u200e (Ada)",  # a mark of a direction
        "Anne\xadMarie",
    ],
    ids=ascii,
)
def test_name_that_people_write_has_no_control(name: str) -> None:
    assert find_control(name) is None
    assert not is_blank(name)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ada", "A\u200bda\ufeff"),
        ("Ada", f"{ZWJ}Ada{ZWNJ}"),
        ("Ada", "A\u3164d\u00ada\u2060\u034f"),
        (f"علی{ZWNJ}رضا", "علیرضا"),
        (f"❤{VS16}", "❤"),
        (f"👩{ZWJ}💻", "👩💻"),
        ("Ada Lovelace", "Ada \u200b \xa0Lovelace"),
        ("Zo\u00eb", "Zoe\u0308"),
        ("Zo\u00eb", f"Zoe{ZWNJ}\u0308"),
    ],
    ids=ascii,
)
def test_similar_names_have_one_key(one: str, other: str) -> None:
    assert name_key(one) == name_key(other)
    assert name_key(name_key(one)) == name_key(one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ada", "ada"),
        ("Ada", "Ad\u0430"),
        ("Ada", "\uff21da"),
        ("Ada", "A da"),
        ("\ufb01", "fi"),
        ("x", "x\xb2"),
    ],
    ids=ascii,
)
def test_different_names_have_two_keys(one: str, other: str) -> None:
    assert name_key(one) != name_key(other)


def test_every_format_character_is_ignored_or_seen() -> None:
    """None is left that is neither: a newer Python may know more of them."""
    formats = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) == "Cf"]
    assert len(formats) >= 160
    for item in formats:
        assert is_blank(item) == (name_key(f"a{item}b") == "ab"), f"U+{ord(item):04X}"
