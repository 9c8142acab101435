"""The tier to come, as a bundle answers it: a forecast of spend, and the odds of each tier by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from training.artifacts import BundleManifest, check_golden
from training.predictors.trees import Matrix, Scores, TreeModel, load_trees, save_trees

Positions = NDArray[np.int64]
MOVES = ("down", "same", "up")
LEAST = 1e-30
"""Forecasts below count as this: trees answer with an exponential, which a float32 may round to 0."""


@dataclass(frozen=True, slots=True)
class TierOdds:
    """Proportional odds (McCullagh 1980): logit P(tier k or above) = slope * ln(forecast) - borders[k - 1].

    Attributes
    ----------
    slope
        Above 0: who is forecast to spend more is likelier in every higher tier.
    borders
        Ascending, one less than there are tiers; the forecast counts in the units of the trees.
    cuts
        Ascending, as many: a row's tier is how many of them its expected position reaches.
    """

    slope: float
    borders: tuple[float, ...]
    cuts: tuple[float, ...]

    @classmethod
    def of(cls, numbers: Mapping[str, Any]) -> TierOdds:
        """The odds that stand in a manifest."""
        borders, cuts = (tuple(float(value) for value in numbers[name]) for name in ("borders", "cuts"))
        return cls(float(numbers["slope"]), borders, cuts)

    def numbers(self) -> dict[str, Any]:
        """The odds as they stand in a manifest."""
        return {"slope": self.slope, "borders": list(self.borders), "cuts": list(self.cuts)}

    def logits(self, forecast: Scores) -> Scores:
        """Logit of each border being reached, shape (rows, borders)."""
        logs = np.log(np.maximum(forecast, LEAST))
        return np.asarray(self.slope * logs[:, None] - np.array(self.borders))

    def probabilities(self, forecast: Scores) -> Scores:
        """Probability of each tier, shape (rows, tiers)."""
        reached = expit(self.logits(forecast))
        ends = np.ones((len(reached), 1)), np.zeros((len(reached), 1))
        return -np.diff(np.concatenate([ends[0], reached, ends[1]], axis=1), axis=1)

    def said(self, probabilities: Scores) -> Positions:
        """Position of the tier that a row's probabilities come down to."""
        return cut_at(probabilities, self.cuts)


def expected_position(probabilities: Scores) -> Scores:
    """Mean position over the tiers, shape (rows,)."""
    return np.asarray((probabilities * np.arange(probabilities.shape[1])).sum(axis=1))


def cut_at(probabilities: Scores, cuts: tuple[float, ...]) -> Positions:
    """How many of the cuts each row's expected position reaches."""
    return np.asarray(np.digitize(expected_position(probabilities), cuts), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class TierPredictor:
    """Probabilities of each tier in the next horizon days. Rows are `manifest.features`, in that order."""

    kind: ClassVar[str] = "tier"
    manifest: BundleManifest
    model: TreeModel
    golden: Matrix = field(repr=False)

    @property
    def tiers(self) -> tuple[str, ...]:
        """Names of the tiers, lowest first; columns of `score` follow them."""
        return tuple(self.manifest.definition["tiers"])

    @property
    def odds(self) -> TierOdds:
        """The odds that stand in the manifest."""
        return TierOdds.of(self.manifest.parameters["odds"])

    def score(self, matrix: Matrix) -> Scores:
        """Probability of each tier, shape (rows, tiers); every row sums to 1."""
        return self.odds.probabilities(self.model.predict(matrix))

    def likely_tier(self, scores: Scores) -> Positions:
        """Position in `tiers` of the tier named for each row, from probabilities as `score` gives them.

        Not the most probable tier: the cuts are those that agreed best with what happened (quadratic weighted kappa).
        """
        return self.odds.said(scores)

    def tier_now(self, matrix: Matrix) -> Positions:
        """Position in `tiers` of what each member spent in the last 90 days, at the same thresholds; unknown is lowest."""
        definition = self.manifest.definition
        spent = np.nan_to_num(matrix[:, self.manifest.features.index("spend_cents_90d")].astype(np.float64))
        edges = [definition["gold_from_cents"], definition["diamond_from_cents"]]
        return np.asarray(np.digitize(spent * definition["horizon_days"] / 90, edges), dtype=np.int64)

    def moves(self, scores: Scores, now: Positions) -> Scores:
        """Probability of each of `MOVES` from the tier of now, shape (rows, 3)."""
        place = np.arange(scores.shape[1])[None, :]
        parts = [np.where(held, scores, 0.0).sum(axis=1) for held in (place < now[:, None], place == now[:, None])]
        return np.column_stack([*parts, np.where(place > now[:, None], scores, 0.0).sum(axis=1)])

    def save(self, folder: Path) -> str:
        """Write the bundle; returns the sha256 of its manifest."""
        return save_trees(folder, self.manifest, self.model, self.golden, self.score(self.golden))

    @classmethod
    def load(cls, folder: Path, manifest: BundleManifest) -> TierPredictor:
        """The predictor in a bundle whose hashes are right, once its golden rows agree."""
        model, golden = load_trees(folder, manifest)
        predictor = cls(manifest, model, golden["rows"])
        check_golden(manifest.name, golden["scores"], predictor.score(predictor.golden))
        return predictor
