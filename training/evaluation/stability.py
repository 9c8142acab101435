"""Whether scores stay what they are from one test period to the next: drift of their distribution, moves between bands."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from training.evaluation.tasks import Task, ranking, said_by, task_of
from training.evidence import Evidence, Judged

RISK_EDGES = (0.2, 0.5)
"""Where the bands low, medium and high of a risk meet."""
GROUPS = 10
MOVING_SLICES = frozenset({"tenure"})
"""Slices that time alone changes, so that a member may be in another one without having changed."""


@dataclass(frozen=True, slots=True)
class Stability:
    """From one test period to the next.

    Attributes
    ----------
    psi, psi_by_chance
        Population stability index of the scores, and what two samples of the same distribution show on average.
    members, unchanged
        In both periods; of those, in the same slices in both.
    moved
        Share of the unchanged whose band is another one; unknown without any.
    """

    psi: float
    psi_by_chance: float
    members: int
    unchanged: int
    moved: float


def stability(evidence: Evidence) -> list[Stability]:
    """One entry for each test period but the first: how far scores moved since the one before; none of lists' recalls."""
    task = task_of(evidence)
    if task == "lists":
        return []
    return [_since(task, before, after) for before, after in pairwise(evidence.judged)]


def population_stability_index(before: NDArray[np.floating], after: NDArray[np.floating], *, groups: int = GROUPS) -> float:
    """Symmetric distance of two samples (Kullback-Leibler both ways) over the first one's quantile groups.

    Half a row is added to every group, so that an empty one does not make it infinite.
    """
    edges = np.unique(np.quantile(before, np.linspace(0, 1, groups + 1)[1:-1]))
    shares = []
    for sample in (before, after):
        counts = np.bincount(np.searchsorted(edges, sample, side="right"), minlength=len(edges) + 1) + 0.5
        shares.append(counts / counts.sum())
    old, new = shares
    return float(((new - old) * np.log(new / old)).sum())


def index_by_chance(before: int, after: int, *, groups: int = GROUPS) -> float:
    """Mean index of two samples of one distribution: (groups - 1) (1/n + 1/m) (Yurdakul 2018)."""
    return (groups - 1) * (1 / before + 1 / after)


def band_migration(before: NDArray[np.integer], after: NDArray[np.integer]) -> float:
    """Share of members whose band is another one, row for row; unknown without rows."""
    return float((before != after).mean()) if len(before) else float("nan")


def bands(task: Task, judged: Judged, edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """Band of every answer: the tier or group said; low, medium, high of a risk; between the edges given of an amount."""
    said = said_by(task, judged)
    if said is not None:
        return said
    return np.asarray(np.digitize(judged.answer, RISK_EDGES if task == "risk" else edges), dtype=np.int64)


def _since(task: Task, before: Judged, after: Judged) -> Stability:
    old, new = ranking(task, before.answer), ranking(task, after.answer)
    _, mine, theirs = np.intersect1d(before.member_ids, after.member_ids, return_indices=True)
    same = _same_slices(before.slices, after.slices, mine, theirs)
    edges = np.quantile(old, [0.2, 0.4, 0.6, 0.8])
    return Stability(
        psi=population_stability_index(old, new),
        psi_by_chance=index_by_chance(len(old), len(new)),
        members=len(mine),
        unchanged=int(same.sum()),
        moved=band_migration(bands(task, before, edges)[mine[same]], bands(task, after, edges)[theirs[same]]),
    )


def _same_slices(
    before: Mapping[str, NDArray[np.generic]],
    after: Mapping[str, NDArray[np.generic]],
    mine: NDArray[np.int64],
    theirs: NDArray[np.int64],
) -> NDArray[np.bool_]:
    same = np.ones(len(mine), dtype=np.bool_)
    for name in (set(before) & set(after)) - MOVING_SLICES:
        same &= before[name][mine] == after[name][theirs]
    return same
