"""Random texts that are hard on GPT-2's pattern, from a seed."""

import random

PIECES = (
    *" " * 6, *"\n" * 3, "\t", "\r\n", "'", "'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'RE", "’s", "a", "ab", "é", "ß",
    "\u0301", "中", "ー", "1", "23", "²", "٣", "!", "...", "…", "\u00a0", "\u2003", "\u200b", "\u001c", "\u0085", "\u180e",
    "\u2028", "\u3000", "😀", "𝒳", "\0", "=" * 20, "a" * 17,
)  # fmt: skip


def text(draw: random.Random, *, most: int = 29) -> str:
    """A text of up to `most` pieces; one in twenty is any scalar."""
    return "".join(
        draw.choice(PIECES)
        if draw.random() < 0.95
        else chr(draw.choice((draw.randrange(0xD800), draw.randrange(0xE000, 0x110000))))
        for _ in range(draw.randrange(most + 1))
    )


def texts(count: int, *, seed: int, most: int = 29) -> list[str]:
    draw = random.Random(seed)
    return [text(draw, most=most) for _ in range(count)]


def broken(texts: list[str], *, seed: int) -> list[bytes]:
    """The texts as bytes, shuffled within each and sprinkled with bytes that no UTF-8 holds there."""
    draw = random.Random(seed)
    made = []
    for text in texts:
        data = list(text.encode())
        for _ in range(draw.randrange(4)):
            data.insert(draw.randrange(len(data) + 1), draw.choice((0x80, 0xBF, 0xC0, 0xC2, 0xE2, 0xED, 0xF0, 0xF4, 0xF5, 0xFF)))
        if draw.random() < 0.3:
            draw.shuffle(data)
        made.append(bytes(data))
    return made


def prose(words: int, *, seed: int, vocabulary: int = 3000) -> str:
    """Words in a Zipf-like order, for the trainer."""
    draw = random.Random(seed)
    letters = "etaoinshrdlucmfwypvbgkqjxz"
    known = ["".join(draw.choices(letters, weights=range(26, 0, -1), k=draw.randrange(1, 12))) for _ in range(vocabulary)]
    weights = [1 / (rank + 1) for rank in range(vocabulary)]
    chosen = draw.choices(known, weights=weights, k=words)
    return "".join(draw.choice((" ", " ", " ", ". ", ", ", "\n")) + word for word in chosen)
