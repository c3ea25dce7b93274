"""A removal list in, a test of every record out.

    # one entry a line; what follows a # is a note
    example.com                        a domain, its subdomains too
    https://news.example.com/story     one page, however it is spelled
    0b6b0ff0b7a0cbc5c3a7f3bba0dbab9d   a document, by its id
    t3_1kqia4                          a submission
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass
from functools import cached_property

from pipeline import storage
from pipeline.schema import PipelineError
from pipeline.url import UrlError, canonical, registrable_domain

DOCUMENT_ID = re.compile(r"[0-9a-f]{32}")
SUBMISSION_ID = re.compile(r"t3_\w+")


class ExcludeError(PipelineError):
    """A line of a removal list that names nothing."""


@dataclass(frozen=True)
class Exclusions:
    """What must not be in a corpus.  Tuples in order, so that equal lists are equal in the manifest."""

    domains: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    submissions: tuple[str, ...] = ()  # without the t3_

    @cached_property
    def _entries(self) -> frozenset[str]:
        return frozenset([*self.domains, *self.keys, *self.ids])

    @cached_property
    def submission_set(self) -> frozenset[str]:
        return frozenset(self.submissions)

    def __bool__(self) -> bool:
        return bool(self._entries or self.submission_set)

    def __or__(self, other: "Exclusions") -> "Exclusions":
        """What either list names."""
        both = zip(astuple(self), astuple(other), strict=True)
        return Exclusions(*(tuple(sorted({*mine, *theirs})) for mine, theirs in both))

    def entry(self, *, host: str, key: str, id: str) -> str | None:
        """The entry that excludes this page, None if there is none."""
        return next((name for name in (key, id, *parents(host)) if name in self._entries), None)


NO_EXCLUSIONS = Exclusions()
REMOVALS = "# Taken out by `webtext remove`.  Later builds of this corpus leave out what stands here.\n"


def parents(host: str) -> Iterator[str]:
    """`a.b.com`, `b.com`, `com`."""
    while host:
        yield host
        host = host.partition(".")[2]


def exclusions(lines: Iterable[str], *, name: str) -> Exclusions:
    """Reads a removal list; order and repetition do not matter.  Raises ExcludeError for a line that names nothing."""
    found: dict[str, set[str]] = {"domains": set(), "keys": set(), "ids": set(), "submissions": set()}
    for number, line in enumerate(lines, 1):
        entry = re.sub(r"(^|\s)#.*", "", line).strip()  # a # inside a URL begins its fragment
        if entry:
            kind, value = _entry(entry, where=f"{name}, line {number}")
            found[kind].add(value)
    return Exclusions(**{kind: tuple(sorted(values)) for kind, values in found.items()})


def read_exclusions(path: str) -> Exclusions:
    """The removal list in a file."""
    try:
        text = storage.read_text(path)
    except FileNotFoundError:
        raise ExcludeError(f"{path}: is not there. Check the path given to --exclude.") from None
    except UnicodeDecodeError:
        raise ExcludeError(f"{path}: is not UTF-8 text. Expected one URL, domain or id a line.") from None
    return exclusions(text.splitlines(), name=path)


def removals_path(root: str) -> str:
    """Where a corpus keeps what was taken out of it: a removal list, which every later build of it leaves out."""
    return storage.join(root, "exclude.txt")


def read_removals(root: str) -> Exclusions:
    """What was taken out of the corpus under ROOT."""
    path = removals_path(root)
    return read_exclusions(path) if storage.exists(path) else NO_EXCLUSIONS


def removal_list(text: str, notes: Mapping[str, str]) -> str:
    """A removal list with the entries of `notes` added, each with its note, one line; those that are there keep their lines."""
    known = exclusions(text.splitlines(), name="exclude.txt")
    there = {*known.domains, *known.keys, *known.ids}
    head = text if not text or text.endswith("\n") else f"{text}\n"
    lines = [f"{entry}  # {note}".rstrip("# ") for entry, note in notes.items() if entry not in there]
    return (head or REMOVALS) + "".join(f"{line}\n" for line in lines)


def _entry(entry: str, *, where: str) -> tuple[str, str]:
    if DOCUMENT_ID.fullmatch(entry):
        return "ids", entry
    if SUBMISSION_ID.fullmatch(entry):
        return "submissions", entry.removeprefix("t3_")
    try:
        url = canonical(entry if "://" in entry else f"http://{entry}")
    except UrlError as error:
        message = f"{where}: {entry!r} is no URL, domain or id ({error}). Mend or delete the line."
        raise ExcludeError(message) from None
    if "/" in entry:
        return "keys", url.key
    if not registrable_domain(url.host):
        raise ExcludeError(f"{where}: {entry!r} is no domain. Mend or delete the line.")
    return "domains", url.key.partition("/")[0]
