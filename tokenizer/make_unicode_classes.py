"""Makes `unicode_classes.py`: `python -m tokenizer.make_unicode_classes > tokenizer/unicode_classes.py`.

The classes are asked of regex 2025.9.18, which knows Unicode 16 as tiktoken 0.14 and tokenizers 0.23 do.  They are frozen:
Python 3.11 (Unicode 14) classes 9,392 code points otherwise, regex 2026.11.15 (Unicode 18) 17,480.  A new table splits some
texts in another way, so it is a new tokenizer.
"""

import base64
import itertools
import sys
import textwrap
import zlib
from importlib.metadata import version

import regex

HEADER = '''"""What each Unicode scalar is to GPT-2's pattern: other, letter, number or white space.  A frozen table.

Made by `python -m tokenizer.make_unicode_classes` from regex {version}, Unicode 16; do not edit.  It agrees with tiktoken 0.14
on all 1,112,064 scalars (tests/tokenizer/test_unicode_classes.py).  Surrogates are "other".
"""

import base64
import functools
import zlib

import numpy as np

OTHER, LETTER, NUMBER, SPACE = range(4)

# Runs of equal class as lines "length class", compressed.
_RUNS = """
{runs}
"""


@functools.cache
def class_of_scalar() -> np.ndarray:
    """uint8, shape (0x110000,): the class of each code point."""
    lines = zlib.decompress(base64.b85decode("".join(_RUNS.split()))).decode().split()
    lengths, classes = (np.array(lines[first::2], dtype=np.int64) for first in (0, 1))
    return np.repeat(classes.astype(np.uint8), lengths)
'''


def scalar_class(scalar: int) -> int:
    """0 other, 1 letter, 2 number, 3 white space, as `regex` has it."""
    if 0xD800 <= scalar < 0xE000:
        return 0
    character = chr(scalar)
    return next((n for n, kind in ((1, r"\p{L}"), (2, r"\p{N}"), (3, r"\s")) if regex.fullmatch(kind, character)), 0)


def main() -> None:
    runs = [(kind, len(list(group))) for kind, group in itertools.groupby(map(scalar_class, range(0x110000)))]
    text = "\n".join(f"{length} {kind}" for kind, length in runs)
    packed = base64.b85encode(zlib.compress(text.encode(), 9)).decode()
    sys.stdout.write(HEADER.format(version=version("regex"), runs="\n".join(textwrap.wrap(packed, 116))))


if __name__ == "__main__":
    main()
