"""How training went: recipe, losses and what the model wrote, from ROOT/model."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pipeline import storage

POINTS = 200  # of a curve
SAMPLES = 3


class Point(NamedTuple):
    step: int
    loss: float


class TrainingFacts(NamedTuple):
    size: dict[str, int]  # n_layer, n_embd, ...
    recipe: dict[str, Any]
    step: int
    training: list[Point]  # the mean loss of neighbouring steps, at most POINTS of them
    steps_a_point: int
    validation: list[Point]
    bits_per_byte: float | None  # of the last evaluation
    skipped: int
    samples: list[tuple[int, str]]  # step and text: the first and the last ones


def training_facts(root: str) -> TrainingFacts | None:
    """None if nothing was trained, or ROOT is no folder of this machine."""
    folder = Path(root) / "model"
    metrics = folder / "metrics.jsonl"
    if not storage.is_local(root) or not metrics.is_file():
        return None
    training: list[Point] = []
    validation: list[Point] = []
    bits, skipped, last = None, 0, 0
    for record in records(metrics):
        last = max(last, record["step"])
        if "validation_loss" in record:
            validation.append(Point(record["step"], record["validation_loss"]))
            bits = record.get("validation_bits_per_byte", bits)
        elif "skipped" in record:
            skipped += 1
        elif isinstance(record.get("loss"), float):
            training.append(Point(record["step"], record["loss"]))
    state = newest_state(folder)
    steps_a_point = -(-len(training) // POINTS) or 1
    return TrainingFacts(
        size={name: value for name, value in state.get("config", {}).items() if isinstance(value, int)},
        recipe=state.get("recipe", {}),
        step=last,
        training=[mean(training[at : at + steps_a_point]) for at in range(0, len(training), steps_a_point)],
        steps_a_point=steps_a_point,
        validation=validation[:: -(-len(validation) // POINTS) or 1],
        bits_per_byte=bits,
        skipped=skipped,
        samples=samples(folder),
    )


def records(path: Path) -> Iterator[dict[str, Any]]:
    """Whole lines; half a line of a run that was killed, or is still writing, is left out."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.endswith("\n"):
                try:
                    record = json.loads(line)
                except ValueError:
                    continue
                if isinstance(record, dict) and isinstance(record.get("step"), int):
                    yield record


def mean(points: list[Point]) -> Point:
    return Point(points[-1].step, sum(point.loss for point in points) / len(points))


def newest_state(folder: Path) -> dict[str, Any]:
    """What the newest checkpoint says of its run; nothing if there is none."""
    states = sorted(folder.glob("checkpoints/step-*/state.json"))
    try:
        state = json.loads(states[-1].read_text(encoding="utf-8")) if states else {}
    except (OSError, ValueError):
        return {}  # taken away or replaced while this was read
    return state if isinstance(state, dict) else {}


def samples(folder: Path) -> list[tuple[int, str]]:
    paths = sorted(folder.glob("samples/step-*.txt"))
    chosen = paths if len(paths) <= SAMPLES else [paths[0], *paths[1 - SAMPLES :]]
    found = []
    for path in chosen:
        number = path.stem.rpartition("-")[2]
        if number.isdecimal():
            with path.open(encoding="utf-8", errors="replace") as file:
                found.append((int(number), file.read(1_200)))
    return found
