"""Leaves of trees in groups with few splits, and what each pattern of answers to those splits adds to each reason.

A leaf adds v to the margin of the rows that reach it. In the game of path-dependent TreeSHAP (Lundberg et al. 2020) a
coalition T of features makes that v * prod_{j in T} o_j * prod_{j not in T} z_j, where o_j is 1 if the row meets every
condition of feature j on the path to the leaf, and z_j is the share of training rows that does. As the Shapley weight
|T|! (m-1-|T|)! / m! is the integral of t^|T| (1-t)^(m-1-|T|) over [0, 1],

    phi_j = v (o_j - z_j) * integral of prod_{k != j} (z_k + (o_k - z_k) t) dt

which Gauss-Legendre quadrature with m/2 points gives exactly. So phi depends on the answers to the splits on the path and
on nothing else of the row. Leaves that share splits are put together, at most eight splits to a group: eight answers are one
byte. (Fast TreeSHAP v2, Yang 2021, keeps tables by leaf and feature.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.predictors.tree_paths import LEAF, PlainTree

BITS = 8
"""Splits in a group, at most: their answers are a byte."""

_Step = tuple[int, bool]
"""A split on the way to a leaf, and whether the way goes left there."""


@dataclass(frozen=True, slots=True)
class LeafGroup:
    """Leaves of one tree with the splits that their paths ask, which are the bits of a byte in this order."""

    tree: PlainTree
    splits: tuple[int, ...]
    leaves: tuple[tuple[int, tuple[_Step, ...]], ...]

    def with_leaves_of(self, other: LeafGroup) -> LeafGroup:
        """One group of both, of the same tree."""
        splits = tuple(dict.fromkeys(self.splits + other.splits))
        return LeafGroup(self.tree, splits, self.leaves + other.leaves)


def leaf_groups(tree: PlainTree) -> list[LeafGroup] | None:
    """The leaves of a tree in few groups; none if it asks nothing, None where a path has more than eight splits."""
    found: list[LeafGroup] = []
    for group in sorted(_below(tree, 0, ()), key=lambda group: -len(group.splits)):
        if len(group.splits) > BITS:
            return None
        for place, other in enumerate(found):
            if len({*group.splits, *other.splits}) <= BITS:
                found[place] = other.with_leaves_of(group)
                break
        else:
            found.append(group)
    return [_even_first(group) for group in found if group.splits]


def _even_first(group: LeafGroup) -> LeafGroup:
    """The same, the lowest bits for the splits that part rows most evenly: what rows look up then lies close together."""
    left, cover = group.tree.left, group.tree.cover
    splits = sorted(group.splits, key=lambda split: abs(float(cover[left[split]] / cover[split]) - 0.5))
    return LeafGroup(group.tree, tuple(splits), group.leaves)


def _below(tree: PlainTree, node: int, path: tuple[_Step, ...]) -> Iterator[LeafGroup]:
    """The leaves below a node: in one group if they ask no more than eight splits with the path that leads there."""
    leaves = tuple(_leaves(tree, node, path))
    splits = tuple(dict.fromkeys(split for _, steps in leaves for split, _ in steps))
    if len(splits) <= BITS or tree.left[node] == LEAF:
        yield LeafGroup(tree, splits, leaves)
        return
    for child, is_left in ((int(tree.left[node]), True), (int(tree.right[node]), False)):
        yield from _below(tree, child, (*path, (node, is_left)))


def _leaves(tree: PlainTree, node: int, path: tuple[_Step, ...]) -> Iterator[tuple[int, tuple[_Step, ...]]]:
    if tree.left[node] == LEAF:
        yield node, path
    else:
        yield from _leaves(tree, int(tree.left[node]), (*path, (node, True)))
        yield from _leaves(tree, int(tree.right[node]), (*path, (node, False)))


@dataclass(frozen=True, slots=True)
class _Condition:
    """All that a path asks of one feature: which bits, the answers wanted of them, and the share of rows that gives them."""

    feature: int
    mask: int
    wanted: int
    share: float


def _conditions(group: LeafGroup, leaf: int, path: tuple[_Step, ...]) -> list[_Condition]:
    tree, found = group.tree, dict[int, _Condition]()
    after = [split for split, _ in path[1:]] + [leaf]
    for (split, is_left), child in zip(path, after, strict=False):
        feature, bit = int(tree.feature[split]), 1 << group.splits.index(split)
        share = float(tree.cover[child] / tree.cover[split])
        before = found.get(feature, _Condition(feature, 0, 0, 1.0))
        found[feature] = _Condition(feature, before.mask | bit, before.wanted | bit * is_left, before.share * share)
    return list(found.values())


def contributions_of(groups: Sequence[LeafGroup], reason_of: NDArray[np.intp], reasons: int) -> NDArray[np.float64]:
    """What each pattern of answers adds to each reason, shape (groups, reasons, 256); they repeat beyond a group's splits."""
    listed = [(place, group, leaf, path) for place, group in enumerate(groups) for leaf, path in group.leaves if path]
    conditions = [_conditions(group, leaf, path) for _, group, leaf, path in listed]
    owner = np.array([place for place, _, _, _ in listed])
    phi = _shapley(np.array([group.tree.value[leaf] for _, group, leaf, _ in listed]), conditions)
    found = np.zeros((len(groups) * reasons, 1 << BITS))
    for slot in range(phi.shape[1]):
        has = np.array([len(own) > slot for own in conditions])
        features = [own[slot].feature for own in conditions if len(own) > slot]
        np.add.at(found, owner[has] * reasons + reason_of[features], phi[has, slot])
    return found.reshape(len(groups), reasons, 1 << BITS)


def _shapley(values: NDArray[np.float64], conditions: Sequence[Sequence[_Condition]]) -> NDArray[np.float64]:
    """Contribution of each condition of each leaf under every pattern of answers, shape (leaves, conditions, patterns)."""
    slots = max(len(own) for own in conditions)
    shape = (len(values), slots)
    mask, wanted, share = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64), np.ones(shape)
    for leaf, own in enumerate(conditions):
        for slot, condition in enumerate(own):
            mask[leaf, slot], wanted[leaf, slot], share[leaf, slot] = condition.mask, condition.wanted, condition.share
    met = ((np.arange(1 << BITS) ^ wanted[..., None]) & mask[..., None]) == 0
    gain = met - share[..., None]
    points, weights = np.polynomial.legendre.leggauss((slots + 1) // 2)
    phi = np.zeros_like(gain)
    for point, weight in zip((points + 1) / 2, weights / 2, strict=True):
        factors = share[..., None] + gain * point
        for slot in range(slots):
            phi[:, slot] += weight * np.delete(factors, slot, axis=1).prod(axis=1)
    return np.asarray(phi * gain * values[:, None, None])
