"""One stored page in, one document or the reason against it out: the task that runs in the sandbox.

Every gate and rule is applied here, in this order: media type, wishes, body, Wikipedia mirror, declared language, extraction,
language, rules.  Knows neither Beam nor numba, so that a child starts quickly.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, NamedTuple

from pipeline.documents.charset import decoded
from pipeline.documents.document import Document, DocumentDrop, ExtractConfig
from pipeline.documents.extract import Extraction, extract, paragraphs
from pipeline.documents.language import SAMPLE_LETTERS, Language, declared_language, language
from pipeline.documents.rules import verdicts
from pipeline.documents.view import View
from pipeline.fetch.message import HttpResponse, MessageError
from pipeline.fetch.wishes import response_wish
from pipeline.response import MAX_BODY_BYTES, PageDrop, body_drop, media_type, media_type_drop, wikipedia_drop
from pipeline.schema import Drop
from pipeline.warc import read_response

# FineWeb asks .65 of fastText.  Of 1,072 English pages two lie below it here: a cookie notice and a list of prices.
MIN_LANGUAGE_SCORE = 0.65
# Of a page that says itself that it is in another language: how much of its paragraphs is read, and how sure one must be.
# 300 of 313 such pages end here, which saves a tenth of the time of all 1,301; one English text of 858 is lost, quoted by a
# German page (benchmarks/results/corpus_cost.md).
MIN_DECLARED_LETTERS = 200
MIN_DECLARED_SCORE = 0.9


class Step(NamedTuple):
    """One thing that was looked at: what it is, what was found, and a reason against the page if there is one."""

    name: str
    found: str
    drop: Drop | None = None
    document: Document | None = None  # once there is a text


def document(header: Mapping[str, Any], record: bytes) -> dict[str, Any]:
    """The fields of `Document`, or `{"drop": [reason, detail]}` with the first reason against the page."""
    made = None
    for step in steps(record, config_of(header)):
        if step.drop:
            return {"drop": [step.drop.reason.name, step.drop.detail]}
        made = step.document or made
    assert made is not None
    return made._asdict()


def explanation(header: Mapping[str, Any], record: bytes) -> dict[str, Any]:
    """Every step, whether or not an earlier one was against the page, as far as it can be taken; for `webtext try`."""
    taken = []
    made = None
    for step in steps(record, config_of(header)):
        made = step.document or made
        against = [step.drop.reason.name, str(step.drop.reason), step.drop.detail] if step.drop else None
        taken.append({"name": step.name, "found": step.found, "drop": against})
    return {"steps": taken, "document": made._asdict() if made else None}


def config_of(header: Mapping[str, Any]) -> ExtractConfig:
    return ExtractConfig(**{field.name: header[field.name] for field in fields(ExtractConfig) if field.name in header})


def steps(record: bytes, config: ExtractConfig) -> Iterator[Step]:
    """What is looked at, one after the other; lazily, so that nothing is done behind the first reason against a page."""
    try:
        response = read_response(record, max_bytes=MAX_BODY_BYTES)
    except MessageError as error:
        yield Step("record", "unreadable", Drop(error.reason, error.detail))
        return
    declared = media_type(response.headers)
    yield Step("media type", declared or "not given", media_type_drop(response.headers))
    wish = response_wish(response.headers, response.body)
    yield Step("wishes", wish.detail if wish else "none against training", wish)
    drop = too_large(response) or body_drop(response.body, typed=declared is not None)
    yield Step("body", f"{len(response.body):,} bytes", drop)
    if drop:
        return  # no parser may see it
    text = decoded(response.body, response.headers)
    page = response.body if text is None else text
    mirror = wikipedia_drop(response.body.decode("latin-1") if text is None else text)
    yield Step("Wikipedia mirror", "yes" if mirror else "no", mirror)
    if text is not None:
        yield from _declared_steps(text, config)
    yield from _text_steps(extract(page, extractor=config.extractor), config)


def too_large(response: HttpResponse) -> Drop | None:
    """A body of which no more than the cap was read.  One that the archive itself cut shorter is taken as it is."""
    if response.truncated and len(response.body) >= MAX_BODY_BYTES:
        return Drop(PageDrop.TOO_LARGE, f"more than {MAX_BODY_BYTES} bytes")
    return None


def language_drop(found: Language, *, wanted: str) -> Drop | None:
    if wanted == "any":
        return None
    detail = f"language={found.code} score={found.score:.2f}"
    if found.code != wanted:
        return Drop(DocumentDrop.WRONG_LANGUAGE, detail)
    return Drop(DocumentDrop.UNCLEAR_LANGUAGE, detail) if found.score < MIN_LANGUAGE_SCORE else None


def _declared_steps(html: str, config: ExtractConfig) -> Iterator[Step]:
    """A page that declares another language and keeps its word is not worth an extraction, the dearest thing of all."""
    declared = declared_language(html)
    if declared is None or config.language in ("any", declared):
        return
    sample = paragraphs(html, letters=SAMPLE_LETTERS)
    if len(sample) < MIN_DECLARED_LETTERS:
        return
    spoken = language(sample)
    drop = language_drop(spoken, wanted=config.language) if spoken.score >= MIN_DECLARED_SCORE else None
    yield Step("declared language", f"{declared}; paragraphs {spoken.code} {spoken.score:.2f}", drop)


def _text_steps(extraction: Extraction, config: ExtractConfig) -> Iterator[Step]:
    text = extraction.text
    if not text:
        reason = DocumentDrop.TOO_DEEP if extraction.too_deep else DocumentDrop.NO_TEXT
        yield Step("text", "none", Drop(reason))
        return
    yield Step("text", f"{len(text):,} characters by {extraction.extractor}")
    spoken = language(text)
    made = Document(
        text=text,
        title=extraction.title,
        language=spoken.code,
        language_score=spoken.score,
        extractor=extraction.extractor,
        words=len(text.split()),
        text_hash=hashlib.sha256(text.encode()).hexdigest(),
    )
    yield Step("language", f"{spoken.code} {spoken.score:.2f}", language_drop(spoken, wanted=config.language), made)
    for verdict in verdicts(View(text, language=spoken.code), rules=config.rules):
        measured = f"{verdict.name}={verdict.value:.4g}"
        drop = None if verdict.kept else Drop(verdict.rule.drop, measured)
        yield Step(verdict.rule.drop.name, f"{measured}, kept if {verdict.bound}", drop)
