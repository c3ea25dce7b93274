"""Connected components in bounded memory: edges on disk, rounds of large and small stars over parts of them.

Kiveris et al. 2014, "Connected Components in MapReduce and Beyond", algorithm 3.  For graphs whose union-find would not fit:
a part is read, sorted and written at a time.
"""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from pipeline.schema import PipelineError

PARTS = 64  # memory is some 50 bytes times the edges of a part, of which each counts twice
MAX_ROUNDS = 64  # a path of 100,000 in order takes 18; more than this is a bug, and is said aloud
PIECE_EDGES = 1 << 22


def star_rounds(
    pieces: Iterable[np.ndarray], *, folder: str, parts: int = PARTS, max_rounds: int = MAX_ROUNDS
) -> tuple[np.ndarray, np.ndarray]:
    """The members and starts of all components of two or more, as `pipeline.components.Components.members` gives them.

    `pieces`: edges, int64, shape (any, 2).  `folder` is made, used and removed.  Raises PipelineError if the rounds do not
    come to rest.
    """
    shutil.rmtree(folder, ignore_errors=True)
    try:
        edges = _spill(pieces, Path(folder) / "edges", parts)
        before = None
        for number in range(max_rounds):
            both = (np.concatenate([piece, piece[:, ::-1]]) for piece in _read(edges))
            spilled = _spill(both, Path(folder) / f"large{number}", parts)
            seen: list[tuple[int, int]] = []
            large = _spill(_large_stars(spilled, seen), Path(folder) / f"small{number}", parts)
            print_of_edges = (sum(count for count, _ in seen), sum(mixed for _, mixed in seen) % (1 << 64))
            if print_of_edges == before:
                return _members(large)
            before = print_of_edges
            edges = _spill(_small_stars(large), Path(folder) / f"edges{number}", parts)
        raise PipelineError(f"components of the duplicates did not settle in {max_rounds} rounds. Please report this.")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _large_stars(spilled: list[Path], seen: list[tuple[int, int]]) -> Iterator[np.ndarray]:
    """From each node, its larger neighbours to the least of its neighbourhood.  Adds a print of the edges it was given."""
    for edges in _sorted_parts(spilled):
        downward = edges[edges[:, 1] < edges[:, 0]].astype(np.uint64)
        mixed = (downward[:, 0] * np.uint64(0x9E3779B97F4A7C15)) ^ (downward[:, 1] * np.uint64(0xC2B2AE3D27D4EB4F))
        mixed *= np.uint64(0xFF51AFD7ED558CCD)
        seen.append((len(downward), int((mixed ^ (mixed >> np.uint64(33))).sum(dtype=np.uint64))))
        least = np.minimum(_least_of_group(edges), edges[:, 0])
        larger = edges[:, 1] > edges[:, 0]
        yield np.stack([edges[larger, 1], least[larger]], axis=1)


def _small_stars(spilled: list[Path]) -> Iterator[np.ndarray]:
    """From each node, itself and its smaller neighbours to the least of them.  Every edge leads down already."""
    for edges in _sorted_parts(spilled):
        least = _least_of_group(edges)
        other = edges[:, 1] != least
        yield np.concatenate([np.stack([edges[:, 0], least], axis=1), np.stack([edges[other, 1], least[other]], axis=1)])


def _least_of_group(edges: np.ndarray) -> np.ndarray:
    """The least second node of the edges that share a first one; edges are sorted."""
    first = np.flatnonzero(np.append(True, edges[1:, 0] != edges[:-1, 0])) if len(edges) else np.empty(0, np.int64)
    return np.repeat(edges[first, 1], np.diff(np.append(first, len(edges))))


def _members(stars: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    edges = np.concatenate([*_sorted_parts(stars), np.empty((0, 2), np.int64)])
    centres = np.unique(edges[:, 1])
    nodes, labels = np.append(edges[:, 0], centres), np.append(edges[:, 1], centres)
    order = np.lexsort((nodes, labels))
    return nodes[order], np.append(np.searchsorted(labels[order], centres), len(nodes))


# ---- edges on disk ----


def _spill(pieces: Iterable[np.ndarray], stem: Path, parts: int) -> list[Path]:
    """Writes each edge to the part of its first node.  An edge of a node with itself is left out."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [stem.with_name(f"{stem.name}-{part}") for part in range(parts)]
    for path in paths:
        path.write_bytes(b"")
    for piece in pieces:
        piece = piece[piece[:, 0] != piece[:, 1]]
        order = np.argsort(piece[:, 0] % parts, kind="stable")
        ends = np.searchsorted((piece[:, 0] % parts)[order], np.arange(parts + 1))
        for path, first, last in zip(paths, ends[:-1], ends[1:], strict=True):
            if first < last:
                with open(path, "ab") as file:
                    np.ascontiguousarray(piece[order[first:last]]).tofile(file)
    return paths


def _read(paths: Iterable[Path]) -> Iterator[np.ndarray]:
    """Edges of the files in pieces; the files are gone once they are read."""
    for path in paths:
        with open(path, "rb") as file:
            while len(piece := np.fromfile(file, np.int64, 2 * PIECE_EDGES)):
                yield piece.reshape(-1, 2)
        path.unlink()


def _sorted_parts(paths: Iterable[Path]) -> Iterator[np.ndarray]:
    """The distinct edges of each part that has any, sorted."""
    for path in paths:
        edges = np.concatenate([*_read([path]), np.empty((0, 2), np.int64)])
        if len(edges):
            edges = edges[np.lexsort((edges[:, 1], edges[:, 0]))]
            yield edges[np.append(True, (edges[1:] != edges[:-1]).any(axis=1))]
