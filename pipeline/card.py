"""The dataset card of a corpus: README.md beside its shards, for people and for the hub."""

from typing import Any

LOADERS = """\
```python
import pyarrow.dataset
corpus = pyarrow.dataset.dataset("corpus/data", format="ipc")
corpus.to_table(columns=["url", "text"])
```

```python
from datasets import load_dataset
load_dataset("arrow", data_files={"train": "corpus/data/train-*.arrow", "validation": "corpus/data/validation-*.arrow"})
```

```python
import polars
polars.read_ipc("corpus/data/train-*.arrow")
```

```python
import duckdb, pyarrow.dataset
corpus = pyarrow.dataset.dataset("corpus/data", format="ipc")
duckdb.sql("SELECT domain, count(*) FROM corpus GROUP BY domain ORDER BY 2 DESC")
```
"""

FIELDS = {
    "id": "first 32 hex digits of SHA-256 of the canonical URL",
    "url": "the address, as it was fetched",
    "text": "the main text of the page",
    "title": "the page's title",
    "domain": "registrable domain",
    "language": "ISO 639-1, by an offline model",
    "language_score": "the model's confidence, 0 to 1",
    "karma": "highest score of any submission of this link",
    "submission_id": "the Reddit submission that earned it",
    "subreddit": "where it was submitted",
    "created_utc": "when it was submitted, seconds",
    "fetched_utc": "when the page was fetched or archived, seconds",
    "extractor": "the library that found the text",
    "words": "words separated by white space",
    "text_hash": "SHA-256 of `text`",
    "cluster_size": "this document and the duplicates folded into it",
}


def size_category(rows: int) -> str:
    """The hub's name for a number of rows."""
    names = ["n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B"]
    return names[min(max(len(str(rows)) - 3, 0), len(names) - 1)]


def dataset_card(manifest: dict[str, Any]) -> str:
    """The card of a corpus with this manifest.  Markdown under the hub's YAML header; the same bytes for the same manifest."""
    rows = {"train": 0, "validation": 0}
    for shard in manifest["shards"]:
        rows[shard["split"]] += shard["rows"]
    language = manifest["config"].get("language", "any")
    funnel = "\n".join(
        f"| {stage['name']} | {stage['in']:,} | {stage['kept']:,} | {reasons(stage['dropped'])} |" for stage in manifest["stages"]
    )
    settings = "\n".join(f"- `{name}`: {value}" for name, value in sorted(manifest["config"].items()))
    return f"""\
---
license: other
license_name: texts-belong-to-their-authors
task_categories:
- text-generation
language:
- {language if language != "any" else "mul"}
size_categories:
- {size_category(sum(rows.values()))}
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*.arrow
  - split: validation
    path: data/validation-*.arrow
---

# A WebText-like corpus

{rows["train"]:,} documents to train on and {rows["validation"]:,} to validate with: the text behind links that Reddit's readers
gave at least {manifest["config"].get("min_karma", 3)} karma, after Radford et al. 2019, section 2.1. Made by
webtext {manifest["versions"]["webtext"]}.

## How it was made

| stage | in | kept | most frequent reasons to drop |
|---|---|---|---|
{funnel}

Every record that was dropped has a row in the ledger beside this folder, with its URL, the stage and the reason.

## Load it

{LOADERS}
## Fields

{chr(10).join(f"- `{name}`: {meaning}" for name, meaning in FIELDS.items())}

Validation holds the documents whose id, read as a number below 1, is under {manifest["config"].get("validation", 0.005)}.

## Settings

{settings}

## Limits

- The texts belong to their authors; this card grants no licence to them. Respect their wishes: a document is taken out by its
  URL, domain or id.
- What Reddit's readers voted for is no sample of the web or of its writers: young, male, English-speaking and American voices
  weigh more than others, and so do the subjects they like.
- Extraction is not perfect: some navigation stays, some text is lost, tables and formulas most of all.
- Near-duplicates are found by overlapping word 5-grams; a text quoted inside a longer one stays.
"""


def reasons(dropped: dict[str, int], *, n: int = 5) -> str:
    """The most frequent reasons with their counts; ties by name."""
    first = sorted(dropped.items(), key=lambda pair: (-pair[1], pair[0]))[:n]
    return ", ".join(f"{name} {count:,}" for name, count in first) or "-"
