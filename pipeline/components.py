"""Band keys in, clusters out: star edges inside a bucket, and connected components.

A node is a document's row number over all shards.  Nothing here knows files or Beam.
"""

from collections.abc import Iterable

import numpy as np
from numba import njit

from pipeline.leaders import table_size


class Components:
    """Union-find over nodes 0..nodes-1, fed with edges in any order and any pieces.

    8 bytes a node: 64 MB for 8 million documents, 8 GB for a billion.  The root of a component is its least node,
    whatever the order of the edges.
    """

    def __init__(self, nodes: int) -> None:
        self.parents = np.arange(nodes, dtype=np.int64)

    def join(self, edges: np.ndarray) -> None:
        """`edges`: int64, shape (any, 2)."""
        _join(self.parents, edges)

    def members(self) -> tuple[np.ndarray, np.ndarray]:
        """The nodes of components of two or more, and where each component starts among them.

        Components come in the order of their least node, nodes ascending inside; the last start is the number of nodes.
        """
        return _members(self.parents)


def star_edges(keys: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """One edge from every node to the first node with the same key: int64, shape (edges, 2).

    `keys` uint64, `nodes` int64 ascending.  Key 0 pairs with nothing.  A bucket of a million copies is a million edges,
    not their square.  Working memory: 8 to 16 bytes a key and 16 bytes an edge.
    """
    return _star_edges(keys, nodes)


def components(nodes: int, pieces: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """`Components.members` of a graph given as pieces of edges."""
    graph = Components(nodes)
    for edges in pieces:
        graph.join(edges)
    return graph.members()


@njit(cache=True, nogil=True)
def _root(parents: np.ndarray, node: int) -> int:
    while parents[node] != node:
        parents[node] = parents[parents[node]]
        node = parents[node]
    return node


@njit(cache=True, nogil=True)
def _join(parents: np.ndarray, edges: np.ndarray) -> None:
    for edge in range(len(edges)):
        one, other = _root(parents, edges[edge, 0]), _root(parents, edges[edge, 1])
        if one < other:
            parents[other] = one
        elif other < one:
            parents[one] = other


@njit(cache=True, nogil=True)
def _members(parents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    nodes = len(parents)
    counts = np.zeros(nodes, np.int64)
    for node in range(nodes):
        counts[_root(parents, node)] += 1
    total = clusters = 0
    for node in range(nodes):
        if counts[node] > 1:
            total += counts[node]
            clusters += 1
    members = np.empty(total, np.int64)
    starts = np.empty(clusters + 1, np.int64)
    place = cluster = 0
    for node in range(nodes):  # a root comes before its nodes: from here on its count is where its next node goes
        root = _root(parents, node)
        if root == node:
            size = counts[node]
            counts[node] = -1
            if size > 1:
                starts[cluster] = place
                cluster += 1
                counts[node] = place
                place += size
        if counts[root] >= 0:
            members[counts[root]] = node
            counts[root] += 1
    starts[cluster] = total
    return members, starts


@njit(cache=True, nogil=True)
def _star_edges(keys: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    # A hash table of first places: a third of the time of a sort.
    slots = np.full(table_size(len(keys)), -1, np.int32)
    mask = np.uint64(len(slots) - 1)
    edges = np.empty((max(len(keys) // 8, 16), 2), np.int64)
    count = 0
    for place in range(len(keys)):
        key = keys[place]
        if key == 0:
            continue
        slot = key & mask
        while True:
            first = slots[slot]
            if first < 0:
                slots[slot] = place
                break
            if keys[first] == key:
                if count == len(edges):
                    larger = np.empty((2 * count, 2), np.int64)
                    larger[:count] = edges
                    edges = larger
                edges[count, 0] = nodes[place]
                edges[count, 1] = nodes[first]
                count += 1
                break
            slot = (slot + np.uint64(1)) & mask
    return edges[:count].copy()
