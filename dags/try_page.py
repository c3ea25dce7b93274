"""One page through extraction and rules, every verdict and measure shown: for debugging.

FILE is a page saved as HTML, or a WARC file (.warc, .warc.gz, .warc.zst).  A URL is fetched as a crawl would fetch it,
so --contact is required.  All rules are tried, even behind one that drops the page.
"""

import argparse
import os
import textwrap
from typing import Any

from pipeline.archive import http_head, records, stored_record
from pipeline.documents.document import EXTRACTORS, RULE_SETS, DocumentDrop, ExtractConfig
from pipeline.response import MAX_BODY_BYTES
from pipeline.sandbox import Killed, Sandbox
from pipeline.schema import PipelineError

ERRORS = (PipelineError,)

TASK = "pipeline.documents.page:explanation"
WARC_SUFFIXES = (".warc", ".warc.gz", ".warc.zst")
SHOWN_LINES = 8  # of the text, unless --text asks for all of it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("page", metavar="FILE|URL", help="an HTML file, a WARC file, or the address of a page")
    parser.add_argument("--page-url", metavar="URL", help="which page of a WARC file (default: its first)")
    parser.add_argument("--contact", metavar="ADDRESS", help="for a URL: who servers may write to")
    parser.add_argument(
        "--allow-private", action="append", default=[], metavar="HOST:PORT-or-CIDR", help="a private host that may be fetched"
    )
    parser.add_argument("--extractor", choices=EXTRACTORS, default=ExtractConfig.extractor, help="default: %(default)s")
    parser.add_argument("--language", default=ExtractConfig.language, help="the corpus's language, or any (default: %(default)s)")
    parser.add_argument("--rules", choices=RULE_SETS, default=ExtractConfig.rules, help="default: %(default)s")
    parser.add_argument("--text", action="store_true", help="print the whole text, not only its beginning")


def run(options: argparse.Namespace) -> int:
    config = ExtractConfig(extractor=options.extractor, language=options.language, rules=options.rules)
    if options.page.startswith(("http://", "https://")):
        from dags.try_fetch import fetched_record  # brings Beam, which a file does not need

        record = fetched_record(options.page, contact=options.contact, allow_private=tuple(options.allow_private))
    else:
        record = stored_page(options.page, url=options.page_url)
    pool = Sandbox(TASK, vars(config), workers=1)
    try:
        answer = pool.answer({}, record)
    finally:
        pool.close()
    if isinstance(answer, Killed):
        reason = DocumentDrop[f"EXTRACT_{answer.reason}"]
        step = {"name": "extraction", "found": "", "drop": [reason.name, reason.value, answer.detail]}
        answer = {"steps": [step], "document": None}
    print("\n".join(report(answer, whole_text=options.text)))
    return 0


def stored_page(path: str, *, url: str | None = None) -> bytes:
    """A file's page as a WARC record."""
    if not os.path.isfile(path):
        raise PipelineError(f"{path}: there is no such file.")
    if not path.endswith(WARC_SUFFIXES):
        if url is not None:
            raise PipelineError(f"--page-url chooses a page of a WARC file; {path} is none (by its name).")
        with open(path, "rb") as file:
            body = file.read(MAX_BODY_BYTES + 1)
        return b"WARC/1.1\r\nWARC-Type: resource\r\nContent-Length: %d\r\n\r\n%b\r\n\r\n" % (len(body), body)
    for record in records(path):
        if record.headers.get("warc-type") not in ("response", "resource") or url not in (None, record.target):
            continue
        if record.headers["warc-type"] == "response" and url is None and http_head(record.head)[0] != 200:
            continue
        return stored_record(path, offset=record.offset, length=record.length)
    raise PipelineError(f"{path}: holds no page{'' if url is None else f' of {url}'}.")


def first_drop(answer: dict[str, Any]) -> list[str] | None:
    return next((step["drop"] for step in answer["steps"] if step["drop"]), None)


def report(answer: dict[str, Any], *, whole_text: bool = False) -> list[str]:
    """Lines to read: a line a step, the verdict, and what was extracted."""
    width = max(len(step["name"]) for step in answer["steps"]) + 2
    lines = [f"{'DROP' if step['drop'] else 'ok':<6}{step['name']:<{width}}{step['found']}".rstrip() for step in answer["steps"]]
    lines.append("")
    if drop := first_drop(answer):
        name, sentence, detail = drop
        lines.append(f"dropped: {name}: {sentence}{f' ({detail})' if detail else ''}")
    else:
        lines.append("kept")
    if document := answer["document"]:
        text = document["text"].split("\n")
        shown = text if whole_text else [textwrap.shorten(line, 120, placeholder=" ...") for line in text[:SHOWN_LINES]]
        lines += ["", f"title: {document['title']}", f"words: {document['words']:,}", "", *shown]
        if len(shown) < len(text):
            lines.append(f"... {len(text) - len(shown):,} more lines; --text shows all")
    return lines
