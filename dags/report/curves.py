"""Charts of numbers: how karma, lengths, dates and cluster sizes are spread, and how a loss fell."""

from collections.abc import Mapping, Sequence
from typing import Any

from dags.report.drawing import FULL, Chart, drawn
from dags.report.tallies import Bin, quantile
from dags.report.training_facts import Point, TrainingFacts
from dags.report.words import plural, share

# Lower ends of bins.
KARMA = (0, 1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500, 1_000, 2_000, 5_000, 10_000, 50_000)
LENGTHS = (0, 50, 100, 150, 200, 300, 400, 500, 700, 1_000, 1_500, 2_000, 3_000, 5_000, 10_000, 20_000, 50_000)
CLUSTERS = (2, 3, 4, 5, 6, 11, 21, 51, 101, 501)
PERIODS = 60  # years or months shown, the latest


def histogram(bins: Sequence[tuple[str, int]], *, title: str, sentence: str, unit: str, noun: str = "document") -> Chart:
    """A column for each bin, in their order."""
    total, highest = sum(count for _, count in bins), max((count for _, count in bins), default=0)
    whole = {"values": list(range(highest + 1))} if highest < 5 else {}  # no tick between two counts
    values = [{"bin": label, "count": count, "tip": f"{label} {unit}: {plural(count, noun)}"} for label, count in bins]

    bar = {"band": 0.82} if len(bins) > 3 else 64

    def specification(width: int) -> dict[str, Any]:
        slanted = sum(len(label) + 1 for label, _ in bins) * 7 > width - 60
        axis = {"labelAngle": -50 if slanted else 0, "ticks": False, "labelPadding": 6, "labelOverlap": len(bins) > 18}
        return {
            "width": width,
            "height": 210,
            "data": {"values": values},
            "mark": {"type": "bar", "color": "var(--kept)", "cornerRadiusEnd": 2, "width": bar},
            "encoding": {
                "x": {"field": "bin", "type": "ordinal", "sort": None, "title": unit, "axis": axis},
                "y": {
                    "field": "count",
                    "type": "quantitative",
                    "title": f"{noun}s",
                    "axis": {"tickCount": 4, "domain": False, "ticks": False, "format": ",d"} | whole,
                },
                "description": {"field": "tip"},
            },
        }

    rows = [(label, count, share(count, total)) for label, count in bins]
    return drawn(specification, title=title, sentence=sentence, columns=(unit, f"{noun}s", "share"), rows=rows)


def distribution(values: Mapping[int, int], bins: Sequence[Bin], *, title: str, unit: str, noun: str = "document") -> Chart:
    """A histogram that says the median and the tenth at either end."""
    tenth, half, ninety = (quantile(values, part) for part in (0.1, 0.5, 0.9))
    sentence = f"Half of them have at most {half:,} {unit}, a tenth at most {tenth:,}, nine tenths at most {ninety:,}."
    return histogram([(bin_.label, bin_.records) for bin_ in bins], title=title, sentence=sentence, unit=unit, noun=noun)


def periods(months: Mapping[str, int]) -> Chart:
    """Documents by year of submission, by month where there are no more than two years."""
    years: dict[str, int] = {}
    for month, count in months.items():
        years[month.partition("-")[0]] = years.get(month.partition("-")[0], 0) + count
    shown, unit = (years, "year") if len(years) > 2 else (months, "month")
    bins = sorted(shown.items())[-PERIODS:]
    said = f"From {min(months)} to {max(months)}." if len(months) > 1 else f"All in {min(months, default='-')}."
    return histogram(bins, title="When they were submitted", sentence=said, unit=unit)


def losses(facts: TrainingFacts) -> Chart:
    series = [("training", facts.training), ("validation", facts.validation)]
    values = [{"step": point.step, "loss": point.loss, "of": name} for name, points in series for point in points]
    last = facts.validation[-1].loss if facts.validation else None

    def specification(width: int) -> dict[str, Any]:
        return {
            "width": width,
            "height": 280,
            "data": {"values": values},
            "layer": [
                {"mark": {"type": "line", "strokeWidth": 1.8, "aria": False}},
                {
                    "transform": [
                        {"filter": "datum.of == 'validation'"},
                        {"calculate": "datum.of + ' at step ' + datum.step + ': ' + format(datum.loss, '.4f')", "as": "tip"},
                    ],
                    "mark": {"type": "point", "filled": True, "size": 34, "opacity": 1},
                    "encoding": {"description": {"field": "tip"}},
                },
            ],
            "encoding": {
                "x": {"field": "step", "type": "quantitative", "title": "step", "axis": {"tickCount": 6, "grid": False}},
                "y": {
                    "field": "loss",
                    "type": "quantitative",
                    "scale": {"zero": False},
                    "title": "loss, nats a token",
                    "axis": {"tickCount": 5, "domain": False, "ticks": False},
                },
                "color": {
                    "field": "of",
                    "type": "nominal",
                    "scale": {"domain": ["training", "validation"], "range": ["var(--kept)", "var(--second)"]},
                },
            },
        }

    averaged = f" Each point of training is the mean of {facts.steps_a_point:,} steps." if facts.steps_a_point > 1 else ""
    return drawn(
        specification,
        title="Loss curve",
        sentence=(f"Validation loss {last:.4f} at the last evaluation." if last is not None else "Not evaluated yet.") + averaged,
        columns=("step", "loss", "of"),
        rows=[(point.step, f"{point.loss:.4f}", name) for name, points in series[::-1] for point in thinned(points)],
        wide=FULL,
    )


def thinned(points: Sequence[Point], *, most: int = 50) -> Sequence[Point]:
    return points[:: -(-len(points) // most) or 1]
