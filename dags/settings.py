"""The command line of `webtext corpus`, and what it settles: every choice that changes the corpus, and the rest."""

import argparse
import datetime
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from pipeline import storage
from pipeline.corpus import SHARD_BYTES
from pipeline.fetch.robots import OPT_OUT_TOKENS
from pipeline.links import MIN_KARMA
from pipeline.schema import PipelineError


@dataclass(frozen=True)
class CorpusConfig:
    """Every choice that changes the corpus; written whole into its manifest.  An output directory holds one."""

    min_karma: int = MIN_KARMA
    karma: str = "max"
    since: str | None = None
    until: str | None = None  # WebText's: 2017-12-31
    include_subreddits: tuple[str, ...] = ()
    exclude_subreddits: tuple[str, ...] = ()
    exclude: str | None = None  # SHA-256 of the removal list
    removed: str | None = None  # SHA-256 of ROOT/exclude.txt, in which `webtext remove` keeps what it took out
    language: str = "en"
    rules: str = "webtext"
    extractor: str = "trafilatura"
    dedup: str = "webtext"
    validation: float = 0.005
    shard_bytes: int = SHARD_BYTES
    allow_private: tuple[str, ...] = ()
    against: tuple[str, ...] = ()  # SHA-256 of the manifests of older corpora, oldest first
    source: str = "archive"  # or crawl
    robots_tokens: tuple[str, ...] = OPT_OUT_TOKENS  # of a crawl
    contact: str | None = None  # whom the dataset card names for those who ask to be left out

    def __post_init__(self) -> None:
        if self.min_karma < 0:
            raise PipelineError(f"--min-karma is {self.min_karma}; it must be 0 or more.")
        if not 0 <= self.validation <= 1:
            raise PipelineError(f"--validation is {self.validation}; it is a fraction from 0 to 1.")
        if self.shard_bytes < 1:
            raise PipelineError(f"--shard-bytes is {self.shard_bytes}; it must be at least 1.")
        if self.since and self.until and self.since > self.until:
            raise PipelineError(f"--since {self.since} is after --until {self.until}.")

    def as_json(self) -> dict[str, Any]:
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def differences(self, other: dict[str, Any]) -> list[str]:
        """What `other` (of a file) has otherwise, a phrase each.  Whom to ask and what was removed since may differ."""
        mine = {name: value for name, value in self.as_json().items() if name not in ("removed", "contact")}
        return [f"{name} {other.get(name)!r}, now {mine[name]!r}" for name in mine if other.get(name) != mine[name]]


DEFAULTS = {field_.name: field_.default for field_ in fields(CorpusConfig)}


@dataclass(frozen=True)
class RunOptions:
    """How to build, without a trace in the corpus."""

    output: str
    dumps: list[str]
    archives: list[str] | None = None  # None: a live crawl
    contact: str = ""
    retry_failed: bool = False
    workers: int = 1
    here: bool = True  # the engine is this machine
    exclude: str | None = None
    against: tuple[str, ...] = ()
    allow_truncated: bool = False
    min_score_age_h: float | None = None

    @property
    def journal(self) -> str:
        """Where each shard that is finished is noted: a local file, wherever the corpus lies."""
        return storage.journal_of(self.output)

    @property
    def workers_journal(self) -> str | None:
        return seen_journal(self.output, here=self.here)


def seen_journal(output: str, *, here: bool) -> str | None:
    """The journal as workers are told it: not those of another machine, which do not see it."""
    return storage.journal_of(output) if here or storage.is_local(output) else None


def day(text: str) -> str:
    """An argparse type: YYYY-MM-DD."""
    try:
        return datetime.date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date; write it as 2017-12-31") from None


def names(text: str) -> tuple[str, ...]:
    """An argparse type: a,b,c."""
    return tuple(sorted({name.strip() for name in text.split(",") if name.strip()}))


def positive(text: str) -> int:
    """An argparse type."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    sources = parser.add_argument_group("sources")
    sources.add_argument("--submissions", nargs="+", metavar="GLOB", default=[], help="Reddit dumps: .zst .xz .bz2 .gz or NDJSON")
    sources.add_argument("--subreddits", type=names, metavar="A,B", help="read these subreddits from Reddit's API with praw")
    sources.add_argument("--listing", type=names, metavar="NEW,TOP", help="listings to read of them: new, hot, top, rising ...")
    sources.add_argument("--search", metavar="QUERY", help="also read what this search finds in them")
    sources.add_argument("--limit", type=positive, metavar="N", help="posts a listing; Reddit serves about 1,000 at most")
    sources.add_argument("--archive", nargs="+", metavar="GLOB", help="replay pages from WARC files, without network")
    sources.add_argument("--contact", metavar="ADDRESS", help="who servers and authors may write to; needed for a live crawl")
    sources.add_argument(
        "--robots-tokens", type=names, default=OPT_OUT_TOKENS, metavar="A,B",
        help=f"a robots.txt that shuts these out asks for no training; default {','.join(OPT_OUT_TOKENS)}",
    )  # fmt: skip
    sources.add_argument("--retry-failed", action="store_true", help="fetch again what failed for a passing reason")
    sources.add_argument(
        "--allow-private", action="append", default=[], metavar="HOST:PORT-or-CIDR", help="a private host that may be fetched"
    )
    sources.add_argument("--allow-truncated", action="store_true", help="use what a dump that is cut short still holds")
    links = parser.add_argument_group("links")
    links.add_argument("--min-karma", type=int, metavar="N", default=DEFAULTS["min_karma"], help="default %(default)s")
    links.add_argument(
        "--karma", choices=("max", "sum"), default=DEFAULTS["karma"], help="over the submissions of a link; default %(default)s"
    )
    links.add_argument("--since", type=day, metavar="DATE", help="first day of submissions")
    links.add_argument("--until", type=day, metavar="DATE", help="last day; WebText's is 2017-12-31")
    links.add_argument("--include-subreddits", type=names, default=(), metavar="A,B", help="only these")
    links.add_argument("--exclude-subreddits", type=names, default=(), metavar="A,B", help="not these")
    links.add_argument("--exclude", metavar="FILE", help="removal list: a URL, domain or document id a line")
    links.add_argument(
        "--min-score-age", type=float, metavar="H", help="stop if a dump read its scores earlier than this (median, hours)"
    )
    text = parser.add_argument_group("documents")
    text.add_argument("--language", default=DEFAULTS["language"], metavar="CODE|any", help="ISO 639-1; default %(default)s")
    text.add_argument("--rules", choices=("webtext", "none"), default=DEFAULTS["rules"], help="default %(default)s")
    text.add_argument(
        "--extractor", choices=("trafilatura", "newspaper"), default=DEFAULTS["extractor"], help="default %(default)s"
    )
    text.add_argument(
        "--dedup", default=DEFAULTS["dedup"], metavar="NAME|BxR@T|none",
        help="webtext, strict, loose, fineweb, openwebtext2, or bands x rows @ threshold; default %(default)s",
    )  # fmt: skip
    text.add_argument(
        "--against", nargs="+", metavar="ROOT", default=[], help="older corpora, oldest first: their documents stay"
    )
    output = parser.add_argument_group("output")
    output.add_argument("--output", required=True, metavar="ROOT", help="directory of the corpus and the work on it; resumable")
    output.add_argument(
        "--validation", type=float, default=DEFAULTS["validation"], metavar="F", help="fraction of documents; default %(default)s"
    )
    output.add_argument(
        "--shard-bytes", type=positive, default=DEFAULTS["shard_bytes"], metavar="N", help="of text; default %(default)s"
    )
    output.add_argument("--rebuild", action="store_true", help="build with this configuration over what another one made")
    add_workers(output)
    output.add_argument("--quiet", action="store_true", help="no progress")
    output.add_argument("--dry-run", action="store_true", help="say what would be read and built, and stop")


def add_workers(parser: Any) -> None:
    parser.add_argument(
        "--workers", type=positive, metavar="N",
        help="shards at a time in a process; default: the processors of this machine, on other engines 1",
    )  # fmt: skip


ENGINES_HELP = """\
engines, chosen with --runner:
  FnApiRunner      this machine, in memory; the default
  DataflowRunner   Google's service. Also needs --project, --region, --temp_location gs://BUCKET/tmp and
                   --sdk_container_image IMAGE, which holds webtext; every path is gs://. The bill is bounded by
                   --max_num_workers N --machine_type TYPE
  PortableRunner   a job server, such as Flink's: --job_endpoint HOST:PORT, and --environment_type EXTERNAL
                   --environment_config HOST:PORT of a worker pool that holds webtext

Any other option of Beam may follow. docs/engines.md has a first run on each, what it costs, and the image."""


def parse_with_beam(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.Namespace:
    """The options of `parser`; `beam` holds the others if Beam knows them all, else it is wrong use."""
    parser.epilog = ENGINES_HELP
    options, rest = parser.parse_known_args(arguments)
    if unknown := unknown_to_beam(rest):
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if problem := unknown_engine(rest):
        parser.error(problem)
    options.beam = rest
    return options


def unknown_to_beam(arguments: Sequence[str]) -> list[str]:
    """What Beam would warn of and ignore."""
    if not arguments:
        return []
    from apache_beam.options.pipeline_options import PipelineOptions, _BeamArgumentParser

    parser = _BeamArgumentParser(add_help=False, allow_abbrev=False, conflict_handler="resolve")
    for options in PipelineOptions.__subclasses__():
        options._add_argparse_args(parser)
    return parser.parse_known_args(list(arguments))[1]


def unknown_engine(arguments: Sequence[str]) -> str | None:
    """What is wrong with --runner."""
    if not arguments:
        return None
    from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

    from dags.engines import engine_named

    try:
        engine_named(PipelineOptions(list(arguments)).view_as(StandardOptions).runner)
    except PipelineError as error:
        return str(error)
    return None


def digest_of_file(path: str | None) -> str | None:
    """SHA-256 of a file that is named; a clear error if it is not there."""
    if path is None:
        return None
    if not storage.exists(path):
        raise PipelineError(f"{path}: there is no such file.")
    try:
        return storage.sha256_of(path)
    except OSError as error:  # a folder, or not ours to read
        raise PipelineError(f"{path}: {error.strerror}. Expected a file.") from error
