"""Text from outside, made safe to look at.  Escaping of markup is the template's; this is for what no escaping mends."""

import re
import unicodedata

# Control characters, and those that reorder, join or hide what stands beside them (Unicode 16, bidi and format controls).
# U+200C and U+200D stay: Persian, Hindi and emoji are written with them.
UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff"
    "\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
MARKS = "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
STACKED = re.compile(f"({MARKS}{{3}}){MARKS}+")  # more than three on a letter: a way to write over the lines above


def harmless(text: str) -> str:
    """The text with characters that no one sees written out, as <U+202E> is, and no more than three marks on a letter."""
    return STACKED.sub(r"\1", UNSEEN.sub(named, text))


def named(match: re.Match[str]) -> str:
    return f"\N{MATHEMATICAL LEFT ANGLE BRACKET}U+{ord(match[0]):04X}\N{MATHEMATICAL RIGHT ANGLE BRACKET}"


def cut(text: str | None, *, characters: int) -> str:
    """At most so many characters, on one line; what is left out is told by its length."""
    if not text:
        return ""
    line = " ".join(text[: 4 * characters].split())
    if len(line) <= characters and len(text) <= 4 * characters:
        return line
    told = f" ({len(text):,} characters)" if len(text) >= 100_000 else ""
    return f"{line[:characters].rstrip()}\N{HORIZONTAL ELLIPSIS}{told}"


def link_target(url: str | None) -> str | None:
    """The URL if a reader may follow it: http or https, of a length that servers take, without hidden characters."""
    if url and len(url) <= 2048 and url.lower().startswith(("http://", "https://")) and not UNSEEN.search(url):
        return url if not any(unicodedata.category(character) == "Cc" for character in url) else None
    return None
