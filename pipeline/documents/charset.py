"""The charset of a body: bytes in, text out, where the text is certain."""

import codecs
import re

from pipeline.response import BYTE_ORDER_MARKS, Headers, byte_order_mark, utf16_shape

# WHATWG Encoding 4.2: labels that browsers read as a larger set than they name.  Left: Python's name.
SUPERSETS = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
}
WEB_CODECS = frozenset({
    *SUPERSETS.values(),
    *(f"cp125{n}" for n in range(9)),
    *(f"iso8859-{n}" for n in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)),
    *("cp866", "koi8-r", "koi8-u", "mac-roman", "mac-cyrillic", "euc_jp", "iso2022_jp", "utf-8"),
})  # fmt: skip
EXTRA_LABELS = {  # labels of the web that Python does not know
    "big5-hkscs": "big5hkscs",
    "dos-874": "cp874",
    "iso-8859-8-i": "iso8859-8",
    "ks_c_5601-1987": "cp949",
    "macintosh": "mac-roman",
    "windows-31j": "cp932",
    "windows-874": "cp874",
    "windows-949": "cp949",
    "x-cp1251": "cp1251",
    "x-cp1252": "cp1252",
    "x-euc-jp": "euc_jp",
    "x-gbk": "gb18030",
    "x-mac-cyrillic": "mac-cyrillic",
    "x-sjis": "cp932",
    "x-x-big5": "big5hkscs",
}

PRESCANNED_BYTES = 4096  # WHATWG HTML 13.2.3.2 says 1,024; real heads are longer
META_CHARSET = re.compile(
    rb"""<(?:meta\b[^>]*?\bcharset|\?xml\b[^>]*?\bencoding)\s*=\s*["']?\s*([A-Za-z0-9_.:-]+)""", re.IGNORECASE
)
HEADER_CHARSET = re.compile(r"""\bcharset\s*=\s*["']?\s*([A-Za-z0-9_.:-]+)""", re.IGNORECASE)

# A page cut inside a letter or with a pasted quotation mark is still UTF-8; a legacy page hardly ever holds a valid sequence.
MAX_BAD_SEQUENCES = 0.1  # of the sequences outside ASCII
# A declared legacy charset is believed unless this share of its letters outside ASCII cannot be read.
MAX_BAD_LETTERS = 0.02

# UTF-8 that was read as latin-1 or windows-1252 and encoded again.  The signs are the second encoding of the first bytes of
# a curly quotation mark or dash, read either way, and of any accented letter of U+00C0-U+00FF.
TWICE_SIGNS = (b"\xc3\xa2\xc2\x80", b"\xc3\xa2\xe2\x82\xac", b"\xc3\x83\xc2", b"\xc3\x83\xc5")
BYTE_OF = {chr(byte): byte for byte in range(0x80, 0x100)} | {
    letter: byte for byte in range(0x80, 0xA0) if (letter := bytes([byte]).decode("cp1252", errors="ignore"))
}
_AFTER = "[" + "".join(re.escape(letter) for letter, byte in BYTE_OF.items() if byte < 0xC0) + "]"
TWICE = re.compile(f"[\xc2-\xdf]{_AFTER}|[\xe0-\xef]{_AFTER}{{2}}|[\xf0-\xf4]{_AFTER}{{3}}")
# No text holds these on purpose: a lead byte before a C1 control, or the first two bytes of a dash.
CERTAINLY_TWICE = re.compile("[\xc2-\xf4][\x80-\x9f]|â€")



def decoded(body: bytes, headers: Headers = ()) -> str | None:
    """The text of a body whose charset is known; None where only statistics can tell.

    In this order: byte order mark, the shape of UTF-16, UTF-8 that is valid (or nearly), the charset of the header, that of
    the page.  UTF-8 goes before a declaration because it cannot be valid by accident; a declaration goes before statistics.
    """
    if mark := byte_order_mark(body):
        return body[len(mark) :].decode(BYTE_ORDER_MARKS[mark], errors="replace")
    if shape := utf16_shape(body):
        return body.decode(shape, errors="replace")
    declared = _declared_codecs(body, headers)
    if "iso2022_jp" in declared and b"\x1b" in body:  # seven bits: it would pass for UTF-8
        return body.decode("iso2022_jp", errors="replace")
    try:
        return once(body.decode("utf-8")) if any(sign in body for sign in TWICE_SIGNS) else body.decode("utf-8")
    except UnicodeDecodeError:
        text = body.decode("utf-8", errors="replace")
    bad = text.count("\ufffd") - body.count(b"\xef\xbf\xbd")
    if bad <= MAX_BAD_SEQUENCES * _letters_outside_ascii(text):
        return text
    for codec in declared:
        text = body.decode(codec, errors="replace")
        if codec != "utf-8" and text.count("\ufffd") <= MAX_BAD_LETTERS * _letters_outside_ascii(text):
            return text
    return None


def once(text: str) -> str:
    """Text that was encoded to UTF-8 twice, decoded a second time; other text as it is.  `Iâ\\x80\\x99ve` -> `I’ve`."""
    return TWICE.sub(_decoded_again, text) if CERTAINLY_TWICE.search(text) else text


def _decoded_again(found: re.Match[str]) -> str:
    try:
        return bytes(BYTE_OF[letter] for letter in found[0]).decode("utf-8")
    except UnicodeDecodeError:
        return found[0]


def web_codec(label: str) -> str | None:
    """Python's codec for a charset label as browsers understand it; None for what the web does not know.

    Never a codec that is no charset (`zlib`, `idna`, `unicode_escape`), nor UTF-7, which WHATWG forbids.
    """
    label = label.strip().lower()
    try:
        name = EXTRA_LABELS.get(label) or codecs.lookup(label).name
    except (LookupError, ValueError):
        return None
    name = SUPERSETS.get(name, name)
    return name if name in WEB_CODECS else None


def _declared_codecs(body: bytes, headers: Headers) -> list[str]:
    values = [value for name, value in headers if name.lower() == "content-type"]
    labels = [found[1] for value in values[-1:] if (found := HEADER_CHARSET.search(value))]
    prescanned = re.sub(rb"<!--.*?(?:-->|$)", b"", body[:PRESCANNED_BYTES], flags=re.DOTALL)
    labels += [found[1].decode("ascii") for found in META_CHARSET.finditer(prescanned)]
    return [codec for label in dict.fromkeys(labels) if (codec := web_codec(label))]


def _letters_outside_ascii(text: str) -> int:
    return len(text) - len(text.encode("ascii", errors="ignore"))
