"""What each rule drops of real English pages, and how many good ones among them.

    python benchmarks/extraction_rules.py SHARED

A page counts as good when its gold says article or documentation and our text has a 4-gram shingle F1 of at least .7
against that gold: whatever else is wrong with it, it was a text worth having.  Every rule is asked of every page of at
least 128 pieces, whatever the rules before it said.  The peer is the same rule with its source's limit, where ours differs.
"""

import sys
from collections import defaultdict
from pathlib import Path

from extraction_quality import gold_rows, shingle_parts

from pipeline.archive import records, stored_record
from pipeline.documents.page import explanation
from pipeline.documents.rules import (
    WEBTEXT_RULES,
    alphabetic_share,
    repeated_10gram_share,
    repeated_lines_share,
)
from pipeline.documents.view import View

GOOD_TYPES = ("article", "documentation")
GOOD_F1 = 0.7
# Limits of the sources (Rae et al. 2021, table A1) that we do not take.
PEERS = (("alphabetic_share < 0.8", lambda view: alphabetic_share(view) < 0.8),
         ("repeated_lines_share > 0.2", lambda view: repeated_lines_share(view) > 0.2),
         ("repeated_10gram_share > 0.1", lambda view: repeated_10gram_share(view) > 0.1))  # fmt: skip
BRACES = "`{` anywhere (C4)"


def page_f1(text: str, gold: str) -> float:
    right, surplus, missing = shingle_parts(text, gold)
    return 2 * right / (2 * right + surplus + missing)


def main() -> None:
    data = Path(sys.argv[1]) / "data"
    archive = str(data / "pages-dev.warc.gz")
    pages = [record for record in records(archive) if record.headers["warc-type"] == "response"]
    dropped: defaultdict[str, list[bool]] = defaultdict(list)
    asked: list[bool] = []
    for page, gold in zip(pages, gold_rows(data / "gold-dev.jsonl.zst"), strict=True):
        if gold["gold_kind"] != "full_text":
            continue
        told = explanation({}, stored_record(archive, offset=page.offset, length=page.length))
        reasons = {step["drop"][0] for step in told["steps"] if step["drop"]}
        if told["document"] is None or reasons & {"WRONG_LANGUAGE", "UNCLEAR_LANGUAGE", "WIKIPEDIA_MIRROR"}:
            continue
        text = told["document"]["text"]
        good = gold["page_type"] in GOOD_TYPES and page_f1(text, gold["gold_text"] or "") >= GOOD_F1
        if "TOO_SHORT" in reasons:
            dropped["TOO_SHORT"].append(good)
            continue
        asked.append(good)
        for reason in reasons:
            dropped[reason].append(good)
        if reasons:
            dropped["any rule"].append(good)
        view = View(text, "en")
        for name, breaks in (*PEERS, (BRACES, lambda view: "{" in view.text)):
            if breaks(view):
                dropped[name].append(good)
    print(f"English pages of at least 128 pieces: {len(asked)}, good {sum(asked)}\n")
    print("| rule | drops | good among them |\n|---|---|---|")
    names = [*dict.fromkeys(rule.drop.name for rule in WEBTEXT_RULES), "any rule", *(name for name, _ in PEERS), BRACES]
    for name in names:
        print(f"| {name} | {len(dropped[name])} | {sum(dropped[name])} |")


if __name__ == "__main__":
    main()
