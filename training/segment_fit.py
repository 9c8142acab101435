"""One fit of the groups: the space by its rows or as it was, the centres, and the classifier that learns them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from training.boosting import Recipe, fit_trees
from training.datasets import Examples
from training.predictors import Matrix, TreeModel
from training.predictors.segment_space import Points, SegmentSpace, nearest
from training.segment_centres import Centres, Held, held_centres, names_fit, within
from training.segment_groups import Group, groups_told, prototypes

MOST_MOVED = 0.5
"""Deviations by which the mean of an axis may have moved before its numbers are fitted anew."""
TREES = 100
PARAMETERS: Mapping[str, float] = {
    "learning_rate": 0.2,
    "depth": 3,
    "rows_in_leaf": 7,
    "row_share": 1.0,
    "feature_share": 1.0,
    "l2": 1.0,
}
MOST_ROWS = 30_000
COPIES, JITTER = 6, 0.2
"""Centres say of every point whose it is, so that the classifier also learns from copies of members, set off by so much."""


class Standing(Protocol):
    """Groups that were there before."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the groups."""
        ...

    @property
    def space(self) -> SegmentSpace:
        """Their space."""
        ...

    @property
    def centres(self) -> Centres:
        """Centre of each group in that space."""
        ...


@dataclass(frozen=True, slots=True)
class Fitted:
    """Groups with their space, centres and classifier. `points` are those of the rows they were fitted on."""

    groups: tuple[Group, ...]
    space: SegmentSpace
    held: Held
    model: TreeModel
    points: Points
    notes: Mapping[str, float]

    def assign(self, matrix: Matrix, features: Sequence[str]) -> NDArray[np.int64]:
        """Position in `groups` of each row, by the classifier."""
        return np.asarray(self.model.predict(self.space.points(matrix, features)).argmax(axis=1), dtype=np.int64)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the groups."""
        return tuple(group.name for group in self.groups)

    @property
    def centres(self) -> Centres:
        """Centre of each group in the space."""
        return self.held.centres


def fit_groups(
    matrix: Matrix, features: Sequence[str], axes: Sequence[str], *, before: Standing | None = None, seed: int
) -> Fitted:
    """Groups of these rows.

    Parameters
    ----------
    axes
        Names of the axes that the shop tells.
    before
        Groups to continue: their space as long as it fits, and their centres by name.
    """
    space = _space(matrix, features, axes, before)
    groups = groups_told(space.axes)
    points, rules = space.points(matrix, features), prototypes(groups, space)
    start = None if before is None else _where_they_were(groups, space, rules, before)
    held = held_centres(points, rules, before=start, seed=seed)
    notes = {
        "within": held.within,
        "within_free": held.free_within,
        "within_rules": within(points, rules),
        "restarted": float(held.restarted),
        "names_fit": float(names_fit(held.centres, rules)),
        "space_kept": float(before is not None and space == before.space),
    }
    return Fitted(groups, space, held, _classifier(points, held.centres, seed), points, notes)


def _space(matrix: Matrix, features: Sequence[str], axes: Sequence[str], before: Standing | None) -> SegmentSpace:
    """The space before, if it has these axes and the shop's means lie about where they did; fitted anew otherwise."""
    if before is not None and set(before.space.axes) == set(axes):
        points = before.space.points(matrix, features)
        weights = before.space.place(dict.fromkeys(before.space.axes, 1.0))
        measured = [axis != "newness" for axis in before.space.axes]  # its numbers are fixed, its mean is not
        if (np.abs(points.mean(axis=0) / weights)[measured] < MOST_MOVED).all():
            return before.space
    return SegmentSpace.fitted(matrix, features, axes)


def _where_they_were(groups: Sequence[Group], space: SegmentSpace, rules: Centres, before: Standing) -> Centres:
    """Centres before, by name of group and axis; where there was no such group or axis, the rule.

    Coordinates are deviations from the shop's mean, so that they mean the same where the shop's numbers are other ones.
    """
    found = rules.copy()
    for row, group in enumerate(groups):
        if group.name in before.names:
            old = dict(zip(before.space.axes, before.centres[before.names.index(group.name)].tolist(), strict=True))
            found[row] = [old.get(axis, ruled) for axis, ruled in zip(space.axes, rules[row].tolist(), strict=True)]
    return found


def _classifier(points: Points, centres: Centres, seed: int) -> TreeModel:
    """Trees that put a point where the nearest centre is."""
    generator = np.random.default_rng(seed)
    some = points
    if len(points) > MOST_ROWS:
        some = points[np.sort(generator.choice(len(points), MOST_ROWS, replace=False))]
    jittered = [some + generator.normal(0, JITTER, some.shape).astype(np.float32) for _ in range(COPIES)]
    rows = np.concatenate([some, *jittered])
    objective = {"objective": "multi:softprob", "eval_metric": "mlogloss", "num_class": len(centres)}
    nobody = np.zeros(len(rows), dtype=np.int32)
    examples = Examples(nobody.astype(np.str_), nobody, rows, nearest(rows, centres))
    return fit_trees(Recipe("xgboost", objective, seed, PARAMETERS), examples, TREES)
