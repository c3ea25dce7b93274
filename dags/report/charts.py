"""Charts of names: the funnel, and bars for reasons, domains, languages and stages."""

from collections.abc import Mapping, Sequence
from typing import Any

from dags.report.drawing import FULL, NARROW, WIDE, Chart, drawn
from dags.report.outside_text import cut, harmless
from dags.report.tallies import top
from dags.report.words import plural, share

BAR = 24  # pixels a bar
TABLE = 100  # rows beside a chart
LABEL = 30  # characters
NAMES = {"ticks": False, "domain": False, "labelColor": "var(--ink)", "labelPadding": 6}  # the axis of names beside bars
TWO_SIDES = {
    "field": "what",
    "type": "nominal",
    "scale": {"domain": ["kept", "dropped"], "range": ["var(--kept)", "var(--dropped)"]},
}
# What is left after a stage.
LEFT = {
    "submissions": "submissions",
    "links": "links",
    "pages": "pages",
    "documents": "documents",
    "duplicates": "unique documents",
    "corpus": "in the corpus",
}


def funnel(stages: Sequence[Mapping[str, Any]]) -> Chart:
    read, left = stages[0]["in"], stages[-1]["kept"]
    names = [LEFT.get(stage["name"], stage["name"]) for stage in stages]
    rows = [("lines read", 0, read, 0)]
    rows += [(name, stage["in"], stage["kept"], stage["in"] - stage["kept"]) for name, stage in zip(names, stages, strict=True)]
    values = [
        {"step": name, "what": what, "count": count, "tip": f"{name}: {count:,} {what}"}
        for name, _, kept, lost in rows
        for what, count in (("kept", kept), ("dropped", lost))
        if count
    ]
    labels = [{"step": name, "end": kept + lost, "kept": kept, "lost": lost} for name, _, kept, lost in rows]

    def specification(width: int) -> dict[str, Any]:
        y = {"field": "step", "type": "nominal", "sort": None, "title": None, "axis": NAMES}
        scale = {"domain": [0, read * (1.55 if width == NARROW else 1.2) or 1], "nice": False}
        before, after = (" (\N{MINUS SIGN}", ")") if width == NARROW else (" left, ", " dropped")
        texts = [
            {**label, "text": f"{label['kept']:,}" + (f"{before}{label['lost']:,}{after}" if label["lost"] else "")}
            for label in labels
        ]
        return {
            "width": width,
            "height": {"step": 34},
            "layer": [
                {
                    "data": {"values": values},
                    "mark": {"type": "bar", "height": {"band": 0.62}, "cornerRadiusEnd": 2},
                    "encoding": {
                        "y": y,
                        "x": {"field": "count", "type": "quantitative", "axis": None, "scale": scale, "stack": True},
                        "color": TWO_SIDES,
                        "order": {"field": "what", "type": "nominal", "sort": "descending"},
                        "description": {"field": "tip"},
                    },
                },
                {
                    "data": {"values": texts},
                    "mark": {"type": "text", "align": "left", "dx": 6, "aria": False},
                    "encoding": {
                        "y": y,
                        "x": {"field": "end", "type": "quantitative", "scale": scale},
                        "text": {"field": "text"},
                    },
                },
            ],
        }

    return drawn(
        specification,
        title="From lines to documents",
        sentence=f"Of {read:,} lines read, {left:,} became documents of the corpus ({share(left, read)}).",
        columns=("step", "came in", "kept", "dropped"),
        rows=rows[1:],
        wide=FULL,
    )


def bars(
    counts: Mapping[str, int],
    *,
    title: str,
    sentence: str,
    noun: str,
    of: str,
    most: int = 15,
    colour: str = "kept",
    notes: Mapping[str, str] | None = None,
    wide: int = WIDE,
) -> Chart:
    """A bar for each of the most frequent names.

    `noun`: what a name is, `of`: what is counted.  `notes`: a last column of the table, by name.
    """
    first = top(counts)
    total, rest = sum(counts.values()), first[most:]
    # Of two names that are cut alike the more frequent one stays.
    named = {harmless(cut(name, characters=LABEL)): count for name, count in reversed(first[:most])}
    values = [
        {"name": name, "count": count, "tip": f"{name}: {count:,} ({share(count, total)})"}
        for name, count in reversed(named.items())
    ]
    if rest:
        others = plural(sum(count for _, count in rest), of)
        sentence += f" {plural(len(rest), f'more {noun}')} with {others}."
    if len(first) > TABLE:
        sentence += f" The table holds the first {TABLE}."
    columns: tuple[str, ...] = (noun, f"{of}s", "share")
    rows: list[tuple[Any, ...]] = [(cut(name, characters=80), count, share(count, total)) for name, count in first[:TABLE]]
    if notes is not None:
        columns = (*columns, "most often")
        rows = [(*row, notes.get(name, "")) for row, (name, _) in zip(rows, first, strict=False)]
    return drawn(
        lambda width: horizontal(values, width=width, colour=colour),
        title=title,
        sentence=sentence,
        columns=columns,
        rows=rows,
        wide=wide,
    )


def times(seconds: Mapping[str, float]) -> Chart:
    """A bar for each stage, in their order."""
    values = [{"name": name, "count": round(took, 1), "tip": f"{name}: {took:,.1f} s"} for name, took in seconds.items()]
    rows = [(name, f"{took:,.2f}", share(took, sum(seconds.values()))) for name, took in seconds.items()]
    return drawn(
        lambda width: horizontal(values, width=width, colour="kept"),
        title="Seconds by stage",
        sentence="In the order of the data.",
        columns=("stage", "seconds", "share"),
        rows=rows,
    )


def languages(kept: Mapping[str, int], dropped: Mapping[str, int], *, most: int = 14) -> Chart:
    """A bar for each language: documents kept, and pages dropped because of it."""
    both = {language: kept.get(language, 0) + dropped.get(language, 0) for language in {*kept, *dropped}}
    order = sorted(top(both), key=lambda pair: language_order(pair, kept))
    rows = [(harmless(cut(name, characters=LABEL)), kept.get(name, 0), dropped.get(name, 0)) for name, _ in order]
    said = f"{plural(len(kept), 'language')} kept; {plural(sum(dropped.values()), 'page')} in {len(dropped):,} were left out."
    parts: list[dict[str, Any]] = [
        {"name": name, "what": what, "count": count, "tip": f"{name}: {count:,} {what}"}
        for name, *counts in rows[:most]
        for what, count in zip(("kept", "dropped"), counts, strict=True)
        if count
    ]
    ends: list[dict[str, Any]] = [{"name": name, "count": one + other} for name, one, other in rows[:most]]

    def specification(width: int) -> dict[str, Any]:
        drawing = horizontal(ends, width=width, colour="kept")
        bar, text = drawing["layer"]
        longest = max((end["count"] for end in ends), default=1)
        pieces = [{**part, "length": seen(part["count"], longest)} for part in parts]
        bar |= {"data": {"values": pieces}, "mark": {**bar["mark"], "color": None}}
        bar["encoding"] |= {"color": TWO_SIDES, "order": {"field": "what", "sort": "descending"}}
        return {**drawing, "layer": [bar, text]}

    return drawn(specification, title="Languages", sentence=said, columns=("language", "kept", "dropped"), rows=rows[:TABLE])


def language_order(pair: tuple[str, int], kept: Mapping[str, int]) -> tuple[int, int, str]:
    """Languages that were kept first, the most frequent first."""
    return -kept.get(pair[0], 0), -pair[1], pair[0]


def seen(count: float, longest: float) -> float:
    """The length of a bar: what is there can be seen, however little beside the longest one."""
    return max(count, longest / 160) if count else 0


def horizontal(values: list[dict[str, Any]], *, width: int, colour: str) -> dict[str, Any]:
    y = {"field": "name", "type": "nominal", "sort": None, "title": None, "axis": NAMES}
    longest = max((value["count"] for value in values), default=1)
    room = 1.5 if width == NARROW else 1.2  # for the number behind the longest bar
    scale = {"domain": [0, longest * room], "nice": False}
    x = {"field": "length", "type": "quantitative", "axis": None, "scale": scale}
    values = [{**value, "length": seen(value["count"], longest)} for value in values]
    return {
        "width": width,
        "height": {"step": BAR},
        "data": {"values": values},
        "layer": [
            {
                "mark": {"type": "bar", "color": f"var(--{colour})", "height": {"band": 0.68}, "cornerRadiusEnd": 2},
                "encoding": {"y": y, "x": x, "description": {"field": "tip"}},
            },
            {
                "mark": {"type": "text", "align": "left", "dx": 5, "aria": False},
                "encoding": {"y": y, "x": x, "text": {"field": "count", "format": ","}},
            },
        ],
    }
