"""Takes documents out of a finished corpus, for those who ask to be left out.

Only the shards that held them are written anew; manifest, card and ledger follow (REMOVED_ON_REQUEST).  What was taken out is
remembered in ROOT/exclude.txt: no later build of ROOT brings it back, nor a duplicate that was folded into it.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from dags.finished_corpus import corpus_batches, ledger_batches, manifest_of, one_line, root_of, urls_of
from dags.report.words import plural
from dags.report.writing import write_report
from dags.running import output_directory, stopping_cleanly
from pipeline import storage
from pipeline.exclude import ExcludeError, Exclusions, exclusions, read_removals, removal_list, removals_path
from pipeline.link_rules import entry_against, judged, link_id
from pipeline.purge import purged
from pipeline.removal import carry_out, key_of, pending, plan_path, planned
from pipeline.schema import PipelineError
from pipeline.shards import read_batches
from pipeline.url import Allowed, UrlDefect, UrlError, canonical, registrable_domain

ERRORS = (PipelineError,)
NOT_HELD = (UrlDefect.IP_HOST, UrlDefect.PORT, UrlDefect.BAD_HOST)  # unless --allow-private named the host


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--corpus", required=True, metavar="ROOT", help="the --output of `webtext corpus`, or its corpus folder")
    parser.add_argument(
        "--domain", type=partial(entry, kind="domain"), action="append", default=[], metavar="D",
        help="every document of a domain and of its subdomains; may be given more than once",
    )  # fmt: skip
    parser.add_argument(
        "--url", type=partial(entry, kind="url"), action="append", default=[], metavar="U",
        help="the document of a URL, in any spelling; may be given more than once",
    )  # fmt: skip
    parser.add_argument(
        "--id", type=partial(entry, kind="id"), action="append", default=[], metavar="I",
        help="a document by its id; may be given more than once",
    )  # fmt: skip
    parser.add_argument(
        "--purge", action="store_true",
        help="also clean the work folders under ROOT and the archive of a live crawl of all that was ever taken out",
    )  # fmt: skip


def parse(parser: argparse.ArgumentParser, arguments: list[str]) -> argparse.Namespace:
    options = parser.parse_args(arguments)
    if not (options.domain or options.url or options.id or options.purge):
        parser.error("say what is to be taken out: --domain D, --url U or --id I")
    return options


def entry(text: str, *, kind: str) -> str:
    """An argparse type: what a removal list would take for a domain or an id, or a URL."""
    try:
        if kind == "url":
            canonical(text)
            return text
        named = exclusions([text], name=f"--{kind}")
    except UrlError as error:
        if error.defect in NOT_HELD:
            return text
        raise argparse.ArgumentTypeError(f"{text!r} is no URL ({error})") from None
    except ExcludeError:
        named = Exclusions()
    found = named.domains if kind == "domain" else named.ids
    if not found:
        wanted = "domain such as example.com" if kind == "domain" else "id of 32 hex digits"
        raise argparse.ArgumentTypeError(f"{text!r} is no {wanted}")
    return found[0]


def run(options: argparse.Namespace) -> int:
    root = root_of(options.corpus, stopped_removal=True)
    with output_directory(root), stopping_cleanly("remove"):
        if (unfinished := pending(root)) is not None:
            carry_out(unfinished, root=root)
            count = sum(len(rewrite.removed) for rewrite in unfinished.rewrites)
            print(f"{root}: ended a removal of {count:,} documents that was stopped", file=sys.stderr)
        storage.remove([plan_path(root)])  # of a removal that was stopped when it was all but done
        manifest = manifest_of(root)
        allowed = tuple(manifest["config"].get("allow_private", ()))
        request = requested(options, manifest)
        found = matches(request, root=root, manifest=manifest) if request else NOTHING
        if request and not found:
            print(f"webtext remove: {nothing(options)}", file=sys.stderr)
            return 1
        if found.kept or found.folded:
            take_out(request, found, root=root, manifest=manifest)
        cleaned = purged(root, read_removals(root), allow_private=allowed).lines() if options.purge else []
        print("\n".join([*told(found, request, root=root), *cleaned, *left_behind(root, manifest, purged=options.purge)]))
        if not storage.exists(storage.join(root, "corpus", "report.html")):  # it shows a sample of the texts, and went with them
            write_report(root)
    return 0


# ---- what is asked for ----


def requested(options: argparse.Namespace, manifest: dict[str, Any]) -> Exclusions:
    """The command line as a removal list.  A URL becomes the id of its document.  Raises PipelineError for what is no URL."""
    allowed = Allowed.parse(manifest["config"].get("allow_private", ()))
    ids = set(options.id)
    for url in options.url:
        page, drop = judged(url, allowed=allowed)  # a copy of a page leads to the page
        if page is None:
            raise PipelineError(f"--url {one_line(url)}: no document can have this URL ({drop and drop.reason}).")
        ids.add(link_id(page.key))
    return Exclusions(domains=tuple(sorted(set(options.domain))), ids=tuple(sorted(ids)))


class Found(NamedTuple):
    """What a request names."""

    kept: dict[str, dict[str, str]]  # path of a shard -> id -> entry
    urls: dict[str, str]  # id -> URL, of those kept and those folded
    folded: dict[str, str]  # id of a duplicate that was folded into one of them, or is named itself -> its keeper
    elsewhere: dict[str, str]  # id of a duplicate that is named -> URL of its keeper, which stays
    entries: frozenset[str]  # of the request, that name something
    before: bool  # some of them were on the removal list already

    def __bool__(self) -> bool:
        return bool(self.kept or self.folded or self.before)

    @property
    def documents(self) -> list[str]:
        return [id_ for ids in self.kept.values() for id_ in ids]


NOTHING = Found({}, {}, {}, {}, frozenset(), before=False)


def matches(request: Exclusions, *, root: str, manifest: dict[str, Any]) -> Found:
    """Every document that a request names, by its own URL or the one it was redirected to, and the duplicates of those."""
    allowed = Allowed.parse(manifest["config"].get("allow_private", ()))
    redirected = dict(redirected_to(request, root=root, allowed=allowed))
    kept: defaultdict[str, dict[str, str]] = defaultdict(dict)
    urls: dict[str, str] = {}
    ids = pa.array(sorted({*request.ids, *redirected}), pa.string())
    for path, batch in corpus_batches(root, manifest, columns=["id", "url", "domain"]):
        likely = pc.or_(pc.is_in(batch.column("id"), value_set=ids), may_be_under(batch.column("domain"), request.domains))
        for row in batch.filter(likely).to_pylist():
            key = key_of(row["url"], id_=row["id"], allowed=allowed)
            named = entry_against(key, excluded=request) if key else row["id"] if row["id"] in request.ids else None
            if named := named or redirected.get(row["id"]):
                kept[path][row["id"]] = named
                urls[row["id"]] = row["url"]
    leaving = {id_ for named in kept.values() for id_ in named}
    entries = {entry_ for named in kept.values() for entry_ in named.values()}
    known = read_removals(root)
    folded, staying = {}, {}
    for row in duplicates(root, manifest):
        named = entry_against(row["key"], excluded=request) or redirected.get(link_id(row["key"]))
        if row["kept"] in leaving or (named and not entry_against(row["key"], excluded=known)):
            id_ = link_id(row["key"])
            folded[id_], urls[id_] = row["kept"], row["url"]
            entries |= {named} if named else set()
            if row["kept"] not in leaving:
                staying[id_] = row["kept"]
    keepers = urls_of(set(staying.values()), root=root, manifest=manifest)
    elsewhere = {id_: keepers.get(keeper, f"document {keeper} of an older corpus") for id_, keeper in staying.items()}
    before = {*request.domains, *request.ids} & {*known.domains, *known.ids}
    return Found(dict(kept), urls, folded, elsewhere, frozenset(entries | before), before=bool(before))


def may_be_under(registrable: pa.Array, domains: Sequence[str]) -> pa.Array:
    """Whether a document of such a registrable domain may belong to one of `domains`: the host alone says it."""
    names = pa.array(sorted({*domains, *(registrable_domain(name) or name for name in domains)}), pa.string())
    under = pc.is_in(registrable, value_set=names)
    for name in domains:  # `blogspot.com` holds the registrable domains of others
        under = pc.or_(under, pc.ends_with(registrable, f".{name}"))
    return under


def redirected_to(request: Exclusions, *, root: str, allowed: Allowed) -> Iterator[tuple[str, str]]:
    """Ids of pages that lay behind a redirect to what the request names, each with the entry; as far as ROOT/pages is there."""
    for path in storage.files_in(storage.join(root, "pages"), "pages-*.arrow"):
        for batch in read_batches(path, columns=["id", "url", "final_url"]):
            for row in batch.filter(pc.not_equal(batch.column("url"), batch.column("final_url"))).to_pylist():
                page = judged(row["final_url"], allowed=allowed, final=True).page
                if page is not None and (named := request.entry(host=page.host, key=page.key, id=link_id(page.key))):
                    yield row["id"], named


def duplicates(root: str, manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Ledger rows of the duplicates that have a key: those of every corpus of ours."""
    for batch in ledger_batches(root, manifest, stage="duplicates"):
        yield from batch.filter(pc.is_valid(batch.column("key"))).to_pylist()


# ---- taking out, and telling ----


def take_out(request: Exclusions, found: Found, *, root: str, manifest: dict[str, Any]) -> None:
    """Writes the touched shards anew and remembers what is gone: a domain for all of its documents, or a line for each."""
    domains = Exclusions(domains=request.domains)
    notes = dict.fromkeys(request.domains, "a domain")
    for id_ in sorted({*request.ids, *found.documents, *found.folded}):
        url = found.urls.get(id_)
        if id_ in request.ids or url is None or not is_under(url, domains):
            keeper = found.folded.get(id_)
            notes[id_] = " ".join(filter(None, [url and one_line(url), keeper and f"duplicate of {keeper}"]))
    path = removals_path(root)
    before = storage.read_text(path) if storage.exists(path) else ""
    carry_out(planned(manifest, found.kept, removals=removal_list(before, notes), root=root), root=root)


def is_under(url: str, domains: Exclusions) -> bool:
    try:
        return entry_against(canonical(url).key, excluded=domains) is not None
    except UrlError:  # a private host
        return False


SHOWN = 20


def told(found: Found, request: Exclusions, *, root: str) -> list[str]:
    documents = found.documents
    lines = []
    if documents:
        lines.append(f"removed     {plural(len(documents), 'document')} from {plural(len(found.kept), 'shard')} of {root}")
        lines += shown([one_line(found.urls[id_]) for id_ in documents])
    with_them = [id_ for id_ in found.folded if id_ not in found.elsewhere]
    if with_them:
        lines.append(f"with them   {plural(len(with_them), 'duplicate')} folded into them: no later build keeps those instead")
        lines += shown([one_line(found.urls[id_]) for id_ in with_them])
    if found.elsewhere:
        lines.append("staying     documents of other URLs, into which pages that you name were folded:")
        pairs = [(one_line(found.urls[id_]), one_line(keeper)) for id_, keeper in found.elsewhere.items()]
        lines += shown([f"{url} is much the same as {keeper}" for url, keeper in pairs])
    if not documents and request:
        lines.append(f"removed     nothing more: what you name is in {removals_path(root)}")
    missing = sorted({*request.domains, *request.ids} - found.entries)
    if missing:
        lines.append("not found   nothing in the corpus comes from these; later builds leave them out too:")
        lines += shown(missing)
    if documents or found.folded:
        lines.append(f"remembered  {removals_path(root)}: later builds of {root} leave all of this out")
    return lines


def shown(lines: list[str]) -> list[str]:
    more = [f"{'':<12}and {len(lines) - SHOWN:,} more"] if len(lines) > SHOWN else []
    return [*(f"{'':<12}{line}" for line in lines[:SHOWN]), *more]


def nothing(options: argparse.Namespace) -> str:
    names = ", ".join(one_line(name) for name in (*options.domain, *options.url, *options.id))
    return f"no document of {options.corpus} comes from {names}. See `webtext why URL` for what became of a page."


def left_behind(root: str, manifest: dict[str, Any], *, purged: bool) -> list[str]:
    """Where the text still is."""
    lines = []
    folders = [storage.join(root, name) for name in ("links", "pages", "documents", "duplicates")]
    if not purged and any(storage.files_in(folder, "*.arrow") for folder in folders):
        lines.append("still held  by the work folders under ROOT, and by the archive of a live crawl: add --purge to clean those")
    holding = [name for name in ("tokens", "vocab", "model") if storage.files_in(storage.join(root, name), "**")]
    if "tokens" in holding:
        lines.append(f"still held  by token shards: run `webtext tokens --corpus {root}`, which encodes only what has changed")
    if "vocab" in holding:
        lines.append(f"still held  by the word counts of the vocabulary: `webtext vocab --corpus {root}` counts anew")
    if "model" in holding:
        lines.append("still held  by the model, as far as it learnt it: only training it anew takes that out")
    if manifest["config"].get("source") != "crawl":
        lines.append("still held  by the archives given with --archive: they are yours, and are never touched")
    return [*lines, "", f"corpus: {storage.join(root, 'corpus')}    next: webtext verify {root}"]
