"""What a vocabulary makes of the corpus: bytes for a token by language, tokens that are used, from ROOT/vocab and ROOT/tokens."""

from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute as pc

from pipeline import storage
from pipeline.schema import PipelineError, ShardError
from pipeline.shards import open_arrow, read_batches
from tokenizer import Tokenizer

SHOWN = 12


class Packed(NamedTuple):
    """How much text so many tokens hold."""

    documents: int
    bytes: int
    tokens: int

    @property
    def bytes_per_token(self) -> float:
        return self.bytes / max(self.tokens, 1)


class TokenFacts(NamedTuple):
    n_vocab: int
    fingerprint: str
    splits: dict[str, Packed]
    languages: dict[str, Packed]  # the end-of-text of each document not counted
    used: int  # tokens of the vocabulary that stand in a shard
    most_used: list[tuple[str, int]]
    longest: list[str]


def token_facts(root: str, manifest: dict[str, Any]) -> TokenFacts | str | None:
    """None if there is neither vocabulary nor tokens; a sentence if there are no tokens of this very corpus."""
    folder = storage.join(root, "tokens")
    has_vocabulary = storage.exists(storage.join(root, "vocab", "vocab.json"))
    paths = [storage.join(folder, shard["path"].rpartition("/")[2]) for shard in manifest["shards"]]
    present = [path for path in paths if storage.exists(path)]
    if not present:
        return "There is a vocabulary, but the corpus is not encoded yet: run `webtext tokens`." if has_vocabulary else None
    if len(present) < len(paths):
        return "The token shards are not those of this corpus: run `webtext tokens` again."
    splits: defaultdict[str, np.ndarray] = defaultdict(lambda: np.zeros(3, np.int64))
    languages: defaultdict[str, np.ndarray] = defaultdict(lambda: np.zeros(3, np.int64))
    metadata = open_arrow(paths[0]).schema.metadata or {}
    used = np.zeros(int(metadata.get(b"n_vocab", b"65536")), np.int64)
    fingerprint = metadata.get(b"tokenizer", b"").decode()
    for shard, path in zip(manifest["shards"], paths, strict=True):
        corpus = read_batches(storage.join(root, "corpus", *shard["path"].split("/")), columns=["id", "text", "language"])
        try:
            for documents, encoded in zip(corpus, read_batches(path), strict=True):
                if documents.column("id").to_pylist() != encoded.column("document").to_pylist():
                    return "The token shards are not those of this corpus: run `webtext tokens` again."
                ids = encoded.column("ids").flatten().to_numpy()
                used += np.bincount(ids, minlength=len(used))[: len(used)]
                sizes = pc.binary_length(documents.column("text")).to_numpy().astype(np.int64)
                lengths = pc.list_value_length(encoded.column("ids")).to_numpy().astype(np.int64) - 1
                for language in set(names := documents.column("language").to_pylist()):
                    of = np.array([name == language for name in names])
                    languages[language] += (of.sum(), sizes[of].sum(), lengths[of].sum())
                splits[shard["split"]] += (len(sizes), sizes.sum(), lengths.sum())
        except (ShardError, ValueError) as error:  # cut short, or of other batches: the corpus was made anew since
            return f"The token shards cannot be read beside this corpus ({error}): run `webtext tokens` again."
    tokens = vocabulary_of(root, fingerprint)
    return TokenFacts(
        n_vocab=len(used),
        fingerprint=fingerprint,
        splits={name: Packed(*map(int, sums)) for name, sums in splits.items()},
        languages={name: Packed(*map(int, sums)) for name, sums in languages.items()},
        used=int(np.count_nonzero(used)),
        most_used=most_used(used, tokens),
        longest=longest(tokens[:-1]),
    )


def vocabulary_of(root: str, fingerprint: str) -> list[bytes]:
    """The tokens in ROOT/vocab, if the shards were made with them."""
    if not storage.exists(storage.join(root, "vocab", "vocab.json")):
        return []
    try:
        tokenizer = Tokenizer.load(storage.join(root, "vocab"))
    except (PipelineError, ValueError, OSError):
        return []
    return list(tokenizer.tokens) if tokenizer.fingerprint == fingerprint else []


def most_used(used: np.ndarray, tokens: list[bytes]) -> list[tuple[str, int]]:
    if len(tokens) != len(used):
        return []
    counts = used.copy()
    counts[-1] = 0  # the end-of-text stands behind every document
    first = np.argsort(-counts, kind="stable")[:SHOWN].tolist()
    return [(shown(tokens[number]), int(counts[number])) for number in first if counts[number]]


def longest(tokens: list[bytes]) -> list[str]:
    """Those with a letter: rows of spaces and dashes are longer still."""
    lettered = (token for token in tokens if any(map(str.isalpha, token.decode(errors="replace"))))
    return [shown(token) for token in sorted(lettered, key=lambda token: (-len(token), token))[:SHOWN]]


def shown(token: bytes) -> str:
    """A token with its spaces and bytes to be seen."""
    text = repr(token.decode(errors="backslashreplace"))
    return text if len(text) <= 40 else f"{text[:32]}…' ({len(token)} bytes)"
