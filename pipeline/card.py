"""The dataset card of a corpus: README.md beside its shards, for people and for the hub."""

import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from pipeline.schema import CORPUS

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
    names = ["n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "1B<n<10B", "10B<n<100B"]
    return names[min(max(len(str(rows)) - 3, 0), len(names) - 1)]


def dataset_card(manifest: dict[str, Any]) -> str:
    """The card of a corpus with this manifest.  Markdown under the hub's YAML header; the same bytes for the same manifest."""
    config, stages = manifest["config"], manifest["stages"]
    splits = {split: [shard for shard in manifest["shards"] if shard["split"] == split] for split in ("train", "validation")}
    rows = {split: sum(shard["rows"] for shard in shards) for split, shards in splits.items()}
    languages = [config.get("language", "any")]
    header = {
        "pretty_name": "WebText-like corpus",
        "license": "other",
        "license_name": "texts-belong-to-their-authors",
        "license_link": "README.md",
        "annotations_creators": ["no-annotation"],
        "language_creators": ["found"],
        "source_datasets": ["original"],
        "task_categories": ["text-generation"],
        "task_ids": ["language-modeling"],
        "language": [language if language != "any" else "mul" for language in languages],
        "size_categories": [size_category(sum(rows.values()))],
        "tags": ["webtext", "reddit", "pretraining"],
    }
    funnel = [(stage["name"], f"{stage['in']:,}", f"{stage['kept']:,}", reasons(stage["dropped"])) for stage in stages]
    sizes = [
        (split, f"{rows[split]:,}", f"{len(shards):,}", f"{sum(shard['bytes'] for shard in shards):,}")
        for split, shards in splits.items()
    ]
    return f"""\
---
{yaml(header)}
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
gave at least {config.get("min_karma", 3)} karma, after Radford et al. 2019, section 2.1. Made by
webtext {manifest["versions"]["webtext"]}.

## How it was made

{story(stages, config)}

{table(("stage", "in", "kept", "most frequent reasons to drop"), funnel)}

Every record that was dropped has a row in the ledger beside this folder, with its URL, the stage and the reason. `manifest.json`
holds every count, and the hash of every file and input: `webtext verify` recomputes them.

## Load it

{LOADERS}
## Splits

{table(("split", "documents", "files", "bytes"), sizes)}

Validation holds the documents whose id, read as a number below 1, is under {config.get("validation", 0.005)}; it is never empty
while there are documents. An id is a hash, so each file is a random sample.

## Fields

{table(("field", "type", "meaning"), [(f"`{name}`", type_of(name), meaning) for name, meaning in FIELDS.items()])}

There are no names of Reddit's users and no titles of their posts.

## Licence

The texts belong to their authors. This card grants no right to them, and neither does the program that gathered them: what you
may do with them is for the law of your place and the wishes of their authors to say.

## Being left out

Whoever wrote a text, or owns a site, can have it taken out. {contact(config.get("contact"))}
By whoever holds this corpus it is done in a minute, by domain, URL or id:

```console
$ webtext remove --corpus ROOT --domain example.com
$ webtext remove --corpus ROOT --url https://example.com/page --purge
```

Only the files that held it change, no later build brings it back, and copies of it that had been folded into it are left out
too. Taken out on request since it was built: {taken_out(stages):,} documents.

## Limits and biases

- What Reddit's readers voted for is no sample of the web or of its writers: young, male, English-speaking and American voices
  weigh more than others, and so do the subjects and opinions they like. Nothing was done to balance that.
- Karma is as the dump saw it, often hours after a post. A vote says that a link was found worth a look, not that it is true.
- Texts name people, and may be wrong, offensive or out of date. Posts marked as not safe for work are left out; nothing else
  was filtered for that.
- Who asks in robots.txt, in a header or in the page not to be trained on is heard in a live crawl; in a replay only what the
  archive holds of the page is known, not the robots.txt of its time.
- Extraction is not perfect: some navigation stays, some text is lost, tables and formulas most of all.
- The language is found by a model, and short or mixed texts mislead it.
- Near-duplicates are found by overlapping word 5-grams; a text quoted inside a longer one stays, so test sets may be quoted too.

## Settings

{chr(10).join(f"- `{name}`: {shown(value)}" for name, value in sorted(config.items()))}
"""


def story(stages: list[dict[str, Any]], config: dict[str, Any]) -> str:
    """What each stage did to how many, in a sentence each; a stage of another's making is told by the table alone."""
    counts = {stage["name"]: stage for stage in stages}
    source = "fetched from the live web" if config.get("source") == "crawl" else "found in web archives"
    language = f" in the language `{config['language']}`" if config.get("language", "any") != "any" else ""
    dates = " ".join(f"{word} {config[name]}" for name, word in (("since", "from"), ("until", "to")) if config.get(name))
    wanted = f"submissions {dates}" if dates else "submissions to look at"
    sentences = {
        "submissions": f"{{in:,}} lines of Reddit dumps were read; {{kept:,}} were {wanted}",
        "links": "{kept:,} pages are linked from them, each counted once, liked well enough, and neither pictures nor Wikipedia",
        "pages": f"{{kept:,}} of these were {source}",
        "documents": f"{{kept:,}} of these held a text{language} that passed the rules against menus, filler and broken letters",
        "duplicates": "{kept:,} of these repeat no better one; of copies the one with the highest karma stays, then the earliest",
    }
    told = [sentence.format(**counts[name]) for name, sentence in sentences.items() if name in counts]
    if taken_out(stages):
        told.append(f"{taken_out(stages):,} of these were taken out on request")
    return "\n".join(f"{number}. {sentence}." for number, sentence in enumerate(told, 1))


def taken_out(stages: list[dict[str, Any]]) -> int:
    return sum(stage["dropped"].get("REMOVED_ON_REQUEST", 0) for stage in stages)


def contact(address: str | None) -> str:
    return f"Write to {shown(address)}." if address else "Write to whoever gave you this corpus."


def reasons(dropped: dict[str, int], *, n: int = 5) -> str:
    """The most frequent reasons with their counts; ties by name."""
    first = sorted(dropped.items(), key=lambda pair: (-pair[1], pair[0]))[:n]
    return ", ".join(f"{name} {count:,}" for name, count in first) or "-"


# ---- Markdown and YAML ----


def table(names: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (names, ("---",) * len(names), *rows))


def yaml(header: dict[str, Any]) -> str:
    """Names with a word or a list of words: all that the header holds is plain."""
    lines = []
    for name, value in header.items():
        lines += [f"{name}:", *(f"- {entry}" for entry in value)] if isinstance(value, list) else [f"{name}: {value}"]
    return "\n".join(lines)


def type_of(name: str) -> str:
    kind = CORPUS.field(name).type
    return "float32" if pa.types.is_float32(kind) else str(kind)


UNPRINTABLE = re.compile(r"[^\w .,:;@/+*?!=()\[\]'\"<>-]")


def shown(value: Any) -> str:
    """A setting as Markdown shows it, whatever was typed on the command line."""
    return f"`{UNPRINTABLE.sub('?', str(value))}`"
