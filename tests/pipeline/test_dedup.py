"""What the duplicate stage decides, over shards: the same for any cut, and what a plain program would decide."""

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.dedup import Columns, DropDuplicates, Rule, band_tasks, clusters_path, older_shards, read_verdicts, rule_named
from pipeline.dedup.edges import find_copies, find_edges
from pipeline.dedup.rule import PRESETS, folded
from pipeline.dedup.signing import sign, sign_older, signature_table
from pipeline.dedup.verdicts import decide, spans
from pipeline.minhash import signatures
from pipeline.schema import DOCUMENT, PipelineError, Shard
from pipeline.shards import read_metadata, read_table, shard_path, write_shard

WORDS = [f"{first}{second}{third}" for first in "bcdfgklm" for second in "aeiou" for third in ("n", "r", "st", "l")]


def made_text(seed: int, *, words: int = 120) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def edited(text: str, *, seed: int, edits: int) -> str:
    words, chance = text.split(), random.Random(seed)
    at = chance.randrange(len(words) - edits)
    words[at : at + edits] = chance.choices(WORDS, k=edits)
    return " ".join(words)


def document(name: str, text: str, *, karma: int = 3, created_utc: int = 1000) -> dict:
    row = dict.fromkeys(DOCUMENT.names)
    key = f"example.org/{name}"
    return row | {
        "id": name, "text": text, "karma": karma, "created_utc": created_utc, "url": f"http://{key}", "key": key,
        "text_hash": str(hash_of(text)),
    }  # fmt: skip


def hash_of(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()


def corpus(*, texts: int = 60) -> list[dict]:
    """Texts, most of them with exact, near and far copies of every kind of rank."""
    rows = []
    for number in range(texts):
        text = made_text(number)
        variants = [text, text.upper(), f"  {text}\n", edited(text, seed=1, edits=3), edited(text, seed=2, edits=25)]
        for place, variant in enumerate(variants[: 1 + number % 6]):
            name = f"{(number * 7919 + place * 104729) % 10**6:06d}x{number}v{place}"
            rows.append(document(name, variant, karma=3 + (number * place) % 4, created_utc=1000 - place * (number % 3)))
    return rows


def documents(root: Path | str, rows: list[dict], *, partitions: int = 1) -> list[Shard]:
    shards = []
    for number in range(partitions):
        digits = "0123456789abcdef"[number::partitions]
        part = sorted((row for row in rows if hash_of(row["id"])[0] in digits), key=lambda row: row["id"])
        path = shard_path(str(root), "documents", number, partitions)
        table = pa.Table.from_pylist(part, schema=DOCUMENT)
        shards.append(write_shard(path, table, stage="documents", number=number, of=partitions, recipe="", made_from=""))
    return shards


def dropped(root: Path | str, shards: Sequence[Shard], rule: Rule = PRESETS["webtext"], *, against: Sequence[str] = ()) -> Path:
    """The stage without Beam, a step after the other."""
    settings = {"root": str(root), "rule": rule, "columns": Columns()}
    signed = []
    if rule.active:
        signed = [sign(shard, **settings) for shard in shards] + [sign_older(file, **settings) for file in older_shards(against)]
    copies = find_copies(signed, **settings)
    edges = [find_edges(task, root=str(root), rule=rule) for task in band_tasks(signed, [copies], root=str(root), rule=rule)]
    return Path(decide([*shards, *signed, copies, *edges], **settings).path)


def dropped_by_beam(root: Path | str, shards: Sequence[Shard], *flags: str, across: int = 1, against: str | None = None) -> Path:
    with beam.Pipeline("FnApiRunner", options=PipelineOptions(list(flags))) as pipeline:
        pipeline | beam.Create(list(shards)) | DropDuplicates(root=str(root), across=across, against=against)
    return Path(root) / "duplicates" / "verdicts.arrow"


def outcome(path: Path) -> tuple[list[dict], list[dict], list[dict]]:
    ledger = path.parent.parent / "ledger" / "duplicates-00000.arrow"
    return tuple(read_table(str(name)).to_pylist() for name in (path, clusters_path(str(path)), ledger))  # type: ignore[return-value]


def by_plain_program(rows: list[dict], rule: Rule) -> dict[str, str]:
    """Dropped id -> keeper: exact copies first, then the rule over all pairs, in memory."""
    order = sorted(rows, key=lambda row: (-row["karma"], row["created_utc"], row["id"]))
    first: dict[str, str] = {}
    copies: dict[str, str] = {}
    unique = []
    for row in order:
        plain = " ".join(row["text"].lower().split())
        if plain in first:
            copies[row["id"]] = first[plain]
        else:
            first[plain] = row["id"]
            unique.append(row)
    rows_of = signatures([row["text"] for row in unique], num_perm=rule.num_perm)
    keepers, _ = folded(rows_of, rule=rule)
    near = {unique[row]["id"]: unique[keeper]["id"] for row, keeper in enumerate(keepers) if keeper >= 0}
    return near | {name: near.get(keeper, keeper) for name, keeper in copies.items()}


@pytest.mark.parametrize("name", ["webtext", "strict", "loose", "fineweb", "openwebtext2", "20x6@0.6"])
def test_verdicts_are_those_of_a_plain_program_in_memory(name: str, tmp_path: Path) -> None:
    rows, rule = corpus(), rule_named(name)
    found, _, _ = outcome(dropped(tmp_path, documents(tmp_path, rows, partitions=3), rule))
    assert {row["id"]: row["kept"] for row in found} == by_plain_program(rows, rule)
    assert len(found) > 50


def test_every_record_is_kept_or_in_the_ledger_and_every_keeper_is_kept(tmp_path: Path) -> None:
    rows = corpus()
    path = dropped(tmp_path, documents(tmp_path, rows, partitions=2))
    found, clusters, ledger = outcome(path)
    counts = read_metadata(str(path)).counts
    assert counts == {"duplicates_in": len(rows), "duplicates_kept": len(rows) - len(ledger)}
    gone = {row["id"] for row in found}
    assert len(gone) == len(found) == len(ledger)
    assert not gone & {row["kept"] for row in found}
    assert {row["kept"] for row in found} <= {row["id"] for row in rows}
    sizes = Counter(row["kept"] for row in found)
    assert {row["id"]: row["cluster_size"] for row in clusters} == {name: count + 1 for name, count in sizes.items()}
    assert [row["id"] for row in found] == sorted(gone)
    assert [row["id"] for row in clusters] == sorted(sizes)
    by_id = {row["id"]: row for row in rows}
    said = {(row["key"], row["url"], row["reason"], row["detail"], row["kept"]) for row in ledger}
    rows_and_verdicts = [(by_id[row["id"]], row) for row in found]
    assert said == {
        (row["key"], row["url"], verdict["reason"], f"jaccard={verdict['jaccard']:.2f}", verdict["kept"])
        for row, verdict in rows_and_verdicts
    }
    assert [row["key"] for row in ledger] == sorted(row["key"] for row in ledger)
    assert {row["stage"] for row in ledger} == {"duplicates"}


def test_the_best_copy_is_kept_by_karma_then_age_then_id(tmp_path: Path) -> None:
    one, two, three = made_text(1), made_text(2), made_text(3)
    rows = [
        document("a1", one, karma=3), document("a2", one, karma=9),
        document("b1", two, created_utc=20), document("b2", two, created_utc=10),
        document("c2", three), document("c1", three),
    ]  # fmt: skip
    found, _, _ = outcome(dropped(tmp_path, documents(tmp_path, rows)))
    assert {row["id"]: row["kept"] for row in found} == {"a1": "a2", "b1": "b2", "c2": "c1"}
    assert {row["reason"] for row in found} == {"EXACT_DUPLICATE"}


def test_a_copy_of_a_near_duplicate_goes_to_the_near_duplicates_keeper(tmp_path: Path) -> None:
    text = made_text(5)
    close = edited(text, seed=0, edits=3)
    rows = [document("a", text, karma=9), document("b", close, karma=5), document("c", close.upper(), karma=4)]
    found, clusters, _ = outcome(dropped(tmp_path, documents(tmp_path, rows)))
    near = [("b", "a", "NEAR_DUPLICATE"), ("c", "a", "NEAR_DUPLICATE")]
    assert [(row["id"], row["kept"], row["reason"]) for row in found] == near
    one, other = signatures([text, close])
    assert found[0]["jaccard"] == found[1]["jaccard"] == pytest.approx((one == other).mean(), abs=0.006)
    assert clusters == [{"id": "a", "cluster_size": 3}]


def test_texts_without_words_are_duplicates_only_if_they_are_equal(tmp_path: Path) -> None:
    texts = {"a": "", "b": " \n", "c": "!!!", "d": "???", "e": "one", "f": "One"}
    rows = [document(name, text) for name, text in texts.items()]
    found, _, _ = outcome(dropped(tmp_path, documents(tmp_path, rows)))
    assert {row["id"]: row["kept"] for row in found} == {"b": "a", "f": "e"}


def test_thousands_of_copies_of_one_page_are_one_cluster(tmp_path: Path) -> None:
    rows = [document(f"{number:06d}", "the same page again and again") for number in range(3_000)]
    found, clusters, _ = outcome(dropped(tmp_path, documents(tmp_path, rows, partitions=2)))
    assert len(found) == 2_999
    assert clusters == [{"id": "000000", "cluster_size": 3_000}]


MODES = {
    "threads": ["--direct_running_mode=multi_threading", "--direct_num_workers=2"],
    "processes": ["--direct_running_mode=multi_processing", "--direct_num_workers=2"],
}


def test_partitions_and_order_change_nothing(tmp_path: Path) -> None:
    rows = corpus(texts=30)
    expected = None
    for partitions in (1, 2, 7):
        shards = documents(tmp_path / f"{partitions}", rows, partitions=partitions)
        random.Random(partitions).shuffle(shards)
        path = dropped_by_beam(tmp_path / f"{partitions}", shards, across=partitions)
        ledger = (tmp_path / f"{partitions}" / "ledger" / "duplicates-00000.arrow").read_bytes()
        made = (read_metadata(str(path)).digest, read_metadata(clusters_path(str(path))).digest, ledger)
        expected = expected or made
        assert made == expected


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.filterwarnings("ignore")  # Beam's own, of its worker processes
def test_every_mode_of_the_runner_gives_the_same_bytes(mode: str, tmp_path: Path) -> None:
    rows = corpus(texts=30)
    paths = [
        dropped_by_beam(tmp_path / name, documents(tmp_path / name, rows, partitions=3), *flags)
        for name, flags in (("memory", ()), (mode, MODES[mode]))
    ]
    assert outcome(paths[0]) == outcome(paths[1])
    for name in ("duplicates/verdicts.arrow", "duplicates/clusters.arrow", "ledger/duplicates-00000.arrow"):
        assert (tmp_path / "memory" / name).read_bytes() == (tmp_path / mode / name).read_bytes()


def test_the_ways_of_large_corpora_give_the_same_verdicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = corpus(texts=30)
    whole = outcome(dropped(tmp_path / "whole", documents(tmp_path / "whole", rows, partitions=2)))
    monkeypatch.setattr("pipeline.dedup.edges.MAX_COLUMN_ROWS", 40)
    monkeypatch.setattr("pipeline.dedup.verdicts.CHUNK_ROWS", 8)
    monkeypatch.setattr("pipeline.dedup.verdicts.MAX_UNION_NODES", 0)
    cut = outcome(dropped(tmp_path / "cut", documents(tmp_path / "cut", rows, partitions=2)))
    assert len(list((tmp_path / "cut" / "duplicates").glob("edges-*"))) > 36
    assert cut == whole


@pytest.mark.parametrize("rows", [[], [document("a", "only one")]])
def test_few_documents_or_none_still_give_verdicts(rows: list[dict], tmp_path: Path) -> None:
    path = dropped_by_beam(tmp_path, documents(tmp_path, rows) if rows else [])
    assert outcome(path) == ([], [], [])
    assert read_metadata(str(path)).counts == {"duplicates_in": len(rows), "duplicates_kept": len(rows)}


def test_the_rule_none_drops_nothing_and_reads_no_text(tmp_path: Path) -> None:
    rows = corpus(texts=10)
    path = dropped(tmp_path, documents(tmp_path, rows), rule_named("none"))
    assert outcome(path) == ([], [], [])
    assert read_metadata(str(path)).counts == {"duplicates_in": len(rows), "duplicates_kept": len(rows)}
    assert not list(path.parent.glob("signatures*"))


# ---- durability and reuse ----


def test_a_second_run_writes_nothing(tmp_path: Path) -> None:
    shards = documents(tmp_path, corpus(texts=10), partitions=2)
    dropped(tmp_path, shards)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.arrow")}
    dropped(tmp_path, shards)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.arrow")} == before


def test_files_cut_short_are_made_again(tmp_path: Path) -> None:
    shards = documents(tmp_path, corpus(texts=10), partitions=2)
    path = dropped(tmp_path, shards)
    whole = {name: name.read_bytes() for name in tmp_path.rglob("*.arrow") if name.parent.name != "documents"}
    for name in whole:
        name.write_bytes(whole[name][: len(whole[name]) // 2])
    dropped(tmp_path, shards)
    assert {name: name.read_bytes() for name in whole} == whole
    assert path in whole


def test_only_rows_that_changed_are_signed_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = corpus(texts=10)
    signed: list[str] = []

    def counting(texts, lowered):  # type: ignore[no-untyped-def]
        signed.extend(texts)
        return real(texts, lowered)

    import pipeline.dedup.signing as module

    real = module.normalised_hashes
    monkeypatch.setattr(module, "normalised_hashes", counting)
    [shard] = documents(tmp_path, rows)
    settings = {"root": str(tmp_path), "rule": PRESETS["webtext"], "columns": Columns()}
    sign(shard, **settings)
    assert len(signed) == len(rows)
    signed.clear()
    changed = document(rows[3]["id"], "this text is new and short")
    fresh = document("zzz", made_text(77))
    [shard] = documents(tmp_path, [*rows[:3], changed, *rows[5:], fresh])
    again = sign(shard, **settings)
    assert sorted(signed) == sorted([changed["text"], fresh["text"]])
    anew = signature_table(shard.path, rule=settings["rule"], columns=settings["columns"])
    assert read_table(again.path).equals(anew)


def test_ids_that_repeat_are_an_error_that_names_one(tmp_path: Path) -> None:
    rows = [document("one", made_text(1)), document("two", made_text(2)), document("one", made_text(3))]
    with pytest.raises(PipelineError, match="the id 'one' stands on two documents"):
        dropped(tmp_path, documents(tmp_path, rows))


# ---- older corpora ----


def write_corpus(root: Path, rows: list[dict], path: Path | None) -> list[dict]:
    """The survivors of `rows`, written as a finished corpus."""
    gone = {row["id"] for row in read_table(str(path)).to_pylist()} if path else set()
    kept = [row for row in rows if row["id"] not in gone]
    table = pa.Table.from_pylist(kept, schema=DOCUMENT).drop_columns(["key"])
    folder = root / "corpus" / "data"
    folder.mkdir(parents=True)
    for number in range(2):
        with pa.ipc.new_file(str(folder / f"train-{number:05d}-of-00002.arrow"), table.schema) as writer:
            writer.write_table(table.slice(number * len(kept) // 2, (number + 1) * len(kept) // 2 - number * len(kept) // 2))
    return kept


def months() -> list[list[dict]]:
    """Three months that share texts: copies and edits of January come up in February and March, and the other way round."""
    rows = corpus(texts=45)
    chance = random.Random(0)
    parts: list[list[dict]] = [[], [], []]
    for row in rows:
        parts[chance.randrange(3)].append(row)
    for place, name in ((1, parts[0][0]["id"]), (2, parts[1][0]["id"])):
        parts[place].append(document(name, made_text(900 + place)))  # a page that was fetched again and had changed
    return parts


def test_month_after_month_gives_the_corpus_of_one_run_in_which_earlier_months_come_first(tmp_path: Path) -> None:
    parts = months()
    together: list[dict] = []
    for number, rows in enumerate(parts):
        root = tmp_path / f"month{number}"
        older = [str(tmp_path / f"month{before}") for before in range(number)]
        together += write_corpus(root, rows, dropped(root, documents(root, rows, partitions=2), against=older))
    # At once: a month's rank stands before karma.  Of rows with one id, which only months can have, the first is taken.
    taken: dict[str, dict] = {}
    for number, rows in enumerate(parts):
        for row in rows:
            taken.setdefault(row["id"], row | {"karma": 1000 * (3 - number) + row["karma"]})
    root = tmp_path / "once"
    once = write_corpus(root, list(taken.values()), dropped(root, documents(root, list(taken.values()), partitions=3)))
    assert {(row["id"], row["text"]) for row in together} == {(row["id"], row["text"]) for row in once}
    assert 0 < len(together) < sum(map(len, parts)) - 40


def test_older_documents_stay_and_a_page_they_hold_already_goes(tmp_path: Path) -> None:
    text = made_text(1)
    old = [document("old1", text), document("old2", edited(text, seed=1, edits=2)), document("same", made_text(2))]
    write_corpus(tmp_path / "old", old, None)
    new = [document("new", text, karma=99), document("same", made_text(3), karma=99), document("other", made_text(4))]
    found, clusters, ledger = outcome(dropped_by_beam(tmp_path, documents(tmp_path, new), against=str(tmp_path / "old")))
    expected = [("new", "old1", "EXACT_DUPLICATE"), ("same", "same", "SAME_ID")]
    assert [(row["id"], row["kept"], row["reason"]) for row in found] == expected
    assert clusters == []
    assert [row["detail"] for row in ledger] == ["jaccard=1.00", f"jaccard={found[1]['jaccard']:.2f}"]


def test_an_older_corpus_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="there is no corpus"):
        dropped(tmp_path, documents(tmp_path, corpus(texts=3)), against=[str(tmp_path / "nowhere")])


# ---- reading and parsing ----


def test_verdicts_are_read_by_a_range_of_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.dedup.verdicts.BATCH_ROWS", 10)
    path = str(dropped(tmp_path, documents(tmp_path, corpus())))
    table, sizes = read_verdicts(path)
    ids = table.column("id").to_pylist()
    assert len(ids) > 50
    part, part_sizes = read_verdicts(path, start=ids[7], stop=ids[33])
    assert part.column("id").to_pylist() == ids[7:33]
    assert part_sizes == {name: size for name, size in sizes.items() if ids[7] <= name < ids[33]}
    assert len(read_verdicts(path, start="~")[0]) == 0


def test_spans_hold_whole_clusters() -> None:
    assert list(spans(np.array([0, 3, 6, 20, 22]), rows=6)) == [(0, 2), (2, 3), (3, 4)]
    assert list(spans(np.array([0]), rows=6)) == []


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("webtext", Rule(36, 7, 0.7)), ("strict", Rule(18, 7, 0.8)), ("loose", Rule(50, 5, 0.5)), ("fineweb", Rule(14, 8, None)),
        ("openwebtext2", Rule(3, 3, None)), ("20x5@.9", Rule(20, 5, 0.9)), ("1x1", Rule(1, 1, None)),
    ],
)  # fmt: skip
def test_rules_have_names_and_a_notation(text: str, rule: Rule) -> None:
    assert rule_named(text) == rule


NO_RULES = ["", "web", "36", "36x7@", "36x7@1.5", "36x7@0", "0x7", "36x0", "9999x9999", "-1x3", "٣x٣", "36x7@0.7.1"]


@pytest.mark.parametrize("text", NO_RULES)
def test_what_is_no_rule_is_an_error(text: str) -> None:
    with pytest.raises(PipelineError, match="--dedup"):
        rule_named(text)
