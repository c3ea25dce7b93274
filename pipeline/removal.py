"""Documents out of the shards of a finished corpus: what is touched is written anew, the rest keeps its bytes.

    plan = planned(manifest, {"data/train-00003-of-00008.arrow": {id: entry}}, removals=text, root=root)
    carry_out(plan, root=root)      # killed on the way: `pending(root)` is the plan, and carrying it out again ends well

The plan lies in ROOT/removal.json, with the manifest, which must go before the first shard that it speaks of is replaced.
"""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import storage
from pipeline.card import dataset_card
from pipeline.exclude import removals_path
from pipeline.link_rules import link_id, origin
from pipeline.schema import CORPUS, LEDGER, LedgerRow, PipelineError, ShardError
from pipeline.shards import fingerprint, read_metadata, read_table, table_of, write_ledger_table, write_shard
from pipeline.url import Allowed, UrlError, canonical

VERSION = 1
NAMED = ("id", "url", "karma", "submission_id")  # what the ledger tells of a document that is taken out


class RemovalDrop(StrEnum):
    """Why a document that had come through every stage is not in the corpus."""

    REMOVED_ON_REQUEST = "the document was in the corpus, and was taken out because someone asked for it"


class Rewrite(NamedTuple):
    """A corpus shard that is written anew."""

    path: str  # as in the manifest
    number: int  # of its ledger file: its place in the manifest
    sha256: str  # of the shard as it stands in the manifest
    removed: dict[str, str]  # id -> entry of the removal list
    given: str | None = None  # id of a document that goes to another split
    taken: str | None = None  # id of a document that comes from the shard at `source`
    source: str | None = None

    @property
    def made_from(self) -> str:
        return fingerprint("removal", VERSION, self._asdict())


class Plan(NamedTuple):
    """All that is needed to take documents out, whatever has been done of it."""

    manifest: dict[str, Any]
    removals: str  # text of ROOT/exclude.txt
    rewrites: list[Rewrite]


def planned(
    manifest: dict[str, Any], removed: Mapping[str, dict[str, str]], *, removals: str, root: str
) -> Plan:
    """What must be written so that documents leave their shards.  `removed`: path of a shard -> id -> entry that names it.

    A validation split that is emptied takes the document of the least id of the others, as a build would have it.
    """
    rewrites = {
        shard["path"]: Rewrite(shard["path"], number, shard["sha256"], dict(sorted(removed[shard["path"]].items())))
        for number, shard in enumerate(manifest["shards"])
        if removed.get(shard["path"])
    }
    shards = manifest["shards"]
    validation = [number for number, shard in enumerate(shards) if shard["split"] == "validation"]
    left = sum(shards[number]["rows"] - len(removed.get(shards[number]["path"], ())) for number in validation)
    if not left and any(shards[number]["rows"] for number in validation):
        _fill(rewrites, shards, place=validation[-1], root=root)
    # The shard that is given a document is written before the one that gives it: it is in one of them at any moment.
    order = sorted(rewrites.values(), key=lambda rewrite: (rewrite.taken is None, rewrite.path))
    return Plan(manifest, removals, order)


def _fill(rewrites: dict[str, Rewrite], shards: list[dict[str, Any]], *, place: int, root: str) -> None:
    """Moves the first document of the train split to the validation shard at `place`.  Shards are ranges of ids, in order."""
    for number, shard in enumerate(shards):
        if shard["split"] != "train":
            continue
        path = shard["path"]
        gone = rewrites[path].removed if path in rewrites else {}
        first = next((id_ for id_ in read_table(_at(root, path), columns=["id"])["id"].to_pylist() if id_ not in gone), None)
        if first is not None:
            giving = rewrites.get(path) or Rewrite(path, number, shard["sha256"], {})
            rewrites[path] = giving._replace(given=first)
            target = shards[place]
            taking = rewrites.get(target["path"]) or Rewrite(target["path"], place, target["sha256"], {})
            rewrites[target["path"]] = taking._replace(taken=first, source=path)
            return


# ---- the plan as a file ----


def plan_path(root: str) -> str:
    return storage.join(root, "removal.json")


def pending(root: str) -> Plan | None:
    """The removal under ROOT that was stopped before it was done, if there is one."""
    path = plan_path(root)
    if storage.exists(storage.join(root, "corpus", "manifest.json")) or not storage.exists(path):
        return None  # with a manifest the corpus is whole: nothing of the plan was begun, or another build came after it
    try:
        made = json.loads(storage.read_text(path))
        plan = Plan(made["manifest"], made["removals"], [Rewrite(*fields) for fields in made["rewrites"]])
        if not all(plan.manifest[name] for name in ("stages", "shards", "ledger", "config")):
            raise ValueError("its manifest is empty")
        return plan
    except (ValueError, KeyError, TypeError) as error:
        message = f"{path}: is not the plan written there ({error}). Delete it, run `webtext corpus` again, then the removal."
        raise PipelineError(message) from error


def hand_over(root: str) -> None:
    """Before a build: what a stopped removal was to take out is remembered, so that the build leaves it out; the plan goes."""
    if (plan := pending(root)) is not None:
        storage.write_text(removals_path(root), plan.removals)
    storage.remove([plan_path(root)])


def carry_out(plan: Plan, *, root: str) -> dict[str, Any]:
    """Takes the documents out; returns the manifest of what is left.  A plan that was carried out in part is ended.

    Raises PipelineError if a file is neither as the manifest says nor as the plan would have it.
    """
    config = _configuration(root)
    if pending(root) is None:
        for rewrite in plan.rewrites:
            _check_whole(rewrite, root=root)
        storage.write_text(plan_path(root), json.dumps(plan._asdict(), ensure_ascii=False))
    else:
        _check_untouched(plan, root=root)
    manifest_path = storage.join(root, "corpus", "manifest.json")
    storage.remove([manifest_path, storage.join(root, "corpus", "report.html")])  # the report shows a sample of the texts
    storage.write_text(removals_path(root), plan.removals)
    removed = storage.sha256_of(removals_path(root))
    if config is not None:
        text = json.dumps({**config, "removed": removed}, indent=2, sort_keys=True) + "\n"
        storage.write_text(storage.join(root, "config.json"), text)
    allowed = Allowed.parse(plan.manifest["config"].get("allow_private", ()))
    for rewrite in plan.rewrites:
        _rewrite(rewrite, root=root, allowed=allowed)
    made = updated(plan, root=root, removed=removed)
    storage.write_text(storage.join(root, "corpus", "README.md"), dataset_card(made))
    storage.write_text(manifest_path, json.dumps(made, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    storage.remove([plan_path(root)])
    return made


def _configuration(root: str) -> dict[str, Any] | None:
    """What ROOT was made with, None where that is not recorded.  Raises PipelineError for a record that is damaged."""
    path = storage.join(root, "config.json")
    try:
        config = json.loads(storage.read_text(path)) if storage.exists(path) else None
    except ValueError as error:
        raise PipelineError(f"{path}: is not the JSON it was written as ({error}). Look at `webtext verify`.") from error
    return config if isinstance(config, dict) else None


def _check_whole(rewrite: Rewrite, *, root: str) -> None:
    """Raises PipelineError if a shard is not what the manifest says, or no shard of ours: before anything is touched."""
    path = _at(root, rewrite.path)
    read_metadata(path)
    if storage.sha256_of(path) != rewrite.sha256:
        raise PipelineError(f"{path}: is not as the manifest says. Look at `webtext verify`, or run `webtext corpus` again.")


def _check_untouched(plan: Plan, *, root: str) -> None:
    """Raises PipelineError if another command has written here since the plan was made."""
    touched = {rewrite.path for rewrite in plan.rewrites}
    touched |= {f"ledger/corpus-{rewrite.number:05d}.arrow" for rewrite in plan.rewrites}
    for folder, files in (("corpus", plan.manifest["shards"]), ("", plan.manifest["ledger"])):
        for file in files:
            path = storage.join(root, folder, *file["path"].split("/"))
            if file["path"] not in touched and (not storage.exists(path) or storage.sha256_of(path) != file["sha256"]):
                raise PipelineError(f"{path}: changed after a removal was stopped here. Run `webtext corpus` again, then this.")


def updated(plan: Plan, *, root: str, removed: str) -> dict[str, Any]:
    """The manifest as it is once every rewrite is done."""
    shards = {shard["path"]: shard for shard in plan.manifest["shards"]}
    ledger = {file["path"]: file for file in plan.manifest["ledger"]}
    for rewrite in plan.rewrites:
        path = _at(root, rewrite.path)
        metadata = read_metadata(path)
        hashes = {"bytes": storage.size(path), "sha256": storage.sha256_of(path)}
        shards[rewrite.path] = {**shards[rewrite.path], "rows": metadata.rows, **hashes}
        for file in metadata.ledger:
            size = storage.size(storage.join(root, "ledger", file.name))
            named = {"path": f"ledger/{file.name}", "rows": file.rows, "bytes": size, "sha256": file.sha256}
            ledger[named["path"]] = named
    *before, last = plan.manifest["stages"]
    count = sum(len(rewrite.removed) for rewrite in plan.rewrites)
    reason = RemovalDrop.REMOVED_ON_REQUEST.name
    dropped = {**last["dropped"], reason: last["dropped"].get(reason, 0) + count} if count else last["dropped"]
    return {
        **plan.manifest,
        "config": {**plan.manifest["config"], "removed": removed},
        "stages": [*before, {**last, "kept": last["kept"] - count, "dropped": dict(sorted(dropped.items()))}],
        "shards": [shards[shard["path"]] for shard in plan.manifest["shards"]],
        "ledger": [ledger[path] for path in sorted(ledger)],
    }


# ---- one shard ----


def _rewrite(rewrite: Rewrite, *, root: str, allowed: Allowed) -> None:
    path = _at(root, rewrite.path)
    metadata = read_metadata(path)
    if metadata.made_from == rewrite.made_from:
        return
    _check_whole(rewrite, root=root)
    table = read_table(path)
    if not table.schema.remove_metadata().equals(CORPUS):
        raise ShardError(f"{path}: its columns are {table.schema.names}, expected {CORPUS.names}.")
    table = table.replace_schema_metadata()
    gone = pc.is_in(table["id"], value_set=pa.array(list(rewrite.removed), pa.string()))
    leaving = table.filter(gone)
    counts = {"corpus_in": table.num_rows, "corpus_kept": table.num_rows - leaving.num_rows}
    table = table.filter(pc.invert(gone))
    if rewrite.given is not None:
        table = table.filter(pc.not_equal(table["id"], rewrite.given))
    if rewrite.taken is not None and rewrite.source is not None:
        source = read_table(_at(root, rewrite.source)).replace_schema_metadata()
        table = pa.concat_tables([table, source.filter(pc.equal(source["id"], rewrite.taken))]).sort_by("id")
    ledger = [*metadata.ledger]
    if leaving.num_rows:
        rows = removal_rows(leaving, entries=rewrite.removed, allowed=allowed)
        ledger = [write_ledger_table(root, "corpus", rewrite.number, with_earlier(rows, number=rewrite.number, root=root))]
    write_shard(
        path, table, stage="corpus", number=metadata.number, of=metadata.of, recipe=metadata.recipe,
        made_from=rewrite.made_from, ledger=ledger, counts=counts,
    )  # fmt: skip


def removal_rows(leaving: pa.Table, *, entries: Mapping[str, str], allowed: Allowed) -> pa.Table:
    """A ledger row for every document that is taken out."""
    reason = RemovalDrop.REMOVED_ON_REQUEST.name
    rows = []
    for id_, url, karma, submission in zip(*(leaving[name].to_pylist() for name in NAMED), strict=True):
        detail = f"{origin(submission, karma)} entry={entries[id_]}"
        rows.append(LedgerRow("corpus", reason, url, key_of(url, id_=id_, allowed=allowed), detail))
    return table_of(rows, LEDGER)


def key_of(url: str, *, id_: str, allowed: Allowed) -> str | None:
    """The canonical key of a document, if this version still makes its id of it."""
    try:
        key = canonical(url, allowed=allowed).key
    except UrlError:
        return None
    return key if link_id(key) == id_ else None


def with_earlier(rows: pa.Table, *, number: int, root: str) -> pa.Table:
    """The rows after those of earlier removals from the same shard."""
    path = storage.join(root, "ledger", f"corpus-{number:05d}.arrow")
    if not storage.exists(path):
        return rows
    earlier = read_table(path)
    known = pc.is_in(earlier["url"], value_set=rows["url"].combine_chunks())  # written by a run that was killed behind it
    return pa.concat_tables([earlier.filter(pc.invert(known)), rows])


def _at(root: str, path: str) -> str:
    """Where a shard of the manifest lies."""
    return storage.join(root, "corpus", *path.split("/"))
