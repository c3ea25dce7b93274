"""GPT-2's split pattern, piece by piece, and the slow, readable way to apply it.

Text is cut into pre-tokens first, and merges never cross a cut.  The alternatives are tried in this order, at each place:

    's|'t|'re|'ve|'m|'ll|'d    an English contraction, lower case only
     ?\\p{L}+                   letters, with the one space before them
     ?\\p{N}+                   numbers of any script, likewise
     ?[^\\s\\p{L}\\p{N}]+         anything else that is not white space, likewise
    \\s+(?!\\S)                 white space, but not the last one before a word: that one may belong to the word
    \\s+                       what is left: white space that is not a plain space, before a word

Radford et al. 2019, section 2.2; openai/gpt-2 `src/encoder.py`.  Its authors regret the missing IGNORECASE: it stays missing.
"""

import regex

from tokenizer.unicode_classes import LETTER, NUMBER, OTHER, SPACE, class_of_scalar

PATTERN = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""

_COMPILED = regex.compile(PATTERN)


class _StandIns(dict[int, str]):
    """For each character above 127 one of its class in our frozen table, about which no release of `regex` thinks otherwise."""

    def __missing__(self, scalar: int) -> str:
        kind = class_of_scalar()[scalar]
        self[scalar] = chr(scalar) if scalar < 128 else {OTHER: "…", LETTER: "é", NUMBER: "²", SPACE: "\u3000"}[kind]
        return self[scalar]


_STAND_INS = _StandIns()


def pretokens(text: bytes) -> list[bytes]:
    """The pre-tokens of a text; joined they are the text.  Slow: the oracle of `scanner.py`.

    A byte that belongs to no UTF-8 character is neither letter, number nor white space.
    """
    characters = text.decode(errors="surrogateescape")
    found = _COMPILED.finditer(characters.translate(_STAND_INS))
    return [characters[piece.start() : piece.end()].encode(errors="surrogateescape") for piece in found]
