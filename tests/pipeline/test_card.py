"""The dataset card: a header the hub can read, counts that are the manifest's, and nothing that was typed can break it."""

import argparse
import re
import shlex
from typing import Any

import pyarrow as pa
import pytest
from huggingface_hub import DatasetCard

from dags import remove
from pipeline.card import FIELDS, dataset_card, size_category
from pipeline.schema import CORPUS


def manifest(**changed: Any) -> dict[str, Any]:
    kept = {"submissions": 9_000, "links": 2_000, "pages": 1_500, "documents": 1_200, "duplicates": 1_100, "corpus": 1_097}
    stages, entering = [], 10_000
    for name, count in kept.items():
        dropped = {"REMOVED_ON_REQUEST": 3} if name == "corpus" else {f"{name}_B": entering - count - 1, f"{name}_A": 1}
        stages.append({"name": name, "in": entering, "kept": count, "dropped": dropped})
        entering = count
    shards = [
        {"path": "data/train-00000-of-00001.arrow", "split": "train", "rows": 1_090, "bytes": 4_567, "sha256": ""},
        {"path": "data/validation-00000-of-00001.arrow", "split": "validation", "rows": 7, "bytes": 321, "sha256": ""},
    ]
    config = {"language": "en", "min_karma": 3, "source": "archive", "until": "2017-12-31", "validation": 0.005}
    made = {"config": config, "stages": stages, "shards": shards, "versions": {"webtext": "0.1.0"}}
    return {**made, "config": {**config, **changed}}


def test_the_hub_reads_the_header() -> None:
    card = DatasetCard(dataset_card(manifest()))
    data = card.data.to_dict()
    assert data["license"] == "other"
    assert data["license_name"] == "texts-belong-to-their-authors"
    assert data["language"] == ["en"]
    assert data["size_categories"] == ["1K<n<10K"]
    assert [part["split"] for part in data["configs"][0]["data_files"]] == ["train", "validation"]
    assert DatasetCard(dataset_card(manifest(language="any"))).data.to_dict()["language"] == ["mul"]


def test_every_count_is_told_in_words_and_in_the_table() -> None:
    card = dataset_card(manifest())
    told = re.findall(r"^\d\. (.*)$", card, re.MULTILINE)
    assert told[0] == "10,000 lines of Reddit dumps were read; 9,000 were submissions to 2017-12-31."
    assert [line.split()[0] for line in told[1:]] == ["2,000", "1,500", "1,200", "1,100", "3"]
    assert "fetched from the live web" in dataset_card(manifest(source="crawl"))
    assert "| links | 9,000 | 2,000 | links_B 6,999, links_A 1 |" in card
    assert "| train | 1,090 | 1 | 4,567 |" in card
    assert "Taken out on request since it was built: 3 documents." in card


def test_every_column_is_explained() -> None:
    card = dataset_card(manifest())
    assert list(FIELDS) == CORPUS.names
    assert "| `karma` | int32 | " in card
    assert "| `language_score` | float32 | " in card
    assert pa.types.is_string(CORPUS.field("text").type)


def test_who_wants_to_be_left_out_finds_an_address_and_a_command_that_is_one() -> None:
    assert "Write to whoever gave you this corpus." in dataset_card(manifest())
    card = dataset_card(manifest(contact="me@example.org"))
    assert "Write to `me@example.org`." in card
    commands = re.findall(r"^\$ webtext remove (.*)$", card, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        parser = argparse.ArgumentParser(allow_abbrev=False)
        remove.add_arguments(parser)
        assert remove.parse(parser, shlex.split(command)).corpus == "ROOT"


@pytest.mark.parametrize("typed", ["`\n---\n# <script>alert(1)</script>", "\x1b[2J", "\u202eevil", "](http://x)"])
def test_what_was_typed_stays_inside_its_quotes(typed: str) -> None:
    plain, card = dataset_card(manifest(contact="x", min_karma=3)), dataset_card(manifest(contact=typed))
    assert len(card.splitlines()) == len(plain.splitlines())
    assert not any(mark in card for mark in ("\x1b", "\u202e"))
    assert DatasetCard(card).data.to_dict() == DatasetCard(plain).data.to_dict()
    (line,) = [line for line in card.splitlines() if line.startswith("- `contact`")]
    assert line.count("`") == 4


@pytest.mark.parametrize(
    ("rows", "name"), [(0, "n<1K"), (999, "n<1K"), (1_000, "1K<n<10K"), (45_000_000, "10M<n<100M"), (10**9, "1B<n<10B")]
)
def test_sizes_have_the_names_of_the_hub(rows: int, name: str) -> None:
    assert size_category(rows) == name
