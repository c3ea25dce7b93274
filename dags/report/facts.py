"""Everything the report tells, gathered from ROOT: the manifest first, then shards, ledger, run.json, tokens and metrics."""

import json
from typing import Any, NamedTuple

from dags.finished_corpus import manifest_of
from dags.report.corpus_facts import CorpusFacts, corpus_facts
from dags.report.ledger_facts import LedgerFacts, ledger_facts
from dags.report.token_facts import TokenFacts, token_facts
from dags.report.training_facts import TrainingFacts, training_facts
from pipeline import storage


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
    """Times of the last run.  They are no part of the corpus, so that it is whole without them."""
    path = storage.join(root, "run.json")
    try:
        run = json.loads(storage.read_text(path)) if storage.exists(path) else {}
    except ValueError:
        return {}
    return run if isinstance(run, dict) and isinstance(run.get("stages"), dict) else {}
