"""The command with one function replaced: `python shims.py NAME corpus ...` runs main() with that breach of a law, or that gauge.

A law's test is itself tested by a breach.  Only the main process is changed; its children import the code as it is.
"""

import atexit
import contextlib
import functools
import itertools
import json
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from dags.__main__ import main
from pipeline import pages, sandbox, shards, storage
from pipeline.documents import stage
from pipeline.schema import LedgerRow

SHIMS: dict[str, Callable[[], None]] = {}


def shim(function: Callable[[], None]) -> Callable[[], None]:
    SHIMS[function.__name__.replace("_", "-")] = function
    return function


# ---- breaches ----


@shim
def lose_a_ledger_row() -> None:
    """Pages: the last dropped record of each shard is forgotten."""
    whole = pages.write_ledger

    def shorter(root: str, name: str, number: int, rows: list[LedgerRow]) -> Any:
        return whole(root, name, number, rows[:-1])

    pages.write_ledger = shorter  # type: ignore[assignment]


@shim
def skip_a_line() -> None:
    """Submissions: every 50th record of a dump is passed over, and nobody counts it."""
    from pipeline import links

    whole = links.read_dump

    def shorter(*words: Any, **named: Any) -> Iterator[Any]:
        return (record for n, record in enumerate(whole(*words, **named)) if n % 50 != 49)

    links.read_dump = shorter  # type: ignore[assignment]


@shim
def clock_in_rows() -> None:
    """Documents: the time of day instead of the archive's date."""
    whole = stage.document_row
    stage.document_row = lambda page, document: {**whole(page, document), "fetched_utc": time.time_ns()}  # type: ignore[assignment]


@shim
def hash_in_rows() -> None:
    """Documents: a number that changes with PYTHONHASHSEED."""
    whole = stage.document_row
    stage.document_row = lambda page, document: {**whole(page, document), "karma": hash(page["url"]) % 99}  # type: ignore[assignment]


@shim
def write_in_place() -> None:
    """Files are written under their final names; the process dies in the middle of the 40th."""
    _die_while_writing("", after=40, in_place=True)


@shim
def redo_everything() -> None:
    """No shard is ever found finished."""
    from pipeline import corpus, links

    for module in (shards, pages, stage, links, corpus):
        module.finished = lambda path, made_from: None  # type: ignore[attr-defined]


# ---- dying at a chosen moment ----


def _die_while_writing(name: str, *, after: int = 0, in_place: bool = False) -> None:
    """SIGKILL while the file number `after` with `name` in its path is half written."""
    counter = itertools.count()
    whole = storage.publish

    @contextlib.contextmanager
    def publish(path: str) -> Iterator[BinaryIO]:
        deadly = name in path and next(counter) == after
        if not (deadly or in_place):
            with whole(path) as file:
                yield file
            return
        storage.make_folder(os.path.dirname(path))
        with open(path if in_place else f"{path}{storage.TEMPORARY}dying", "wb") as file:
            yield file
            file.flush()
            if deadly:
                os.truncate(file.name, file.tell() // 2)
                os.kill(os.getpid(), signal.SIGKILL)

    storage.publish = publish  # type: ignore[assignment]


for name, path, after in (
    ("die-in-a-shard", os.path.join("corpus", "data"), 0), ("die-in-a-late-shard", os.path.join("corpus", "data"), 4),
    ("die-in-the-manifest", "manifest.json", 0), ("die-in-the-card", "README.md", 0), ("die-in-a-ledger", "ledger", 3),
    ("die-in-a-removal", "ledger", 1),
):  # fmt: skip
    SHIMS[name] = functools.partial(_die_while_writing, path, after=after)


# ---- gauges ----


@shim
def weigh_elements() -> None:
    """Writes the size of the largest element that a map over shards took in or gave out to the file $LAWS_GAUGE."""
    largest: dict[str, int] = {}
    whole = shards._Across.process
    done = shards._Across._done

    def weigh(element: Any, work: Any) -> None:
        name = getattr(work, "func", work).__name__
        largest[name] = max(largest.get(name, 0), len(pickle.dumps(element)))

    def process(self: Any, element: Any) -> Iterator[Any]:
        weigh(element, self.work)
        yield from whole(self, element)

    def finished(self: Any) -> Iterator[Any]:
        for result in done(self):
            weigh(result, self.work)
            yield result

    shards._Across.process, shards._Across._done = process, finished  # type: ignore[method-assign]
    atexit.register(lambda: _report(largest))


@shim
def pass_text() -> None:
    """As weigh-elements, but the elements of the documents stage carry their rows: a breach of the law of small elements."""
    weigh_elements()
    whole = stage.extract_shard

    @functools.wraps(whole)
    def with_rows(page_shard: Any, **named: Any) -> Any:
        shard = whole(page_shard, **named)
        return shard._replace(digest=shard.digest + str(shards.read_table(shard.path).to_pylist()))

    stage.extract_shard = with_rows


@shim
def quick_text() -> None:
    """Extraction by a regular expression in the main process, so that memory is the DAG's own; peak memory to $LAWS_GAUGE."""
    import gzip
    import hashlib
    import re

    def outcomes(rows: list[dict[str, Any]], **_named: Any) -> Iterator[stage.Document]:
        for row in rows:
            record = gzip.decompress(stage.stored_record(row["archive"], offset=row["offset"], length=row["length"]))
            text = "\n".join(re.findall("<p>(.*?)</p>", record.decode("utf-8", "replace")))
            hashed = hashlib.sha256(text.encode()).hexdigest()
            yield stage.Document(text, "", "en", 1.0, "quick", len(text.split()), hashed)

    from dags.report import writing

    stage.outcomes = outcomes  # type: ignore[assignment]
    writing.write_report = lambda *_words: ""  # drawing takes some 200 MB, now more and now less
    atexit.register(lambda: _report({"peak_kb": _peak_kb()}))


@shim
def hoard() -> None:
    """As quick-text, but every table that is read stays in memory: a breach of the law of bounded memory."""
    quick_text()
    kept: list[Any] = []
    whole = stage.read_table
    write = stage.write_shard
    stage.read_table = lambda *words, **named: (kept.append(whole(*words, **named)), kept[-1])[1]  # type: ignore[assignment]
    stage.write_shard = lambda path, table, **named: (kept.append(table), write(path, table, **named))[1]  # type: ignore[assignment]


@shim
def short_patience() -> None:
    """A page may take two seconds instead of fifteen."""
    sandbox.Limits = functools.partial(sandbox.Limits, cpu_s=2.0)  # type: ignore[assignment,misc]


def _peak_kb() -> int:
    """Peak memory of this program.  `ru_maxrss` would not do: it starts from what the process that started this one held."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def _report(facts: dict[str, int]) -> None:
    with open(os.environ["LAWS_GAUGE"], "w") as file:
        json.dump(facts, file)


if __name__ == "__main__":
    SHIMS[sys.argv[1]]()
    sys.exit(main(sys.argv[2:]))
