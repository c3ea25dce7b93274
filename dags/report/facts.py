"""Everything the report tells, gathered from ROOT: the manifest first, then shards, ledger, run.json, tokens and metrics."""

import json
from typing import Any, NamedTuple

from dags.finished_corpus import has_shape, manifest_of
from dags.report.corpus_facts import CorpusFacts, corpus_facts
from dags.report.ledger_facts import LedgerFacts, ledger_facts
from dags.report.token_facts import TokenFacts, token_facts
from dags.report.training_facts import TrainingFacts, training_facts
from pipeline import storage

NUMBER = (int, float)
RUN: dict[str, Any] = {"seconds": NUMBER, "workers": int, "documents_per_second": NUMBER, "stages": dict}
STAGE_TIMES: dict[str, Any] = {"shards": int, "seconds": NUMBER, "kept": int, "dropped": int}


class Facts(NamedTuple):
    manifest: dict[str, Any]
    corpus: CorpusFacts
    ledger: LedgerFacts
    run: dict[str, Any]  # run.json; empty if there is none
    tokens: TokenFacts | str | None
    training: TrainingFacts | None


def facts_of(root: str) -> Facts:
    """Raises PipelineError if the corpus is not finished or one of its files is damaged."""
    manifest = manifest_of(root)
    corpus = corpus_facts(root, manifest)
    return Facts(
        manifest=manifest,
        corpus=corpus,
        ledger=ledger_facts(root, manifest, keepers={row.id for row in corpus.clusters}),
        run=run_of(root),
        tokens=token_facts(root, manifest),
        training=training_facts(root),
    )


def run_of(root: str) -> dict[str, Any]:
    """run.json: times of the last run.  No part of the corpus, which is whole without it: what cannot be read is not there."""
    path = storage.join(root, "run.json")
    try:
        run = json.loads(storage.read_text(path)) if storage.exists(path) else {}
    except ValueError:
        return {}
    return run if has_shape(run, RUN) and has_shape(list(run["stages"].values()), [STAGE_TIMES]) else {}
