"""The space in which customer groups lie: a few slow features, made robust, standardised by stored numbers and weighted.

Windows are of 90 and 180 days, so that a month changes little. Shares of few orders are drawn towards the shop's mean, as one
order more or less would otherwise carry a member across. A feature that the shop's facts do not tell is left out by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from training.predictors.trees import Matrix

Points: TypeAlias = NDArray[np.float32]
"""Shape (members, axes): weighted standard deviations from the shop's mean."""
FAR = 2.5
"""Standard deviations beyond which a member is as far out as one can be."""
QUIET_DAYS = 14
"""Silence that is no sign of anything for anyone, as in the stages of the lifecycle."""
ORDERS = "purchases_180d"
LEAST_SPREAD = 1e-6


@dataclass(frozen=True, slots=True)
class Axis:
    """One feature of the space.

    Attributes
    ----------
    shape
        count: log(1 + x / median). silence: log(1 + days beyond 14 / 42). newness: exp(-days / 90), with fixed numbers, as
        nobody can be older than the facts. share, rare_share: drawn towards the mean as `pull` orders of the mean would;
        the root of a rare one.
    weight
        How much a standard deviation counts: less for what moves quickly.
    """

    name: str
    column: str
    shape: Literal["count", "silence", "newness", "share", "rare_share"]
    weight: float = 1.0
    pull: float = 8.0


AXES = (
    Axis("silence", "days_since_last_purchase", "silence"),
    Axis("frequency", "purchase_days_180d", "count", weight=1.2),
    Axis("spend", "spend_cents_180d", "count"),
    Axis("trend", "purchase_trend_90d_of_180d", "share", weight=0.7, pull=20.0),
    Axis("newness", "days_since_first_purchase", "newness"),
    Axis("discount", "discount_share_180d", "share"),
    Axis("coupon", "coupon_purchase_share_180d", "rare_share"),
    Axis("scene", "category_concentration_180d", "share", weight=0.9),
)
_BY_NAME: Mapping[str, Axis] = {axis.name: axis for axis in AXES}
NEWNESS = (90.0, 0.1, 0.25)


@dataclass(frozen=True, slots=True)
class Scale:
    """Numbers of one axis: of its shape (median, or mean share), and mean and deviation of what the shape gives."""

    unit: float
    mean: float
    deviation: float


@dataclass(frozen=True, slots=True)
class SegmentSpace:
    """The axes that a shop has, each with its numbers, in the order of `AXES`."""

    scales: Mapping[str, Scale]

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the axes; columns of points follow them."""
        return tuple(self.scales)

    @classmethod
    def fitted(cls, matrix: Matrix, features: Sequence[str], names: Sequence[str]) -> SegmentSpace:
        """The space of these axes by the numbers of these rows; an axis that these rows do not tell keeps everyone at 0."""
        orders = _column(matrix, features, ORDERS)
        return cls({name: _fit(_BY_NAME[name], _column(matrix, features, _BY_NAME[name].column), orders) for name in names})

    @classmethod
    def of(cls, numbers: Mapping[str, Mapping[str, float]]) -> SegmentSpace:
        """The space that stands in a manifest."""
        return cls({name: Scale(**numbers[name]) for name in _BY_NAME if name in numbers})

    def as_dict(self) -> dict[str, dict[str, float]]:
        """Plain JSON."""
        return {name: {"unit": s.unit, "mean": s.mean, "deviation": s.deviation} for name, s in self.scales.items()}

    def points(self, matrix: Matrix, features: Sequence[str]) -> Points:
        """Where the rows lie, shape (rows, axes); what is missing lies at the mean, 0."""
        orders = _column(matrix, features, ORDERS)
        found = np.empty((len(matrix), len(self.scales)), dtype=np.float32)
        for place, (name, scale) in enumerate(self.scales.items()):
            axis = _BY_NAME[name]
            shaped = _shaped(axis, _column(matrix, features, axis.column), orders, scale.unit)
            away = np.clip((shaped - scale.mean) / scale.deviation, -FAR, FAR)
            found[:, place] = np.where(np.isnan(away), 0, away) * axis.weight
        return found

    def place(self, where: Mapping[str, float]) -> NDArray[np.float64]:
        """A point from standard deviations by axis; axes that are not named are 0."""
        return np.array([where.get(name, 0.0) * _BY_NAME[name].weight for name in self.scales])


def axes_told(matrix: Matrix, features: Sequence[str]) -> tuple[str, ...]:
    """Axes that these rows tell at all: known of somebody, and not the same of everybody."""
    told = []
    for axis in AXES:
        values = _column(matrix, features, axis.column)
        known = values[~np.isnan(values)]
        if len(known) and float(np.ptp(known)) > LEAST_SPREAD:
            told.append(axis.name)
    return tuple(told)


def nearest(points: Points, centres: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """Position of the centre that each point is nearest to."""
    return np.asarray(squared_distances(points, centres).argmin(axis=1), dtype=np.int64)


def squared_distances(points: NDArray[np.floating[Any]], centres: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Shape (points, centres)."""
    mine, theirs = points.astype(np.float64), centres.astype(np.float64)
    return np.asarray((mine**2).sum(1)[:, None] - 2 * mine @ theirs.T + (theirs**2).sum(1), dtype=np.float64)


def _fit(axis: Axis, values: NDArray[np.float64], orders: NDArray[np.float64]) -> Scale:
    if axis.shape == "newness":
        return Scale(*NEWNESS)
    known = values[~np.isnan(values)]
    unit = _unit(axis, known)
    shaped = _shaped(axis, values, orders, unit)
    shaped = shaped[~np.isnan(shaped)]
    if not len(shaped):
        return Scale(unit, 0.0, 1.0)
    deviation = float(shaped.std())
    return Scale(unit, float(shaped.mean()), deviation if deviation > LEAST_SPREAD else 1.0)


def _unit(axis: Axis, known: NDArray[np.float64]) -> float:
    if axis.shape == "silence":
        return 42.0
    if axis.shape == "count":
        return float(np.median(known[known > 0])) if (known > 0).any() else 1.0
    return float(known.mean()) if len(known) else 0.0


def _shaped(axis: Axis, values: NDArray[np.float64], orders: NDArray[np.float64], unit: float) -> NDArray[np.float64]:
    if axis.shape == "silence":
        return np.log1p(np.maximum(values - QUIET_DAYS, 0) / unit)
    if axis.shape == "newness":
        return np.exp(-np.maximum(values, 0) / unit)
    if axis.shape == "count":
        return np.log1p(np.maximum(values, 0) / unit)
    known = np.maximum(np.nan_to_num(orders), 0)
    drawn = np.where(np.isnan(values), unit, (np.nan_to_num(values) * known + axis.pull * unit) / (known + axis.pull))
    return np.sqrt(np.maximum(drawn, 0)) if axis.shape == "rare_share" else drawn


def _column(matrix: Matrix, features: Sequence[str], name: str) -> NDArray[np.float64]:
    return matrix[:, features.index(name)].astype(np.float64)
