"""The order of the bytes, and how GPT-2's files spell them.

A vocabulary file must be printable, so each byte has a character: the 188 printable bytes of Latin-1 stand for themselves,
the other 68 become U+0100 and up, in byte order.  The first 256 token ids follow the order of these characters: id 0 is
`!`, id 220 the space (written `Ġ`).  openai/gpt-2 `src/encoder.py`, `bytes_to_unicode`.
"""

PRINTABLE = (*range(33, 127), *range(161, 173), *range(174, 256))
HIDDEN = tuple(byte for byte in range(256) if byte not in PRINTABLE)

BYTE_OF_ID = bytes(PRINTABLE + HIDDEN)
ID_OF_BYTE = tuple(BYTE_OF_ID.index(byte) for byte in range(256))

CHARACTER_OF_BYTE = {byte: chr(byte) for byte in PRINTABLE} | {byte: chr(256 + n) for n, byte in enumerate(HIDDEN)}
BYTE_OF_CHARACTER = {character: byte for byte, character in CHARACTER_OF_BYTE.items()}


def spelled(token: bytes) -> str:
    """A token as vocab.json and merges.txt write it: `b" the"` is `Ġthe`."""
    return "".join(CHARACTER_OF_BYTE[byte] for byte in token)


def unspelled(text: str) -> bytes:
    """The bytes of a token as written in vocab.json.  KeyError: a character that stands for no byte."""
    return bytes(BYTE_OF_CHARACTER[character] for character in text)
