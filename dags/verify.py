"""Recomputes every hash and count of a corpus's manifest.  Exit 1 and the first difference, or 0 and what was checked."""

import argparse
import hashlib
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import pyarrow.compute as pc

from dags.finished_corpus import corpus_batches, manifest_of, root_of
from dags.running import recorded_configuration
from pipeline import storage
from pipeline.exclude import read_removals, removals_path
from pipeline.link_rules import entry_against
from pipeline.removal import key_of
from pipeline.schema import CORPUS, LEDGER, PipelineError, ShardError
from pipeline.shards import read_batches
from pipeline.url import Allowed

ERRORS = (PipelineError,)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("root", metavar="ROOT", help="the --output of `webtext corpus`, or its corpus folder")


def run(options: argparse.Namespace) -> int:
    root = root_of(options.root)
    manifest = manifest_of(root)
    for difference in differences(root, manifest):
        print(f"webtext verify: {difference}", file=sys.stderr)
        return 1
    rows = sum(shard["rows"] for shard in manifest["shards"])
    dropped = sum(file["rows"] for file in manifest["ledger"])
    print(
        f"{root}: whole. {len(manifest['shards'])} shards with {rows:,} documents and {len(manifest['ledger'])} ledger files "
        f"with {dropped:,} rows are as the manifest says; in every stage records in = kept + dropped."
    )
    return 0


def differences(root: str, manifest: dict[str, Any]) -> Iterator[str]:
    """What differs from the manifest, a sentence each, the cheapest checks first."""
    yield from count_differences(manifest)
    yield from text_differences(root, manifest)
    for folder, files in (("corpus/data", manifest["shards"]), ("ledger", manifest["ledger"])):
        listed = {os.path.basename(file["path"]) for file in files}
        for path in storage.files_in(storage.join(root, *folder.split("/"))):
            if os.path.basename(path) not in listed:
                yield f"{path}: is not in the manifest"
    for folder, files in (("corpus", manifest["shards"]), ("", manifest["ledger"])):
        for file in files:
            yield from file_differences(storage.join(root, folder, *file["path"].split("/")), file)
    yield from ledger_differences(root, manifest)
    for shard in manifest["shards"]:
        yield from row_differences(storage.join(root, "corpus", *shard["path"].split("/")), shard["rows"])
    yield from removal_differences(root, manifest)
    for file in manifest["inputs"]:
        if storage.exists(file["path"]):
            yield from file_differences(file["path"], {**file, "bytes": file["size"]})
        else:
            print(f"webtext verify: {file['path']}: this input is not here any more, so it is not checked", file=sys.stderr)


def count_differences(manifest: dict[str, Any]) -> Iterator[str]:
    for shard in manifest["shards"]:
        if shard["split"] not in ("train", "validation"):
            yield f"manifest.json: {shard['path']} belongs to a split {shard['split']!r}"
    for stage in manifest["stages"]:
        if stage["in"] != stage["kept"] + sum(stage["dropped"].values()):
            yield f"manifest.json: stage {stage['name']} has {stage['in']:,} in, but kept and dropped do not add up to that"
    for before, after in zip(manifest["stages"], manifest["stages"][1:], strict=False):
        if before["kept"] != after["in"]:
            yield f"manifest.json: {before['name']} kept {before['kept']:,}, but {after['name']} took in {after['in']:,}"
    rows = sum(shard["rows"] for shard in manifest["shards"])
    if rows != manifest["stages"][-1]["kept"]:
        yield f"manifest.json: shards hold {rows:,} rows, but {manifest['stages'][-1]['kept']:,} documents were kept"


def text_differences(root: str, manifest: dict[str, Any]) -> Iterator[str]:
    """The configuration says what the manifest says.  The card is for people, who may write in it."""
    recorded = recorded_configuration(root)
    if recorded is not None and recorded != manifest["config"]:
        yield f"{storage.join(root, 'config.json')}: is another configuration than the manifest's"
    card = storage.join(root, "corpus", "README.md")
    if not storage.exists(card):
        yield f"{card}: is missing"


def file_differences(path: str, expected: dict[str, Any]) -> Iterator[str]:
    if not storage.exists(path):
        yield f"{path}: is missing"
    elif storage.size(path) != expected["bytes"]:
        yield f"{path}: has {storage.size(path):,} bytes, the manifest says {expected['bytes']:,}"
    elif (found := storage.sha256_of(path)) != expected["sha256"]:
        yield f"{path}: SHA-256 is {found}, the manifest says {expected['sha256']}"


def ledger_differences(root: str, manifest: dict[str, Any]) -> Iterator[str]:
    counted: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for file in manifest["ledger"]:
        path = storage.join(root, *file["path"].split("/"))
        rows = 0
        for batch in read_batches(path):
            if not batch.schema.equals(LEDGER):
                raise ShardError(f"{path}: its columns are {batch.schema.names}, expected {LEDGER.names}.")
            rows += batch.num_rows
            for stage, reason in zip(batch.column("stage").to_pylist(), batch.column("reason").to_pylist(), strict=True):
                counted[stage][reason] += 1
        if rows != file["rows"]:
            yield f"{path}: has {rows:,} rows, the manifest says {file['rows']:,}"
    for stage in manifest["stages"]:
        if counted[stage["name"]] != stage["dropped"]:
            yield f"the ledger of {stage['name']} counts {dict(counted[stage['name']])}, the manifest says {stage['dropped']}"


def row_differences(path: str, expected_rows: int) -> Iterator[str]:
    """Rows in the order of their ids, each text with its own hash."""
    rows, last = 0, ""
    for batch in read_batches(path):
        if not batch.schema.remove_metadata().equals(CORPUS):
            raise ShardError(f"{path}: its columns are {batch.schema.names}, expected {CORPUS.names}.")
        rows += batch.num_rows
        for id_, text, text_hash in zip(*(batch.column(name).to_pylist() for name in ("id", "text", "text_hash")), strict=True):
            if id_ <= last:
                yield f"{path}: {id_} does not come after {last}"
            if hashlib.sha256(text.encode()).hexdigest() != text_hash:
                yield f"{path}: the text of {id_} does not have its hash"
            last = id_
        if pc.min(batch.column("cluster_size")).as_py() < 1:
            yield f"{path}: a cluster size is below 1"
    if rows != expected_rows:
        yield f"{path}: has {rows:,} rows, the manifest says {expected_rows:,}"


def removal_differences(root: str, manifest: dict[str, Any]) -> Iterator[str]:
    """Documents that ROOT/exclude.txt names and that are still there."""
    removed = read_removals(root)
    if not removed:
        return
    allowed = Allowed.parse(manifest["config"].get("allow_private", ()))
    for path, batch in corpus_batches(root, manifest, columns=["id", "url"]):
        for id_, url in zip(batch.column("id").to_pylist(), batch.column("url").to_pylist(), strict=True):
            key = key_of(url, id_=id_, allowed=allowed)
            if id_ in removed.ids if key is None else entry_against(key, excluded=removed):
                yield f"{path}: holds {id_}, which {removals_path(root)} names. Run `webtext corpus` or `webtext remove` again"
