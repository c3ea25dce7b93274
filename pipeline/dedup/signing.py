"""A shard of documents in, its signatures out: all that the search for duplicates reads of a document.

ROOT/duplicates/signatures-NNNNN-of-NNNNN.arrow, row for row the document shard:
    id         string
    id_hash    uint64, to find ids that repeat
    exact      16 bytes, equal for texts that differ in case and white space alone
    text_hash  of the text as it is, where the documents have one
    order_0..  the columns that decide which copy is kept
    signature  num_perm little-endian uint32
    band_00..  uint64 each, 0 for a text without a word
"""

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import storage
from pipeline.dedup.columns import Columns, binary_column, check_columns, id_hashes, signature_rows, write_columns
from pipeline.dedup.exact import HASH_BYTES, normalised_hashes
from pipeline.dedup.rule import Rule
from pipeline.minhash import band_keys, lowered, signatures_of
from pipeline.schema import PipelineError, Shard
from pipeline.shards import fingerprint, finished, open_arrow, reusable_rows

VERSION = 1
TEXT_BYTES = 16 << 20  # of texts held as Python strings at a time


class Older(NamedTuple):
    """A file of a corpus that new documents are compared against."""

    path: str
    number: int  # among all such files
    age: int  # of its corpus, the oldest is 0


def signatures_path(root: str, documents: Shard) -> str:
    name = os.path.basename(documents.path).removeprefix("documents-")
    return storage.join(root, "duplicates", f"signatures-{name}")


def sign(documents: Shard, *, root: str, rule: Rule, columns: Columns) -> Shard:
    """Signatures of a document shard; those of rows that did not change are taken over from an earlier build."""
    path = signatures_path(root, documents)
    return _signed(documents.path, documents.digest, path, documents.number, documents.of, "signatures", rule, columns)


def sign_older(older: Older, *, root: str, rule: Rule, columns: Columns) -> Shard:
    """Signatures of a file of an older corpus."""
    path = storage.join(root, "duplicates", f"older-{older.number:05d}.arrow")
    digest = storage.sha256_of(older.path)
    return _signed(older.path, digest, path, older.number, older.age, "older", rule, columns)


def _signed(
    source: str, digest: str, path: str, number: int, of: int, stage: str, rule: Rule, columns: Columns
) -> Shard:
    recipe = fingerprint("sign", VERSION, rule.bands, rule.rows, rule.ngram, columns)
    made_from = fingerprint(recipe, digest, number, of)
    if shard := finished(path, made_from):
        return shard
    check_columns(open_arrow(source).schema, columns, path=source)
    table = signature_table(source, rule=rule, columns=columns, earlier=reusable_rows(path, recipe))
    return write_columns(path, table, stage=stage, number=number, of=of, recipe=recipe, made_from=made_from)


def signature_table(source: str, *, rule: Rule, columns: Columns, earlier: pa.Table | None = None) -> pa.Table:
    """The signature rows of an Arrow file, in its order."""
    whole = open_arrow(source)
    hashed = [columns.text_hash] if columns.text_hash and columns.text_hash in whole.schema.names else []
    order = [name for name, _ in columns.order]
    light = [columns.id, *order, *hashed]
    rows = open_arrow(source, columns=list(dict.fromkeys(light)))
    texts = open_arrow(source, columns=[columns.text])
    lights = [rows.get_batch(number) for number in range(rows.num_record_batches)]
    small = pa.Table.from_batches(lights, rows.schema)
    ids = small.column(columns.id).cast(pa.string())
    if ids.null_count:
        raise PipelineError(f"{source}: column {columns.id!r} has {ids.null_count:,} empty values; every row needs an id.")
    hashes = small.column(hashed[0]) if hashed else pa.chunked_array([pa.nulls(len(ids), pa.string())])
    exact = np.zeros((len(ids), HASH_BYTES), np.uint8)
    signed = np.zeros((len(ids), rule.num_perm), np.uint32)
    known = _taken_over(ids, hashes, earlier, exact, signed) if hashed and earlier is not None else np.zeros(len(ids), bool)
    held: list[str] = []
    places: list[int] = []
    size = base = 0
    for number, batch in enumerate(lights):
        fresh = np.flatnonzero(~known[base : base + len(batch)])
        if len(fresh):
            for text in texts.get_batch(number).column(0).take(pa.array(fresh)).to_pylist():
                held.append(text or "")
                size += len(held[-1])
            places += (fresh + base).tolist()
        base += len(batch)
        if held and (size >= TEXT_BYTES or number == len(lights) - 1):
            _sign_texts(held, places, exact, signed, rule)
            held, places, size = [], [], 0
    if held:
        _sign_texts(held, places, exact, signed, rule)
    bands = band_keys(signed, bands=range(rule.bands), band_rows=rule.rows)
    return pa.table(
        {
            "id": ids,
            "id_hash": id_hashes(ids),
            "exact": binary_column(exact),
            "text_hash": hashes.cast(pa.string()),
            **{f"order_{place}": small.column(name) for place, name in enumerate(order)},
            "signature": binary_column(signed),
            **{f"band_{band:02d}": pa.array(bands[band]) for band in range(rule.bands)},
        }
    )


def _sign_texts(texts: Sequence[str], places: Sequence[int], exact: np.ndarray, signed: np.ndarray, rule: Rule) -> None:
    encoded = [lowered(text) for text in texts]
    signed[places] = signatures_of(encoded, num_perm=rule.num_perm, ngram=rule.ngram)
    exact[places] = np.frombuffer(b"".join(normalised_hashes(texts, encoded)), np.uint8).reshape(-1, HASH_BYTES)


def _taken_over(
    ids: pa.ChunkedArray, hashes: pa.ChunkedArray, earlier: pa.Table, exact: np.ndarray, signed: np.ndarray
) -> np.ndarray:
    """Fills the rows whose id and text hash stand in an earlier shard; returns which they are."""
    earlier = earlier.combine_chunks()
    found = pc.fill_null(pc.index_in(ids, value_set=earlier.column("id")), -1).to_numpy()
    if not len(earlier):
        return np.zeros(len(ids), bool)
    same = pc.equal(earlier.column("text_hash").take(pa.array(np.maximum(found, 0))), hashes)
    known = (found >= 0) & pc.fill_null(same, False).to_numpy()
    rows = found[known]
    signed[known] = signature_rows(earlier.column("signature").combine_chunks(), num_perm=signed.shape[1])[rows]
    old = earlier.column("exact").combine_chunks()
    exact[known] = np.frombuffer(old.buffers()[1], np.uint8).reshape(-1, HASH_BYTES)[old.offset :][rows]
    return known
