"""The same tokenizer in a few slow, readable lines: to learn from, and to test the quick one against.

    words = counted(texts)
    merges = trained(words, wanted=1000)
    ids = encoded("Hello world".encode(), merges)
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise

from tokenizer.alphabet import ID_OF_BYTE
from tokenizer.pattern import pretokens

Pair = tuple[int, int]


def counted(texts: Iterable[bytes]) -> Counter[bytes]:
    """How often each pre-token occurs."""
    words: Counter[bytes] = Counter()
    for text in texts:
        words.update(pretokens(text))
    return words


def joined(ids: list[int], pair: Pair, new: int) -> list[int]:
    """The ids with every occurrence of the pair replaced, from the left: `aaa` holds `aa` once."""
    out: list[int] = []
    at = 0
    while at < len(ids):
        if tuple(ids[at : at + 2]) == pair:
            out.append(new)
            at += 2
        else:
            out.append(ids[at])
            at += 1
    return out


def trained(words: Mapping[bytes, int], *, wanted: int, min_count: int = 2) -> list[Pair]:
    """The merges: again and again the most frequent pair, of equals the one with the smallest ids."""
    spelled = {word: [ID_OF_BYTE[byte] for byte in word] for word in words}
    merges: list[Pair] = []
    while len(merges) < wanted:
        pairs: Counter[Pair] = Counter()
        for word, ids in spelled.items():
            for pair in pairwise(ids):  # overlapping: `aaa` holds (a, a) twice
                pairs[pair] += words[word]
        best = min(pairs, key=lambda pair: (-pairs[pair], pair), default=None)
        if best is None or pairs[best] < min_count:
            break
        new = 256 + len(merges)
        merges.append(best)
        spelled = {word: joined(ids, best, new) for word, ids in spelled.items()}
    return merges


def encoded(text: bytes, merges: list[Pair]) -> list[int]:
    """The ids of a text: in each pre-token the earliest merge first, as long as one applies."""
    rank = {pair: number for number, pair in enumerate(merges)}
    out: list[int] = []
    for word in pretokens(text):
        ids = [ID_OF_BYTE[byte] for byte in word]
        while True:
            best = min(pairwise(ids), key=lambda pair: rank.get(pair, len(merges)), default=None)
            if best not in rank:
                break
            ids = joined(ids, best, 256 + rank[best])
        out += ids
    return out
