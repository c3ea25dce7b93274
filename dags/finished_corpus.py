"""Opening a corpus that is finished: where it lies, what its manifest says."""

import json
import os
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dags.report.outside_text import cut, harmless
from pipeline import storage
from pipeline.manifest import SCHEMA
from pipeline.removal import plan_path
from pipeline.schema import PipelineError
from pipeline.shards import read_batches


def root_of(path: str, *, stopped_removal: bool = False) -> str:
    """ROOT of what a person named: ROOT itself or ROOT/corpus.  Raises PipelineError if there is no finished corpus.

    `stopped_removal`: one that a removal was taking documents out of when it was stopped will do.
    """
    path = path.rstrip("/") or path
    above = os.path.dirname(path) or "."
    if storage.is_local(path) and os.path.basename(path) in (".", ".."):
        above = os.path.join(path, os.pardir)
    for root in (path, above):
        if storage.exists(storage.join(root, "corpus", "manifest.json")):
            return root
        if storage.exists(plan_path(root)):
            if stopped_removal:
                return root
            raise PipelineError(f"{root}: a removal was stopped here. Run `webtext remove` again to end it.")
    if storage.exists(storage.join(path, "config.json")):
        raise PipelineError(f"{path} holds a corpus that is not finished. Run the `webtext corpus` command that began it again.")
    raise PipelineError(f"{path} holds no corpus: there is no corpus/manifest.json. Name the --output of `webtext corpus`.")


def manifest_of(root: str) -> dict[str, Any]:
    path = storage.join(root, "corpus", "manifest.json")
    try:
        made = json.loads(storage.read_text(path))
    except ValueError as error:
        raise PipelineError(f"{path}: is not the JSON it was written as ({error}). Run `webtext corpus` again.") from error
    if isinstance(made, dict) and made.get("schema", SCHEMA) != SCHEMA:
        raise PipelineError(f"{path}: schema is {made['schema']!r}, this version reads {SCHEMA}. Run `webtext corpus` again.")
    if not has_shape(made, MANIFEST) or not has_shape([list(stage["dropped"].values()) for stage in made["stages"]], [[int]]):
        raise PipelineError(f"{path}: is not the manifest that was written there. Run `webtext corpus` again.")
    return made


FILE = {"path": str, "rows": int, "bytes": int, "sha256": str}
MANIFEST: dict[str, Any] = {
    "schema": str,
    "config": dict,
    "inputs": [{"path": str, "size": int, "sha256": str}],
    "stages": [{"name": str, "in": int, "kept": int, "dropped": dict}],
    "shards": [{**FILE, "split": str}],
    "ledger": [FILE],
    "versions": {"python": str, "webtext": str},
}


def has_shape(value: Any, shape: Any) -> bool:
    """Whether JSON has the types and, in objects, at least the fields of `shape`; entries of a list have the shape of its one."""
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(name in value and has_shape(value[name], part) for name, part in shape.items())
    if isinstance(shape, list):
        return isinstance(value, list) and all(has_shape(part, shape[0]) for part in value)
    return isinstance(value, shape) and not isinstance(value, bool)


def corpus_batches(root: str, manifest: dict[str, Any], *, columns: list[str]) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Record batches of every shard, each with the shard's path in the manifest."""
    for shard in manifest["shards"]:
        for batch in read_batches(storage.join(root, "corpus", *shard["path"].split("/")), columns=columns):
            yield shard["path"], batch


def ledger_batches(root: str, manifest: dict[str, Any], *, stage: str = "") -> Iterator[pa.RecordBatch]:
    """Record batches of the ledger, or of what one stage wrote of it."""
    for file in manifest["ledger"]:
        if file["path"].startswith(f"ledger/{stage}"):
            yield from read_batches(storage.join(root, *file["path"].split("/")))


def urls_of(ids: set[str], *, root: str, manifest: dict[str, Any]) -> dict[str, str]:
    """The URLs of documents that are in the corpus, by id."""
    wanted = pa.array(sorted(ids), pa.string())
    found: dict[str, str] = {}
    for _, batch in corpus_batches(root, manifest, columns=["id", "url"]) if ids else ():
        rows = batch.filter(pc.is_in(batch.column("id"), value_set=wanted))
        found.update(zip(rows.column("id").to_pylist(), rows.column("url").to_pylist(), strict=True))
    return found


def one_line(text: str, *, characters: int = 200) -> str:
    """Text from outside as a terminal may show it: no control characters, none that reorder or hide others, not without end."""
    return harmless(cut(text, characters=characters))


def funnel_lines(manifest: dict[str, Any], *, reasons: int = 4) -> list[str]:
    """The way from submissions to kept documents, a line a step with its most frequent reasons."""
    nouns = {"duplicates": "unique", "corpus": "kept"}
    first = manifest["stages"][0]
    lines = [f"{'read':<12}{first['in']:>12,}"]
    for stage in manifest["stages"]:
        top = sorted(stage["dropped"].items(), key=lambda pair: (-pair[1], pair[0]))
        told = ", ".join(f"{name} {count:,}" for name, count in top[:reasons])
        more = f" and {len(top) - reasons} more reasons" if len(top) > reasons else ""
        less = f"   less {told}{more}" if told else ""
        lines.append(f"{nouns.get(stage['name'], stage['name']):<12}{stage['kept']:>12,}{less}")
    return lines
