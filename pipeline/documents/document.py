"""A document, the choices that change it, and the reasons against it.  Imports no parser, so that the driver pays for none."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from pipeline.schema import PipelineError

EXTRACTORS = ("trafilatura", "newspaper")
RULE_SETS = ("webtext", "none")


@dataclass(frozen=True)
class ExtractConfig:
    """Every choice that changes a document."""

    extractor: str = "trafilatura"
    language: str = "en"  # ISO 639-1, or `any`
    rules: str = "webtext"

    def __post_init__(self) -> None:
        if self.extractor not in EXTRACTORS:
            raise PipelineError(f"--extractor {self.extractor}: there are {' and '.join(EXTRACTORS)}.")
        if self.language != "any" and not (len(self.language) == 2 and self.language.isalpha() and self.language.islower()):
            raise PipelineError(f"--language {self.language}: expected two letters of ISO 639-1, such as en, or any.")
        if self.rules not in RULE_SETS:
            raise PipelineError(f"--rules {self.rules}: there are {' and '.join(RULE_SETS)}.")


class Document(NamedTuple):
    """What a page itself gives to a row of schema.DOCUMENT."""

    text: str
    title: str
    language: str
    language_score: float
    extractor: str
    words: int
    text_hash: str


class DocumentDrop(StrEnum):
    NO_TEXT = "no main text was found in the page"
    TOO_DEEP = "the page nests more than 255 elements, so no parser reads it"
    EXTRACT_TIMEOUT = "the extractor did not come to an end"
    EXTRACT_MEMORY = "the extractor wanted more memory than a page may have"
    EXTRACT_CRASH = "the extractor broke down"
    WRONG_LANGUAGE = "the text is in another language than the corpus"
    UNCLEAR_LANGUAGE = "the language of the text is not clear: names, prices or code without sentences"
    TOO_SHORT = "the text is shorter than 128 words or pieces"
    MOJIBAKE = "letters were lost to a wrong charset"
    LOREM_IPSUM = "the text is a designer's filler"
    NOTICE = "the page is an error message, a robot check or a parked domain"
    POLICY = "the text is about cookies, privacy or terms of use"
    SHORT_WORDS = "the words are too short for prose"
    LONG_WORDS = "the words are too long for prose"
    NOT_ALPHABETIC = "too few words hold a letter: figures, tables or symbols"
    SYMBOL_HEAVY = "too many hash signs or ellipses for prose"
    NO_STOP_WORDS = "English without its commonest words is a list of names or keywords"
    BULLETED = "nearly every line is a list item"
    CUT_LINES = "too many lines end in an ellipsis: a page of excerpts"
    FRAGMENTED = "a line ends every few words: menus, tables or search results"
    NO_SENTENCES = "fewer than one sentence in 100 words"
    DUPLICATE_LINES = "too much of the text stands in repeated lines"
    REPEATED_PHRASE = "one phrase makes up too much of the text"
    REPETITIVE = "too much of the text repeats itself"
