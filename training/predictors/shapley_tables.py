"""Exact TreeSHAP by lookup: what a row's answers to a few splits add to each reason is worked out once and kept in tables.

A leaf adds v to the margin of the rows that reach it. In the game of path-dependent TreeSHAP (Lundberg et al. 2020) a
coalition T of features makes that v * prod_{j in T} o_j * prod_{j not in T} z_j, where o_j is 1 if the row meets every
condition of feature j on the path to the leaf, and z_j is the share of training rows that does. As the Shapley weight
|T|! (m-1-|T|)! / m! is the integral of t^|T| (1-t)^(m-1-|T|) over [0, 1],

    phi_j = v (o_j - z_j) * integral of prod_{k != j} (z_k + (o_k - z_k) t) dt

which Gauss-Legendre quadrature with m/2 points gives exactly. So phi depends on the answers to the splits on the path and
on nothing else of the row. Leaves that share splits are put together, at most eight splits to a group: eight answers are one
byte, and the byte is the position in the group's table of contributions, already summed by reason. Explaining a row is then
a comparison for each split and an addition for each group, and differs from TreeSHAP in nothing but rounding. (Fast TreeSHAP
v2, Yang 2021, keeps tables by leaf and feature.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.predictors.tree_paths import LEAF, PlainTree
from training.predictors.trees import Matrix

BITS = 8
"""Splits in a group, at most: their answers are a byte."""
BLOCK = 64
"""Rows explained at a time, so that what is between lies in a processor's cache."""
GROUPS_AT_ONCE = 64
MOST_BYTES = 256 * 2**20

_Step = tuple[int, bool]
"""A split on the way to a leaf, and whether the way goes left there."""


@dataclass(frozen=True, slots=True)
class _Group:
    """Leaves of one tree with the splits that their paths ask, which are the bits of a byte in this order."""

    tree: PlainTree
    splits: tuple[int, ...]
    leaves: tuple[tuple[int, tuple[_Step, ...]], ...]


@dataclass(frozen=True, slots=True)
class ShapleyTables:
    """Tables of a model's contributions to its margin, summed by reason.

    Attributes
    ----------
    columns, thresholds
        Of each group its eight splits, shape (groups * BITS,). A column counts from 0 where missing values go right, and from
        the number of features on where they go left.
    starts
        Where in `table` the rows of a group begin.
    table
        One row for each group and pattern of answers, one column for each reason.
    outputs
        The first group of each class, and the number of groups at the end.
    expected
        Mean margin of the trees of each class, weighted as the training rows are.
    """

    features: int
    columns: NDArray[np.intp]
    thresholds: NDArray[np.float32]
    starts: NDArray[np.intp]
    table: NDArray[np.float32]
    outputs: tuple[int, ...]
    expected: NDArray[np.float64]

    @classmethod
    def of(cls, trees: Sequence[PlainTree], reason_of: NDArray[np.intp], reasons: int) -> ShapleyTables | None:
        """Tables of trees whose feature i belongs to reason `reason_of[i]`; None where a path or all tables are too long."""
        ordered = sorted(trees, key=lambda tree: tree.output)
        groups = [group for tree in ordered for group in _groups(tree, 0, ())]
        if any(len(group.splits) > BITS for group in groups):
            return None
        sizes = np.array([1 << len(group.splits) for group in groups])
        if sizes.sum() * reasons * 4 > MOST_BYTES:
            return None
        parts = [_tables(groups[at : at + GROUPS_AT_ONCE], reason_of, reasons) for at in range(0, len(groups), GROUPS_AT_ONCE)]
        classes = ordered[-1].output + 1
        firsts = np.searchsorted([group.tree.output for group in groups], np.arange(classes + 1))
        columns, thresholds = _comparisons(groups, len(reason_of))
        return cls(
            features=len(reason_of),
            columns=columns,
            thresholds=thresholds,
            starts=np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.intp),
            table=np.concatenate(parts),
            outputs=tuple(firsts.tolist()),
            expected=np.array([sum(_mean(tree) for tree in ordered if tree.output == place) for place in range(classes)]),
        )

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> ShapleyTables:
        """Tables out of what `arrays` gave."""
        return cls(
            features=int(arrays["features"]),
            columns=arrays["columns"],
            thresholds=arrays["thresholds"],
            starts=arrays["starts"],
            table=arrays["table"],
            outputs=tuple(arrays["outputs"].tolist()),
            expected=arrays["expected"],
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of it as arrays, to be written down."""
        return {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}

    def contributions(self, matrix: Matrix) -> NDArray[np.float64]:
        """What each reason adds to the margin, shape (rows, classes, reasons); columns are the features of the trees."""
        found = np.empty((len(matrix), len(self.outputs) - 1, self.table.shape[1]))
        for start in range(0, len(matrix), BLOCK):
            rows = self._looked_up(matrix[start : start + BLOCK])
            for place, (first, last) in enumerate(zip(self.outputs[:-1], self.outputs[1:], strict=True)):
                found[start : start + BLOCK, place] = self._summed(rows[first:last])
        return found

    def _looked_up(self, matrix: Matrix) -> NDArray[np.intp]:
        """Which row of the table each group takes for each row of the matrix, shape (groups, rows)."""
        values = np.empty((2 * self.features, len(matrix)), dtype=np.float32)
        missing = np.isnan(matrix.T)
        values[: self.features] = np.where(missing, np.float32(np.inf), matrix.T)
        values[self.features :] = np.where(missing, np.float32(-np.inf), matrix.T)
        left = values.take(self.columns, axis=0) < self.thresholds[:, None]
        answers = left.view(np.uint8).reshape(len(self.starts), BITS, -1)
        pattern = answers[:, 0].copy()
        for bit in range(1, BITS):  # an eighth of the time of np.packbits along this axis
            pattern |= answers[:, bit] << np.uint8(bit)
        return pattern + self.starts[:, None]

    def _summed(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """The sum over groups, one after the other, so that a row has one answer whoever stands beside it."""
        chosen = self.table.take(rows.ravel(), axis=0, mode="clip").reshape(len(rows), -1)
        total = np.add.reduce(chosen, axis=0).reshape(rows.shape[1], -1)
        return np.asarray(total, dtype=np.float64)


def _groups(tree: PlainTree, node: int, path: tuple[_Step, ...]) -> Iterator[_Group]:
    """The leaves below a node, in as few groups as hold no more than eight splits each with the path that leads there."""
    below = list(_leaves(tree, node, path))
    splits = tuple(dict.fromkeys(split for _, steps in below for split, _ in steps))
    if len(splits) <= BITS or tree.left[node] == LEAF:
        yield _Group(tree, splits, tuple(below))
        return
    for child, is_left in ((int(tree.left[node]), True), (int(tree.right[node]), False)):
        yield from _groups(tree, child, (*path, (node, is_left)))


def _leaves(tree: PlainTree, node: int, path: tuple[_Step, ...]) -> Iterator[tuple[int, tuple[_Step, ...]]]:
    if tree.left[node] == LEAF:
        yield node, path
    else:
        yield from _leaves(tree, int(tree.left[node]), (*path, (node, True)))
        yield from _leaves(tree, int(tree.right[node]), (*path, (node, False)))


def _comparisons(groups: Sequence[_Group], features: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Column and edge of every bit; a bit without a split is never set."""
    columns = np.zeros((len(groups), BITS), dtype=np.intp)
    thresholds = np.full((len(groups), BITS), -np.inf, dtype=np.float32)
    for place, group in enumerate(groups):
        splits = np.array(group.splits, dtype=np.intp)
        columns[place, : len(splits)] = group.tree.feature[splits] + features * group.tree.missing_left[splits]
        thresholds[place, : len(splits)] = group.tree.threshold[splits]
    return columns.ravel(), thresholds.ravel()


@dataclass(frozen=True, slots=True)
class _Condition:
    """All that a path asks of one feature: which bits, the answers wanted of them, and the share of rows that gives them."""

    feature: int
    mask: int
    wanted: int
    share: float


def _conditions(group: _Group, leaf: int, path: tuple[_Step, ...]) -> list[_Condition]:
    tree, found = group.tree, dict[int, _Condition]()
    after = [split for split, _ in path[1:]] + [leaf]
    for (split, is_left), child in zip(path, after, strict=False):
        feature, bit = int(tree.feature[split]), 1 << group.splits.index(split)
        share = float(tree.cover[child] / tree.cover[split])
        before = found.get(feature, _Condition(feature, 0, 0, 1.0))
        found[feature] = _Condition(feature, before.mask | bit, before.wanted | bit * is_left, before.share * share)
    return list(found.values())


def _tables(groups: Sequence[_Group], reason_of: NDArray[np.intp], reasons: int) -> NDArray[np.float32]:
    """The tables of some groups, one below the other."""
    listed = [(place, group, leaf, path) for place, group in enumerate(groups) for leaf, path in group.leaves if path]
    found = np.zeros((len(groups) * reasons, 1 << BITS))
    if listed:
        conditions = [_conditions(group, leaf, path) for _, group, leaf, path in listed]
        owner = np.array([place for place, _, _, _ in listed])
        phi = _shapley(np.array([group.tree.value[leaf] for _, group, leaf, _ in listed]), conditions)
        for slot in range(phi.shape[1]):
            has = np.array([len(own) > slot for own in conditions])
            features = [own[slot].feature for own in conditions if len(own) > slot]
            np.add.at(found, owner[has] * reasons + reason_of[features], phi[has, slot])
    by_pattern = found.reshape(len(groups), reasons, 1 << BITS).transpose(0, 2, 1)
    parts = [table[: 1 << len(group.splits)] for table, group in zip(by_pattern, groups, strict=True)]
    return np.concatenate(parts).astype(np.float32, order="C")


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


def _mean(tree: PlainTree) -> float:
    """Mean of a tree's leaves, weighted by cover at each split."""
    return _mean_below(tree, 0)


def _mean_below(tree: PlainTree, node: int) -> float:
    if tree.left[node] == LEAF:
        return float(tree.value[node])
    children = (int(tree.left[node]), int(tree.right[node]))
    return sum(float(tree.cover[child] / tree.cover[node]) * _mean_below(tree, child) for child in children)
