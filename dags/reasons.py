"""Every reason for which a record is dropped, and the sentence people read."""

import importlib
from enum import StrEnum
from functools import cache

from pipeline import STAGES, Stage
from pipeline.dedup import DuplicateDrop
from pipeline.documents.document import DocumentDrop
from pipeline.dump import SubmissionDrop
from pipeline.fetch.reasons import FetchDrop
from pipeline.link_rules import LinkDrop
from pipeline.pages import ReplayDrop
from pipeline.removal import RemovalDrop
from pipeline.response import PageDrop

REASONS: dict[str, tuple[type[StrEnum], ...]] = {
    "submissions": (SubmissionDrop,),
    "links": (LinkDrop,),
    "pages": (ReplayDrop, FetchDrop, LinkDrop),
    "documents": (FetchDrop, PageDrop, DocumentDrop),
    "duplicates": (DuplicateDrop,),
    "corpus": (RemovalDrop,),
}


def reasons_of(stage: Stage) -> tuple[type[StrEnum], ...]:
    """The reasons of a stage: as above, or every `...Drop` that its module defines."""
    if stage.name in REASONS:
        return REASONS[stage.name]
    defined = vars(importlib.import_module(stage.module)).values()
    enums = (found for found in defined if isinstance(found, type) and issubclass(found, StrEnum))
    return tuple(found for found in enums if found.__name__.endswith("Drop"))


@cache
def sentences() -> dict[str, str]:
    """The sentence of each reason, by name."""
    stages = (stage for stage in STAGES.values() if stage.name)
    return {reason.name: reason.value for stage in stages for enum in reasons_of(stage) for reason in enum}


def sentence_of(reason: str) -> str:
    return sentences().get(reason, "a reason of another version of webtext")


def reasons_page() -> str:
    """docs/reasons.md: every stage and its reasons, as the code has them."""
    lines = ["# Stages and reasons", "", "Made from the code by `python -m dags.reasons > docs/reasons.md`.", ""]
    told: set[type[StrEnum]] = set()
    for stage in (stage for stage in STAGES.values() if stage.name):
        enums = reasons_of(stage)
        lines += [f"## {stage.name}", "", "| reason | a record is dropped because |", "|---|---|"]
        lines += [f"| `{reason.name}` | {reason.value} |" for enum in enums for reason in enum if enum not in told]
        lines += [f"| as above: {enum.__name__} | |" for enum in enums if enum in told]
        lines.append("")
        told.update(enums)
    return "\n".join(lines)


if __name__ == "__main__":
    print(reasons_page(), end="")
