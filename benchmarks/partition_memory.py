"""How much memory a partition takes in the stages that hold one whole: the slope between a small and a large one.

    python benchmarks/partition_memory.py STAGE ROWS      prints the bytes by which this process grew

Rows are made up, of the length of real ones; extraction is left out, as it happens in children of bounded memory.
"""

import gc
import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipeline.archive_index import ENTRY, Entry, key_hash
from pipeline.documents import stage
from pipeline.documents.document import Document, ExtractConfig
from pipeline.exclude import NO_EXCLUSIONS
from pipeline.links import LinkConfig, merge_partition
from pipeline.pages import Lookup, find_pages, page_of
from pipeline.schema import LINK, PAGE, LedgerRow, Link, Shard
from pipeline.shard_list import written_list
from pipeline.shards import shard_path, table_of, write_shard
from pipeline.spill import write_spill

SMALL, LARGE = 20_000, 80_000
TEXT = "A paragraph of an article that somebody found worth a vote. " * 160  # 9.6 kB, the mean of the real pages
DROPPED = 3  # submissions that go to the ledger for each link that is kept: links.md


def link(n: int) -> Link:
    key = f"example{n % 97}.org/news/2013/{n % 12}/{n}/a-title-of-the-usual-length-{n}.html"
    name = hashlib.sha256(key.encode()).hexdigest()[:32]
    return Link(name, key, f"http://{key}", f"example{n % 97}.org", n % 5000, f"1{n:x}", "news", 1_400_000_000 + n)


def entry(row: Link, n: int) -> Entry:
    digest = hashlib.sha256(row.key.encode()).hexdigest()
    return Entry(key_hash(row.key), row.key, row.url, 1_500_000_000_000_000, "a.warc.gz", digest, "gs://bucket/archive/a.warc.gz",
                 n * 31_000, 31_000, digest, 200, None, None, 0, "")  # fmt: skip


def of_links(root: str, rows: int) -> Callable[[], Any]:
    links = (link(n) for n in range(rows))
    dropped = (LedgerRow("links", "IMAGE_HOST", f"http://i.imgur.com/{n:07d}.jpg", None, f"submission=1{n:x} karma=5")
               for n in range(DROPPED * rows))  # fmt: skip
    path = str(Path(root, "links", "spill.arrow"))
    write_spill(path, (record for part in (links, dropped) for record in part), partitions=1, made_from="", summary=dict)
    listed = written_list([Shard("spill", 0, 1, path, rows, 0, "")], path=str(Path(root, "list.arrow")))
    return lambda: merge_partition((0, listed), root=root, config=LinkConfig(partitions=1))


def of_pages(root: str, rows: int) -> Callable[[], Any]:
    made = sorted(link(n) for n in range(rows))
    named: dict[str, Any] = {"number": 0, "of": 1, "recipe": "", "made_from": ""}
    links = write_shard(shard_path(root, "links", 0, 1), table_of(made, LINK), stage="links", **named)
    found = sorted(entry(row, n) for n, row in enumerate(made))
    index = write_shard(
        shard_path(root, "pages", 0, 1, name="index"), table_of(found, ENTRY), stage="pages", compression=None, **named
    )
    lookup = Lookup(links, written_list([index], path=str(Path(root, "list.arrow"))))
    del made, found
    return lambda: find_pages(lookup, root=root, allow_private=(), excluded=NO_EXCLUSIONS)


def of_documents(root: str, rows: int) -> Callable[[], Any]:
    found = [page_of(link(n), url=link(n).url, entry=entry(link(n), n), body=entry(link(n), n)) for n in range(rows)]
    named: dict[str, Any] = {"number": 0, "of": 1, "recipe": "", "made_from": ""}
    pages = write_shard(shard_path(root, "pages", 0, 1), table_of(found, PAGE), stage="pages", **named)
    del found

    def outcomes(rows: list[dict[str, Any]], **_named: Any) -> Iterator[Document]:
        for n, _ in enumerate(rows):
            text = f"{n} {TEXT}"
            yield Document(text, "A title", "en", 0.99, "trafilatura", 1600, hashlib.sha256(text.encode()).hexdigest())

    stage.outcomes = outcomes  # type: ignore[assignment]
    return lambda: stage.extract_shard(pages, root=root, config=ExtractConfig(), workers=1)


def status_kb(name: str) -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(f"{name}:"))


def bytes_a_row(name: str) -> int:
    """Bytes by which a worker's peak grows with each row of a partition."""
    small, large = (int(subprocess.check_output([sys.executable, __file__, name, str(rows)])) for rows in (SMALL, LARGE))
    return round((large - small) / (LARGE - SMALL))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="webtext-memory-") as folder:
        work = {"links": of_links, "pages": of_pages, "documents": of_documents}[sys.argv[1]](folder, int(sys.argv[2]))
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
        before = status_kb("VmRSS")
        work()
        print((status_kb("VmHWM") - before) * 1024)
