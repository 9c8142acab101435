"""Exact TreeSHAP by lookup: what a row's answers to a few splits add to each reason is worked out once and kept in tables.

The answers to the splits of a group of leaves are a byte (`leaf_groups`), and the byte is the position in the group's table of
contributions, already summed by reason, eight reasons a row (`table_lanes`). Explaining a row is then a comparison for each
split that differs from all others and an addition for each group, and differs from TreeSHAP in nothing but rounding.

Rows are explained up to 32 at a time, side by side: answers of eight rows to a split are eight bytes, moved and shifted as
one number. What is small and asked by every row is repeated for as many rows, so that numpy goes through one long array.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.predictors.leaf_groups import BITS, LeafGroup, contributions_of, leaf_groups
from training.predictors.table_lanes import HEIGHT, WIDTH, Lanes, lanes_of
from training.predictors.tree_paths import LEAF, PlainTree
from training.predictors.trees import Matrix

SIDE_BY_SIDE = (1, 8, 16, 32)
"""Rows explained at a time; fewer are filled up to the next of these numbers."""
GROUPS_AT_ONCE = 64
LINE = 64
"""Bytes of a line of a processor's cache, which no row of a table may straddle."""
MOST_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class ShapleyTables:
    """Tables of a model's contributions to its margin, summed by reason.

    Attributes
    ----------
    reasons
        How many there are, of each class.
    columns, thresholds
        Every question, once. A column counts from 0 where missing values go right, and from the number of features on where
        they go left.
    bits, planes
        Question of each bit of each group: first the lowest bits of all groups, then the next of those that have so many,
        which come first. `planes` says how many groups have each bit.
    group
        Which group each place looks up; the number of groups for an empty place.
    starts
        Where in `table` the rows of each place begin; the last row is that of empty places, which adds nothing.
    table
        One row for each place and pattern of answers.
    order, firsts
        Columns of all lanes in the order of the classes and reasons that they add to, an empty one (beyond the last lane)
        after those of each, and where each begins.
    expected
        Mean margin of the trees of each class, weighted as the training rows are.
    """

    features: int
    reasons: int
    columns: NDArray[np.intp]
    thresholds: NDArray[np.float32]
    bits: NDArray[np.intp]
    planes: NDArray[np.intp]
    group: NDArray[np.intp]
    starts: NDArray[np.intp]
    table: NDArray[np.float32]
    order: NDArray[np.intp]
    firsts: NDArray[np.intp]
    expected: NDArray[np.float64]
    _repeated: dict[int, tuple[NDArray[np.float32], NDArray[np.intp]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @classmethod
    def of(cls, trees: Sequence[PlainTree], reason_of: NDArray[np.intp], reasons: int) -> ShapleyTables | None:
        """Tables of trees whose feature i belongs to reason `reason_of[i]`; None where a path or all tables are too long."""
        groups = _all_groups(trees)
        if groups is None:
            return None
        classes = max(tree.output for tree in trees) + 1
        lanes = lanes_of(_asked(groups, reason_of, reasons, classes))
        starts, rows = _starts(groups, lanes)
        if rows * WIDTH * 4 > MOST_BYTES:
            return None
        columns, thresholds, bits = _questions(groups, len(reason_of))
        order, firsts = _order(lanes, reasons * classes)
        return cls(
            features=len(reason_of),
            reasons=reasons,
            columns=columns,
            thresholds=thresholds,
            bits=bits,
            planes=np.array([sum(len(group.splits) > bit for group in groups) for bit in range(BITS)], dtype=np.intp),
            group=np.where(lanes.group < 0, len(groups), lanes.group),
            starts=starts,
            table=_table(groups, lanes, starts, rows, reason_of, reasons),
            order=order,
            firsts=firsts,
            expected=np.array([sum(_mean(tree, 0) for tree in trees if tree.output == place) for place in range(classes)]),
        )

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> ShapleyTables:
        """Tables out of what `arrays` gave."""
        taken: dict[str, Any] = {each.name: arrays[each.name] for each in fields(cls) if each.init}
        table = _aligned(*taken["table"].shape)
        table[:] = taken["table"]
        return cls(**taken | {"features": int(taken["features"]), "reasons": int(taken["reasons"]), "table": table})

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of it as arrays, to be written down."""
        return {each.name: np.asarray(getattr(self, each.name)) for each in fields(self) if each.init}

    def contributions(self, matrix: Matrix) -> NDArray[np.float64]:
        """What each reason adds to the margin, shape (rows, classes, reasons); columns are the features of the trees."""
        found = np.empty((len(matrix), len(self.firsts)))
        most = SIDE_BY_SIDE[-1]
        for start in range(0, len(matrix), most):
            rows = matrix[start : start + most]
            found[start : start + most] = self._added_up(self._looked_up(rows))
        return found.reshape(len(matrix), len(self.firsts) // self.reasons, self.reasons)

    def _looked_up(self, matrix: Matrix) -> NDArray[np.intp]:
        """Which row of the table each place takes for each row of the matrix, shape (places, rows)."""
        abreast = next(number for number in SIDE_BY_SIDE if number >= len(matrix))
        thresholds, starts = self._repeated_for(abreast)
        left = self._values(matrix, abreast).take(self.columns, axis=0, mode="clip") < thresholds
        patterns = self._patterns(left.view(np.uint8 if abreast == 1 else np.uint64))
        places = patterns.view(np.uint8).take(self.group, axis=0, mode="clip").astype(np.intp)
        places += starts
        return places[:, : len(matrix)]

    def _values(self, matrix: Matrix, abreast: int) -> NDArray[np.float32]:
        """The features of each row in a column, twice: with missing values above all others, and below."""
        values = np.zeros((2, self.features, abreast), dtype=np.float32)
        values[:, :, : len(matrix)] = matrix.T
        missing = np.isnan(values[0])
        values[0][missing], values[1][missing] = np.inf, -np.inf
        return values.reshape(2 * self.features, abreast)

    def _patterns(self, left: NDArray[Any]) -> NDArray[Any]:
        """The answers of each group, a byte for each row, and none at last; highest bit first, as in Horner's scheme."""
        answers = left.take(self.bits, axis=0, mode="clip")
        patterns = np.zeros((int(self.planes[0]) + 1, left.shape[1]), dtype=left.dtype)
        end, one = len(answers), left.dtype.type(1)
        for groups in self.planes[::-1].tolist():
            pattern = patterns[:groups]
            pattern <<= one
            pattern |= answers[end - groups : end]
            end -= groups
        return patterns

    def _added_up(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Sums by class and reason, shape (rows, classes * reasons), always in the same order: whoever stands beside a row."""
        number = rows.shape[1]
        taken = self.table.take(rows.ravel(), axis=0, mode="clip").reshape(HEIGHT, -1)
        lanes = np.add.reduce(taken, axis=0).reshape(-1, number, WIDTH)
        beside = np.zeros((number, len(lanes) + 1, WIDTH), dtype=np.float32)
        beside[:, :-1] = lanes.transpose(1, 0, 2)
        columns = beside.reshape(number, -1).take(self.order, axis=1, mode="clip")
        return np.add.reduceat(columns, self.firsts, axis=1)

    def _repeated_for(self, abreast: int) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """Thresholds and starts, so often side by side."""
        if abreast not in self._repeated:
            self._repeated[abreast] = (
                np.repeat(self.thresholds, abreast).reshape(-1, abreast),
                np.repeat(self.starts, abreast).reshape(-1, abreast),
            )
        return self._repeated[abreast]


def _all_groups(trees: Sequence[PlainTree]) -> list[LeafGroup] | None:
    """The leaves of all trees, groups of most splits first; None where a path is too long."""
    groups: list[LeafGroup] = []
    for tree in trees:
        found = leaf_groups(tree)
        if found is None:
            return None
        groups += found
    return sorted(groups, key=lambda group: -len(group.splits))


def _starts(groups: Sequence[LeafGroup], lanes: Lanes) -> tuple[NDArray[np.intp], int]:
    """Where the rows of each place begin, and how many all places have; behind them is the row of empty places."""
    sizes = np.array([*(1 << len(group.splits) for group in groups), 0], dtype=np.intp)[lanes.group]
    rows = int(sizes.sum())
    return np.where(lanes.group < 0, rows, np.cumsum(sizes) - sizes), rows


def _asked(groups: Sequence[LeafGroup], reason_of: NDArray[np.intp], reasons: int, classes: int) -> NDArray[np.bool_]:
    """Which reasons of which class each group adds to, shape (groups, classes * reasons)."""
    found = np.zeros((len(groups), classes * reasons), dtype=np.bool_)
    for place, group in enumerate(groups):
        found[place, group.tree.output * reasons + reason_of[group.tree.feature[list(group.splits)]]] = True
    return found


def _questions(groups: Sequence[LeafGroup], features: int) -> tuple[NDArray[np.intp], NDArray[np.float32], NDArray[np.intp]]:
    """Column and edge of every question, and which of them each bit asks: all lowest bits first, then the next."""
    asked = []
    for bit in range(BITS):
        for group in groups:
            if len(group.splits) > bit:
                tree, split = group.tree, group.splits[bit]
                asked.append(
                    (int(tree.feature[split]) + features * bool(tree.missing_left[split]), float(tree.threshold[split]))
                )
    known = {question: place for place, question in enumerate(sorted(set(asked)))}
    columns = np.array([column for column, _ in known], dtype=np.intp)
    thresholds = np.array([threshold for _, threshold in known], dtype=np.float32)
    return columns, thresholds, np.array([known[question] for question in asked], dtype=np.intp)


def _question(group: LeafGroup, bit: int, features: int) -> tuple[int, float]:
    tree, split = group.tree, group.splits[bit]
    return int(tree.feature[split]) + features * int(tree.missing_left[split]), float(tree.threshold[split])


def _order(lanes: Lanes, keys: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """`order` and `firsts`: of each key the columns of lanes that hold it, with an empty one."""
    stands_for = lanes.reasons.ravel()
    of_each = [np.append(np.flatnonzero(stands_for == key), len(stands_for)) for key in range(keys)]
    lengths = np.array([len(columns) for columns in of_each])
    return np.concatenate(of_each).astype(np.intp), (np.cumsum(lengths) - lengths).astype(np.intp)


def _table(
    groups: Sequence[LeafGroup],
    lanes: Lanes,
    starts: NDArray[np.intp],
    rows: int,
    reason_of: NDArray[np.intp],
    reasons: int,
) -> NDArray[np.float32]:
    """The rows of all places, and an empty one."""
    table = _aligned(rows + 1, WIDTH)
    table[rows] = 0
    reason = np.tile(np.maximum(lanes.reasons, 0) % reasons, (HEIGHT, 1))
    for first in range(0, len(groups), GROUPS_AT_ONCE):
        found = contributions_of(groups[first : first + GROUPS_AT_ONCE], reason_of, reasons)
        places = np.flatnonzero((lanes.group >= first) & (lanes.group < first + GROUPS_AT_ONCE))
        for place in places.tolist():
            group = int(lanes.group[place])
            size = 1 << len(groups[group].splits)
            own = np.where(lanes.own[place, :, None], found[group - first, reason[place], :size], 0)
            table[starts[place] : starts[place] + size] = own.T
    return table


def _aligned(rows: int, columns: int) -> NDArray[np.float32]:
    """Room for a table that begins with a line of the cache."""
    room = np.empty(rows * columns * 4 + LINE, dtype=np.uint8)
    first = -room.ctypes.data % LINE
    return room[first : first + rows * columns * 4].view(np.float32).reshape(rows, columns)


def _mean(tree: PlainTree, node: int) -> float:
    """Mean of the leaves below a node, weighted by cover at each split."""
    if tree.left[node] == LEAF:
        return float(tree.value[node])
    children = (int(tree.left[node]), int(tree.right[node]))
    return sum(float(tree.cover[child] / tree.cover[node]) * _mean(tree, child) for child in children)
