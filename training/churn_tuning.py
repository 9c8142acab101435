"""Where parameters of churn are searched: windows that are over before the oldest test begins."""

import numpy as np

from features.facts import Facts
from training.churn_definition import ChurnDefinition, churn_label
from training.churn_fit import require_both, thinned
from training.datasets import Examples, Snapshots, examples
from training.periods import Period, known_days
from training.tuning import Fold

TUNING_FOLDS = 2


def tuning_days(facts: Facts, oldest: Period, definition: ChurnDefinition) -> list[tuple[tuple[int, ...], int]]:
    """Days to fit on and the later day to judge at, newest first, all known before the oldest test; empty without room."""
    laters = [oldest.test - back * definition.horizon_days for back in range(1, TUNING_FOLDS + 1)]
    found = [(known_days(facts, later, horizon_days=definition.horizon_days), later) for later in laters]
    return [(known, later) for known, later in found if known]


def folds(snapshots: Snapshots, oldest: Period, definition: ChurnDefinition, seed: int) -> list[Fold]:
    """Windows before the oldest test; members of its training days held out where there is no room for windows."""
    label = churn_label(snapshots.facts, definition)
    found = [
        Fold(examples(snapshots, thinned(snapshots, known, definition), label), examples(snapshots, [later], label))
        for known, later in tuning_days(snapshots.facts, oldest, definition)
    ]
    if not found:
        found = [_apart(examples(snapshots, oldest.train, label), seed=seed)]
    for fold in found:
        require_both(fold.fitted, "tuning")
        require_both(fold.later, "tuning")
    return found


def _apart(rows: Examples, *, seed: int) -> Fold:
    members, row_of = np.unique(rows.member_ids, return_inverse=True)
    held_out = (np.random.default_rng(seed).random(len(members)) < 1 / 3)[row_of]
    parts = (
        Examples(rows.member_ids[kept], rows.days[kept], rows.matrix[kept], rows.labels[kept]) for kept in (~held_out, held_out)
    )
    return Fold(*parts)
