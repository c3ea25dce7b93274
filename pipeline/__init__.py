"""Corpus building: submissions in, corpus shards out.  One file or folder a stage.

The transforms are loaded when they are first named: `import pipeline.schema` pays for no Beam.
"""

import importlib
from typing import Any

STAGES = {
    "ReadSubmissions": "pipeline.submissions",
    "SelectLinks": "pipeline.links",
    "FetchPages": "pipeline.pages",
    "ExtractText": "pipeline.documents.stage",
    "DropDuplicates": "pipeline.dedup",
    "WriteCorpus": "pipeline.corpus",
    "WriteManifest": "pipeline.manifest",
}

__all__ = list(STAGES)


def __getattr__(name: str) -> Any:
    if name not in STAGES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(STAGES[name]), name)
