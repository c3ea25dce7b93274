"""Star edges, components and the leader rule, each against the plainest program that does the same."""

import itertools
import os
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pipeline.leaders
from pipeline.components import Components, components, star_edges
from pipeline.dedup.rule import Rule, folded
from pipeline.leaders import leaders
from pipeline.schema import PipelineError
from pipeline.star_rounds import star_rounds


def plain_components(nodes: int, edges: list[tuple[int, int]]) -> list[list[int]]:
    neighbours = defaultdict(set)
    for one, other in edges:
        neighbours[one].add(other)
        neighbours[other].add(one)
    seen: set[int] = set()
    found = []
    for node in range(nodes):
        if node in seen or not neighbours[node]:
            continue
        stack, cluster = [node], set()
        while stack:
            here = stack.pop()
            if here not in cluster:
                cluster.add(here)
                stack += neighbours[here]
        seen |= cluster
        if len(cluster) > 1:
            found.append(sorted(cluster))
    return found


def clusters_of(members: np.ndarray, starts: np.ndarray) -> list[list[int]]:
    return [members[first:last].tolist() for first, last in itertools.pairwise(starts)]


@settings(deadline=None)
@given(st.lists(st.integers(0, 6), max_size=40))
def test_star_edges_lead_to_the_first_of_each_key(keys: list[int]) -> None:
    nodes = np.arange(len(keys)) * 3 + 5
    edges = star_edges(np.array(keys, np.uint64), nodes)
    first: dict[int, int] = {}
    expected = []
    for key, node in zip(keys, nodes.tolist(), strict=True):
        if key and key in first:
            expected.append([node, first[key]])
        first.setdefault(key, node)
    assert edges.tolist() == expected


def test_a_bucket_of_many_copies_is_a_star_and_not_a_square() -> None:
    edges = star_edges(np.full(100_000, 7, np.uint64), np.arange(100_000))
    assert edges.shape == (99_999, 2)
    assert (edges[:, 1] == 0).all()


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=40))
def test_components_are_those_of_a_plain_search_whatever_the_pieces(pairs: list[tuple[int, int]]) -> None:
    nodes = 30
    edges = np.array(pairs, np.int64).reshape(-1, 2)
    expected = plain_components(nodes, [(one, other) for one, other in pairs if one != other])
    assert clusters_of(*components(nodes, [edges])) == expected
    assert clusters_of(*components(nodes, [edges[::-1][:, ::-1][::2], edges[::-1][1::2]])) == expected


def test_a_long_path_is_one_component() -> None:
    order = np.random.default_rng(0).permutation(50_000)
    members, starts = components(50_000, [np.stack([order[:-1], order[1:]], axis=1)])
    assert starts.tolist() == [0, 50_000]
    assert np.array_equal(members, np.arange(50_000))


def test_no_edges_no_components() -> None:
    members, starts = Components(5).members()
    assert members.tolist() == []
    assert starts.tolist() == [0]


# ---- leaders ----


def plain_leaders(signatures: np.ndarray, fixed: np.ndarray, *, bands: int, rows: int, least: int) -> list[int]:
    """The leader rule in its edge form over all pairs."""
    kept: list[int] = []
    keepers = []
    for x in range(len(signatures)):
        best, best_equal = -1, 0
        for y in kept if not fixed[x] else []:
            equal = signatures[x] == signatures[y]
            whole = equal[: bands * rows].reshape(bands, rows).all(axis=1).any()
            if whole and equal.sum() >= least and equal.sum() > best_equal:
                best, best_equal = y, int(equal.sum())
        keepers.append(best)
        if best < 0:
            kept.append(x)
    return keepers


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 25), st.integers(2, 4), st.sampled_from([0.25, 0.5, 0.75]))
def test_leaders_are_those_of_a_comparison_of_all_pairs(seed: int, count: int, letters: int, threshold: float) -> None:
    random = np.random.default_rng(seed)
    signatures = random.integers(0, letters, (count, 12)).astype(np.uint32)
    fixed = random.random(count) < 0.2
    rule = Rule(bands=6, rows=2, threshold=threshold)
    keepers, agreeing = folded(signatures, rule=rule, fixed=fixed)
    expected = plain_leaders(signatures, fixed, bands=6, rows=2, least=int(np.ceil(threshold * 12)))
    assert keepers.tolist() == expected
    for row, keeper in enumerate(keepers):
        assert agreeing[row] == (0 if keeper < 0 else (signatures[row] == signatures[keeper]).sum())


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 25))
def test_without_a_threshold_each_component_keeps_its_first(seed: int, count: int) -> None:
    signatures = np.random.default_rng(seed).integers(0, 3, (count, 12)).astype(np.uint32)
    keepers, _ = folded(signatures, rule=Rule(bands=4, rows=3, threshold=None))
    bands = signatures.reshape(count, 4, 3)
    pairs = [(x, y) for x in range(count) for y in range(x) if (bands[x] == bands[y]).all(axis=1).any()]
    expected = [-1] * count
    for cluster in plain_components(count, pairs):
        for node in cluster[1:]:
            expected[node] = cluster[0]
    assert keepers.tolist() == expected


def chain(links: int, *, places: int, step: int) -> np.ndarray:
    """Signatures of which each differs from the one before in `step` places."""
    rows = np.empty((links, places), np.uint32)
    rows[0] = np.arange(places)
    for link in range(1, links):
        rows[link] = rows[link - 1]
        rows[link, (np.arange(step) + link * step) % places] = link * places + np.arange(step)
    return rows


def test_a_chain_of_a_thousand_edits_does_not_fold_into_its_beginning() -> None:
    rows = chain(1000, places=252, step=14)
    keepers, agreeing = folded(rows, rule=Rule())
    assert (keepers >= 0).sum() > 500
    dropped = np.flatnonzero(keepers >= 0)
    assert (agreeing[dropped] >= 0.7 * 252).all()
    assert (keepers[keepers[dropped]] == -1).all()
    plain, _ = folded(rows, rule=Rule(threshold=None))
    assert (plain[1:] == 0).all()  # what the leader rule is for


def test_a_bucket_remembers_its_earliest_leaders_up_to_a_bound() -> None:
    assert pipeline.leaders.MAX_LEADERS == 4096
    count = 4100  # all share a band, no two agree in half of their places
    rows = np.random.default_rng(0).integers(0, 1 << 32, (count + 1, 8), dtype=np.uint32)
    rows[:, :2] = 1
    rows[count] = rows[count - 1]
    rows[count, 2:4] = 2, 3  # the last resembles one that its only common bucket no longer remembers
    rows[count, 4:6] = 4, 5
    starts, order = np.array([0, count + 1]), np.arange(count + 1)
    keepers, _ = leaders(rows, order, starts, np.zeros(count + 1, bool), bands=1, band_rows=2, threshold=0.5)
    assert keepers[count] == -1
    fewer = rows[1000:]
    starts, order = np.array([0, len(fewer)]), np.arange(len(fewer))
    keepers, _ = leaders(fewer, order, starts, np.zeros(len(fewer), bool), bands=1, band_rows=2, threshold=0.5)
    assert keepers[-1] == len(fewer) - 2


# ---- star rounds ----


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=60), st.sampled_from([1, 3, 8]))
def test_star_rounds_find_what_union_find_finds(pairs: list[tuple[int, int]], parts: int) -> None:
    edges = np.array(pairs, np.int64).reshape(-1, 2)
    with tempfile.TemporaryDirectory() as folder:
        found = star_rounds([edges[::2], edges[1::2]], folder=f"{folder}/rounds", parts=parts)
        assert not os.listdir(folder)
    assert clusters_of(*found) == clusters_of(*components(41, [edges]))


@pytest.mark.parametrize("shuffled", [False, True])
def test_star_rounds_follow_a_long_path(shuffled: bool, tmp_path: Path) -> None:
    order = np.random.default_rng(0).permutation(20_000) if shuffled else np.arange(20_000)
    path = np.stack([order[:-1], order[1:]], axis=1)
    members, starts = star_rounds([path], folder=str(tmp_path / "rounds"), parts=4)
    assert np.array_equal(members, np.arange(20_000))
    assert starts.tolist() == [0, 20_000]


def test_star_rounds_that_do_not_settle_are_an_error(tmp_path: Path) -> None:
    order = np.arange(1000)
    with pytest.raises(PipelineError, match="did not settle in 3 rounds"):
        star_rounds([np.stack([order[:-1], order[1:]], axis=1)], folder=str(tmp_path / "rounds"), max_rounds=3)
    assert not (tmp_path / "rounds").exists()
