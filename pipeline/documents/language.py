"""The language of a text, offline."""

import functools
import re
import unicodedata
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
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    # Labels of three letters have no ISO 639-1 code; most are small neighbours of a language that has one.
    identifier.set_languages([label for label in identifier.labels if len(label) == 2 or label == NO_LANGUAGE])
    # Choosing columns leaves the table the slow way round, and half precision is widened at every use: together 2x.
    identifier.nb_ptc = np.ascontiguousarray(identifier.nb_ptc, dtype=np.float32)
    return identifier
