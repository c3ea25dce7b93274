"""The files of a tokenizer: vocab.json and merges.txt as GPT-2 came with them, tokenizer.json for Hugging Face's
libraries, gpt2.tiktoken for tiktoken.  The merges say it all; the rest is derived from them."""

import base64
import json
import os
import pathlib

import numpy as np

from tokenizer.alphabet import BYTE_OF_ID, spelled, unspelled

END_OF_TEXT = "<|endoftext|>"
MERGES_HEADER = "#version: 0.2"

VOCAB_NAMES = ("vocab.json", "encoder.json")  # ours, and OpenAI's name for it
MERGES_NAMES = ("merges.txt", "vocab.bpe")


class TokenizerError(ValueError):
    """Tokenizer files that are missing, broken, or of another kind of tokenizer."""


def tokens_of(merges: np.ndarray) -> list[bytes]:
    """The bytes of each token, the end-of-text token excepted.  They are distinct."""
    tokens = [bytes([byte]) for byte in BYTE_OF_ID]
    for left, right in merges.tolist():
        tokens.append(tokens[left] + tokens[right])
    return tokens


def merges_text(merges: np.ndarray) -> str:
    """The content of merges.txt."""
    names = [spelled(token) for token in tokens_of(merges)]
    lines = [f"{names[left]} {names[right]}" for left, right in merges.tolist()]
    return "\n".join([MERGES_HEADER, *lines]) + "\n"


def vocabulary(merges: np.ndarray) -> dict[str, int]:
    """The content of vocab.json: each token as it is spelled, and its id.  The last is the end-of-text token."""
    names = [spelled(token) for token in tokens_of(merges)] + [END_OF_TEXT]
    return {name: number for number, name in enumerate(names)}


def tokenizer_json(merges: np.ndarray) -> dict[str, object]:
    """The content of tokenizer.json, for `tokenizers` and `transformers`."""
    names = list(vocabulary(merges))
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": len(names) - 1, "content": END_OF_TEXT, **special}],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocabulary(merges),
            "merges": [[names[left], names[right]] for left, right in merges.tolist()],
        },
    }


def tiktoken_text(merges: np.ndarray) -> str:
    """The content of gpt2.tiktoken: base64 of each token, and its rank.  Special tokens are not in such files."""
    return "".join(f"{base64.b64encode(token).decode()} {rank}\n" for rank, token in enumerate(tokens_of(merges)))


def contents(merges: np.ndarray) -> dict[str, str]:
    """Every file by its name."""
    return {
        "merges.txt": merges_text(merges),
        "vocab.json": json.dumps(vocabulary(merges)),
        "tokenizer.json": json.dumps(tokenizer_json(merges), ensure_ascii=False),
        "gpt2.tiktoken": tiktoken_text(merges),
    }


def save(folder: str | os.PathLike, merges: np.ndarray) -> None:
    """Writes the files, each whole or not at all."""
    path = pathlib.Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    for name, text in contents(merges).items():
        temporary = path / f".{name}.tmp-{os.getpid()}"  # as storage names what is not published yet
        with open(temporary, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path / name)


def load(folder: str | os.PathLike) -> np.ndarray:
    """The merges of a saved tokenizer, or of GPT-2's own encoder.json and vocab.bpe."""
    path = pathlib.Path(folder)
    merges_path, vocab_path = (_first(path, names) for names in (MERGES_NAMES, VOCAB_NAMES))
    merges = parsed_merges(_text(merges_path), name=str(merges_path))
    try:
        found = json.loads(_text(vocab_path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise TokenizerError(f"{vocab_path}: is not JSON ({error}).") from error
    expected = vocabulary(merges)
    if found != expected:
        found = found if isinstance(found, dict) else {}
        odd = next((name for name, number in expected.items() if found.get(name) != number), None)
        detail = "it has other tokens too" if odd is None else f"the id of {odd!r} is {found.get(odd)}, not {expected[odd]}"
        raise TokenizerError(
            f"{vocab_path}: does not belong to {merges_path}: {detail}. Expected are the 256 bytes in GPT-2's order, "
            f"the merges in theirs, and {END_OF_TEXT} last."
        )
    return merges


def _first(folder: pathlib.Path, names: tuple[str, ...]) -> pathlib.Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise TokenizerError(f"{folder}: holds neither {' nor '.join(names)}. Train a vocabulary with `webtext vocab`.")


def _text(path: pathlib.Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise TokenizerError(f"{path}: is not text in UTF-8 ({error}).") from error
    except OSError as error:
        raise TokenizerError(f"{path}: {error.strerror}.") from error


def parsed_merges(text: str, *, name: str = "merges.txt") -> np.ndarray:
    """The merges of a merges.txt, int64, shape (n, 2).  Raises TokenizerError for the first line that is none."""
    lines = text.split("\n")
    first = 1 if lines[0].startswith("#version") else 0
    last = len(lines) - 1 if lines[-1] == "" else len(lines)
    ids = {bytes([byte]): number for number, byte in enumerate(BYTE_OF_ID)}
    merges = np.empty((last - first, 2), dtype=np.int64)
    for row, line in enumerate(lines[first:last]):
        try:
            left, right = map(unspelled, line.split(" "))
            merges[row] = ids[left], ids[right]
        except (KeyError, ValueError) as error:
            raise TokenizerError(f"{name}: line {first + row + 1} is {line!r}, not two tokens made before.") from error
        if ids.setdefault(left + right, 256 + row) != 256 + row:
            raise TokenizerError(f"{name}: line {first + row + 1} makes a token that is there already: {line!r}.")
    return merges
