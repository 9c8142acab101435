"""Which identifiers belong to one person: connected components in numpy, knowing neither names nor files.

Nodes are identifiers, numbered so that member ids come first, other strong kinds next, weak kinds last. An observation links
all identifiers seen in it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree

Nodes = NDArray[np.int32]
Flags = NDArray[np.bool_]
NO_DAY = int(np.iinfo(np.int32).min)


@dataclass(frozen=True, slots=True)
class Sightings:
    """One row per identifier of an observation that holds two or more. Both columns have shape (rows,).

    Attributes
    ----------
    observation, node
        Ascending by observation, then by node; no row twice.
    day
        Day of the observation; NO_DAY where it is not known.
    nodes, strong, members
        Counts: nodes below `members` are member ids, those below `strong` are strong, the others up to `nodes` are weak.
    """

    observation: Nodes
    node: Nodes
    day: Nodes
    nodes: int
    strong: int
    members: int

    def where(self, chosen: Flags) -> "Sightings":
        """The rows for which `chosen`, of shape (rows,), is true."""
        rows = (self.observation[chosen], self.node[chosen], self.day[chosen])
        return Sightings(*rows, self.nodes, self.strong, self.members)

    def firsts(self) -> Nodes:
        """For each row the smallest node of its observation: a strong one, if there is one at all. Shape (rows,)."""
        if not len(self.node):
            return self.node
        starts = np.flatnonzero(np.r_[True, self.observation[1:] != self.observation[:-1]])
        return np.repeat(self.node[starts], np.diff(np.r_[starts, len(self.node)]))


@dataclass(frozen=True, slots=True)
class Grouping:
    """Who is who. Groups are named by one of their nodes.

    Attributes
    ----------
    group
        For each node the group it is in. Shape (nodes,).
    shared, chained
        Weak nodes that join nobody, because observations link them to several registered persons: directly, or by way of
        other weak nodes. Shape (nodes,).
    question
        For each node the number under which `claims` names the persons it may belong to. Shape (nodes,).
    claims
        Pairs of a question and the group of a registered person, without repetition. Shape (pairs, 2).
    """

    group: Nodes
    shared: Flags
    chained: Flags
    question: Nodes
    claims: Nodes


def components(nodes: int, one: Nodes, other: Nodes) -> Nodes:
    """For each node the smallest node that links lead to. Shape (nodes,)."""
    links = _pairs(one, other)  # counted once: a sum of a link's repetitions could overflow to none
    graph = coo_array((np.ones(len(links), np.int8), (links[:, 0], links[:, 1])), shape=(nodes, nodes))
    _, label = connected_components(graph, directed=False)
    _, first = np.unique(label, return_index=True)
    return first[label].astype(np.int32)


def grouped(seen: Sightings) -> Grouping:
    """Groups of nodes. Neither the order of observations nor their number matters to them, only what was seen together.

    Strong nodes of an observation are one person, registered if a member id is among them. A weak node goes to the one
    registered person that it was seen with. Seen with several, it joins nobody and conducts no further. Those not seen with
    any form clusters with each other and with persons who are not registered: a cluster linked to one registered person
    belongs to them, one linked to none is an anonymous person, and one linked to several joins nobody.
    """
    strong = seen.where(seen.node < seen.strong)
    person = components(seen.nodes, strong.firsts(), strong.node)
    registered = np.zeros(seen.nodes, bool)
    registered[person[: seen.members]] = True

    owner = person[seen.firsts()]
    owned = registered[owner]
    touching = owned & (seen.node >= seen.strong)
    touches = _pairs(seen.node[touching], owner[touching])
    shared = np.bincount(touches[:, 0], minlength=seen.nodes) > 1

    free = seen.where(~owned & ~shared[seen.node])
    cluster = components(seen.nodes, person[free.firsts()], person[free.node])[person]
    touches_of_clusters = touches[~shared[touches[:, 0]]]
    claims = _pairs(cluster[touches_of_clusters[:, 0]], touches_of_clusters[:, 1])
    claimants = np.bincount(claims[:, 0], minlength=seen.nodes)
    owner_of = np.arange(seen.nodes, dtype=np.int32)
    owner_of[claims[:, 0]] = claims[:, 1]

    disputed = claimants[cluster] > 1
    chained = disputed & (np.arange(seen.nodes) >= seen.strong)
    group = np.where(disputed, person, owner_of[cluster]).astype(np.int32)
    questions = np.concatenate([touches[shared[touches[:, 0]]], claims[claimants[claims[:, 0]] > 1]])
    return Grouping(group, shared, chained, np.where(chained, cluster, np.arange(seen.nodes)).astype(np.int32), questions)


def linked_since(seen: Sightings, found: Grouping) -> Nodes:
    """For each node the first day by which the observations that lead it to its member had been made. Shape (nodes,).

    NO_DAY for the member id itself, for anonymous persons, and where no day is known; an observation without a day counts as
    made before all others. Of all chains from the member the one whose latest day is earliest counts: it lies on a minimum
    spanning tree (Hu, 1961).
    """
    _, first, member = np.unique(found.group, return_index=True, return_inverse=True)
    member = first[member].astype(np.int32)
    linking = seen.where((member[seen.node] < seen.members) & ~(found.shared | found.chained)[seen.node])
    days, rank = np.unique(linking.day, return_inverse=True)
    order = np.lexsort((rank, linking.node, linking.firsts()))
    links = np.stack([linking.firsts(), linking.node, rank + 1], axis=1)[order]
    links = links[links[:, 0] != links[:, 1]]
    links = links[np.r_[True, (links[1:, :2] != links[:-1, :2]).any(axis=1)][: len(links)]]
    late = _latest_to_root(seen.nodes, links, np.unique(member))
    found_days: Nodes = np.r_[NO_DAY, days].astype(np.int32)[late]
    return found_days


def _latest_to_root(nodes: int, links: NDArray[np.int64], roots: Nodes) -> Nodes:
    """The largest weight on each node's way to the root of its minimum spanning tree; 0 for roots and without a way."""
    graph = coo_array((links[:, 2].astype(float), (links[:, 0], links[:, 1])), shape=(nodes, nodes))
    tree = minimum_spanning_tree(graph.tocsr()).tocoo()
    above = np.full(len(roots), nodes)  # one more node above all roots, so that one walk finds every parent
    ends = (np.concatenate([tree.row, tree.col, above]), np.concatenate([tree.col, tree.row, roots]))
    walk = coo_array((np.ones(len(ends[0])), ends), shape=(nodes + 1, nodes + 1)).tocsr()
    _, parent = breadth_first_order(walk, nodes)
    parent = np.where((parent < 0) | (parent == nodes), np.arange(nodes + 1), parent)
    latest = np.zeros(nodes + 1, np.int32)
    child = np.where(parent[tree.row] == tree.col, tree.row, tree.col)
    latest[child] = tree.data
    while (parent != parent[parent]).any():
        latest = np.maximum(latest, latest[parent])
        parent = parent[parent]
    found: Nodes = latest[:nodes]
    return found


def _pairs(one: Nodes, other: Nodes) -> Nodes:
    """Different pairs, ascending. Shape (pairs, 2)."""
    coded = np.unique(one.astype(np.int64) << 32 | other)
    return np.stack([coded >> 32, coded & 0xFFFFFFFF], axis=1).astype(np.int32)
