"""Corpus building: submissions in, corpus shards out.  One file or folder a stage.

The transforms are loaded when they are first named: `import pipeline.schema` pays for no Beam.
"""

import importlib
from typing import Any, NamedTuple


class Stage(NamedTuple):
    """Where a transform is written, and under which name its records stand in ledger and manifest."""

    module: str
    name: str


# In the order of the data.  A new stage is a file, a name here, and a line in dags/corpus.py.
STAGES = {
    "ReadSubmissions": Stage("pipeline.submissions", "submissions"),
    "SelectLinks": Stage("pipeline.links", "links"),
    "FetchPages": Stage("pipeline.pages", "pages"),
    "ExtractText": Stage("pipeline.documents.stage", "documents"),
    "DropDuplicates": Stage("pipeline.dedup", "duplicates"),
    "WriteCorpus": Stage("pipeline.corpus", "corpus"),
    "WriteManifest": Stage("pipeline.manifest", ""),
}

__all__ = list(STAGES)


def stage_names() -> list[str]:
    """The stages that take records in, in the order of the data."""
    return [stage.name for stage in STAGES.values() if stage.name]


def __getattr__(name: str) -> Any:
    if name not in STAGES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(STAGES[name].module), name)
