"""The language of a text, offline."""

import contextlib
import functools
import os
import re
import unicodedata
import zipfile
from array import array
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
from py3langid.langid import MODEL_FILE, LanguageIdentifier

# On 1,313 extracted pages 2,000 letters give the right label to .9985, 200 to .995.  1,000 give another label than 2,000
# to one page of 1,495, 500 to five, and each thousand costs a fiftieth of what extraction does.
SAMPLE_LETTERS = 1000
NO_LANGUAGE = "zxx"  # ISO 639-2: no linguistic content; the one label of more than two letters that is kept

# Only the first tag and a bounded part of it: a page of nothing but such tags costs no more.
HTML_TAG = re.compile("<html\\b([^>]{0,2000})", re.IGNORECASE)
LANG = re.compile("(?:^|\\s)(?:xml:)?lang\\s*=\\s*[\"']?([a-z]{2,3})(?![a-z])", re.IGNORECASE)

PARTS = ("table", "prior", "languages", "moves", "rows", "features")
VERSION = 1  # of the parts as they are kept


class Language(NamedTuple):
    code: str  # ISO 639-1, or `zxx`
    score: float  # probability, two places: what is left of it after rounding is the same on every machine


def language(text: str) -> Language:
    """The language of the first 1,000 letters."""
    code, probability = _identifier().classify(unicodedata.normalize("NFC", text[:SAMPLE_LETTERS]))
    return Language(code, round(probability, 2))


def declared_language(html: str) -> str | None:
    """What `<html lang>` says, in lower case and without a region: `de` for de-AT."""
    tag = HTML_TAG.search(html)
    found = LANG.search(tag[1]) if tag else None
    return found[1].lower() if found else None


@functools.cache
def _identifier() -> LanguageIdentifier:
    parts = _kept_parts() or _packed_parts()
    table, prior, languages, moves, rows, features = (parts[name] for name in PARTS)
    # Half precision would be widened at every use, and the walk asks for one number at a time, at which NumPy is slow.
    wide, walk, starts = table.astype(np.float32), array("I", moves.tobytes()), array("I", rows.tobytes())
    return LanguageIdentifier(wide, prior, languages.tolist(), walk, features.tolist(), norm_probs=True, tk_row=starts)


def _packed_parts() -> dict[str, np.ndarray]:
    """The parts of py3langid's model that are asked for, kept for the next process: to unpack them takes most of a second."""
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    # Labels of three letters have no ISO 639-1 code; most are small neighbours of a language that has one.
    identifier.set_languages([label for label in identifier.labels if len(label) == 2 or label == NO_LANGUAGE])
    parts: dict[str, np.ndarray] = {
        "table": np.ascontiguousarray(identifier.nb_ptc),  # choosing columns leaves it the slow way round
        "prior": np.asarray(identifier.nb_pc),
        "languages": np.array(identifier.nb_classes),
        "moves": np.asarray(identifier.tk_nextmove).astype(np.uint32),
        "rows": np.asarray(identifier.tk_row).astype(np.uint32),
        "features": np.array(identifier.tk_output, dtype=np.int32),
    }
    with contextlib.suppress(OSError):  # no home, or one that cannot be written, costs time alone
        path = _kept_path()
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.npz")
        np.savez(temporary, **parts)  # type: ignore[arg-type]
        temporary.replace(path)
    return parts


def _kept_parts() -> dict[str, np.ndarray] | None:
    try:
        with _kept_path().open("rb") as file, np.load(file, allow_pickle=False) as kept:
            return {name: kept[name] for name in PARTS}
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        return None  # not there yet, or cut short by a full disk


def _kept_path() -> Path:
    folder = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if not os.path.isabs(folder):
        raise FileNotFoundError(folder)
    return Path(folder, "webtext", f"py3langid-{version('py3langid')}-{VERSION}.npz")
