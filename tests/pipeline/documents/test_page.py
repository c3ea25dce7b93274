import functools
import gzip
import hashlib
import json
import subprocess
import sys

import pytest
from pages_to_fear import GERMAN, HTML, page, paragraphs, record

from pipeline.documents.document import DocumentDrop, ExtractConfig
from pipeline.documents.page import document, explanation
from pipeline.response import PageDrop
from pipeline.schema import PipelineError

gzipped = functools.partial(gzip.compress, mtime=0)  # the time in it would stand in the names of tests

GOOD = page().encode()
GERMAN_PAGE = page("".join(f"<p>{part}</p>" for part in GERMAN.split("\n"))).encode()
MIRROR = page(head='<meta name=generator content="MediaWiki 1"><link rel=canonical href="https://en.wikipedia.org/wiki/A">')


def drop_of(answer: dict) -> str | None:
    return answer["drop"][0] if "drop" in answer else None


def test_a_document_has_the_columns_that_a_page_gives() -> None:
    made = document({}, record(GOOD))
    assert json.loads(json.dumps(made)) == made
    assert list(made) == ["text", "title", "language", "language_score", "extractor", "words", "text_hash"]
    assert made["title"] == "A page"
    assert (made["language"], made["extractor"]) == ("en", "trafilatura")
    assert made["words"] == len(made["text"].split())
    assert made["text_hash"] == hashlib.sha256(made["text"].encode()).hexdigest()


def test_a_gzip_member_and_a_plain_record_are_one_page() -> None:
    assert document({}, gzipped(record(GOOD))) == document({}, record(GOOD))


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        (b"", "BROKEN_RECORD"),
        (b"WARC/1.1\r\nWARC-Type: response\r\n\r\n", "BROKEN_RECORD"),
        (gzipped(record(GOOD))[:-30], "BROKEN_RECORD"),
        (record(GOOD, [("Content-Type", "text/plain")]), "NOT_HTML"),
        (record(page(head='<meta name="robots" content="noai">').encode()), "TRAINING_OPT_OUT"),
        (record(GOOD, [("Content-Type", "text/html"), ("TDM-Reservation", "1")]), "TRAINING_OPT_OUT"),
        (record(b"%PDF-1.4 and more words"), "BINARY"),
        (record(b" "), "EMPTY_BODY"),
        (record(b"x" * 3_000_001), "TOO_LARGE"),
        (record(MIRROR.encode()), "WIKIPEDIA_MIRROR"),
        (record(b"<html><body></body></html>"), "NO_TEXT"),
        (record(page("<div>" * 400 + paragraphs()).encode()), "TOO_DEEP"),
        (record(GERMAN_PAGE), "WRONG_LANGUAGE"),
        (record(page(paragraphs(1)).encode()), "TOO_SHORT"),
    ],
)
def test_the_first_reason_against_a_page_is_its_reason(stored: bytes, reason: str) -> None:
    answer = document({}, stored)
    assert drop_of(answer) == reason
    assert all(isinstance(part, str) for part in answer["drop"])


def test_gates_come_in_their_order() -> None:
    """Media type, body, mirror, language, length."""
    short_german_mirror = page("<p>Der kurze Satz reicht nicht.</p>", head=MIRROR.split("<head>")[1].split("</head>")[0]).encode()
    pdf = [("Content-Type", "application/pdf")]
    assert drop_of(document({}, record(b"%PDF-1.4", pdf))) == "NOT_HTML"
    assert drop_of(document({}, record(short_german_mirror))) == "WIKIPEDIA_MIRROR"
    assert drop_of(document({}, record(page("<p>Der kurze Satz reicht nicht.</p>").encode()))) == "WRONG_LANGUAGE"


def test_language_any_and_rules_none_keep_more() -> None:
    assert document({"language": "any"}, record(GERMAN_PAGE))["language"] == "de"
    assert document({"language": "de"}, record(GERMAN_PAGE))["language"] == "de"
    assert drop_of(document({"language": "de"}, record(GOOD))) == "WRONG_LANGUAGE"
    short = record(page(paragraphs(1)).encode())
    assert document({"rules": "none"}, short)["words"] < 128
    assert drop_of(document({"rules": "none"}, record(GERMAN_PAGE))) == "WRONG_LANGUAGE"


def declaring(language: str, body: bytes) -> bytes:
    return record(body.replace(b"<html>", b'<html lang="' + language.encode() + b'">'))


def test_a_page_that_says_it_is_foreign_and_is_costs_no_extraction(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("extracted")

    said = drop_of(document({}, declaring("de-AT", GERMAN_PAGE))), document({"language": "de"}, declaring("de", GERMAN_PAGE))
    assert said[0] == "WRONG_LANGUAGE"
    assert said[1]["language"] == "de"
    monkeypatch.setattr("pipeline.documents.page.extract", never)
    assert drop_of(document({}, declaring("de-AT", GERMAN_PAGE))) == "WRONG_LANGUAGE"
    for config, stored in (({}, record(GERMAN_PAGE)), ({"language": "any"}, declaring("de", GERMAN_PAGE))):
        with pytest.raises(AssertionError, match="extracted"):
            document(config, stored)


def test_a_declaration_alone_drops_nothing() -> None:
    assert document({}, declaring("de", GOOD))["language"] == "en"
    assert drop_of(document({}, declaring("en", GERMAN_PAGE))) == "WRONG_LANGUAGE"


def test_the_chosen_extractor_is_used() -> None:
    assert document({"extractor": "newspaper"}, record(GOOD))["extractor"] == "newspaper"


def test_a_charset_that_only_the_header_knows_is_honoured() -> None:
    text = "今日は新しい図書館が町に開きました。子供たちは喜んで本を読んでいます。"
    body = page("".join(f"<p>{n}番目の話、{text}</p>" for n in range(60))).encode("shift_jis")
    made = document({"language": "any"}, record(body, [("Content-Type", "text/html; charset=shift_jis")]))
    assert text in made["text"]
    assert made["language"] == "ja"


def test_an_explanation_goes_on_behind_a_drop() -> None:
    told = explanation({}, record(GERMAN_PAGE))
    against = [step["drop"][0] for step in told["steps"] if step["drop"]]
    assert against == ["WRONG_LANGUAGE"]
    assert told["steps"][-1]["name"] == "REPETITIVE"
    assert told["document"]["language"] == "de"
    assert json.loads(json.dumps(told)) == told


def test_no_parser_sees_a_binary_body_even_in_an_explanation() -> None:
    told = explanation({}, record(b"\x89PNG\r\n\x1a\n", HTML))
    assert [step["name"] for step in told["steps"]] == ["media type", "wishes", "body"]
    assert told["document"] is None


@pytest.mark.parametrize("wrong", [{"extractor": "goose"}, {"language": "english"}, {"language": "EN"}, {"rules": "c4"}])
def test_a_wrong_choice_is_refused_with_what_there_is(wrong: dict) -> None:
    (name, value), = wrong.items()
    with pytest.raises(PipelineError, match=f"--{name} {value}: "):
        ExtractConfig(**wrong)


def test_the_child_imports_neither_beam_nor_numba() -> None:
    code = (
        "import sys, pipeline.documents.page\n"
        "print([m for m in ('apache_beam', 'numba', 'torch', 'newspaper', 'requests') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_no_reason_is_named_twice_and_each_has_a_sentence() -> None:
    names = [*DocumentDrop.__members__, *PageDrop.__members__]
    assert len(set(names)) == len(names)
    assert all(len(reason.value.split()) >= 4 for enum in (DocumentDrop, PageDrop) for reason in enum)
