"""The risk of leaving by BG/NBD: four numbers instead of trees, for shops whose data are too thin for more."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, hyp2f1

from training.artifacts import GOLDEN, BundleManifest, check_golden, read_arrays, write_bundle
from training.predictors.trees import Calibrator, Matrix, Scores
from training.predictors.uncertainty import interval_of

Days = NDArray[np.float64]
MODEL_FILE = "bgnbd.json"
LONGEST_DAYS = 1e6
NEAR_ONE = 1e-5


@dataclass(frozen=True, slots=True)
class BgNbd:
    """Fitted parameters, with time in days (Fader, Hardie and Lee, "Counting Your Customers" the Easy Way, 2005)."""

    r: float
    alpha: float
    a: float
    b: float

    def no_purchase_within(self, days: float, *, repeats: Days, last: Days, age: Days) -> Days:
        """P(no purchase in the next `days`) for each member.

        Parameters
        ----------
        repeats
            Purchase days after the first.
        last
            Days from the first to the last purchase.
        age
            Days from the first purchase to now.
        """
        alive = self.alive(repeats=repeats, last=last, age=age)
        silent: Days = np.exp(-(self.r + repeats) * np.log1p(days / (self.alpha + age)))
        answer: Days = 1 - alive * (1 - silent)
        return answer

    def expected_purchases(self, days: float, *, repeats: Days, last: Days, age: Days) -> Days:
        """Expected purchase days in the next `days` for each member, equation (10) of the paper; parameters as above."""
        a = self.a if abs(self.a - 1) > NEAR_ONE else 1 + NEAR_ONE  # the formula divides by a - 1, its limit is smooth
        later = self.alpha + age + days
        stays = np.exp((self.r + repeats) * (np.log(self.alpha + age) - np.log(later)))
        tail = hyp2f1(self.r + repeats, self.b + repeats, a + self.b + repeats - 1, days / later)
        if_alive = (a + self.b + repeats - 1) / (a - 1) * (1 - stays * tail)
        without_leaving = days * (self.r + repeats) / (self.alpha + age)
        usable = np.isfinite(if_alive) & (if_alive >= 0) & (if_alive <= without_leaving)
        answer: Days = np.where(usable, if_alive, without_leaving) * self.alive(repeats=repeats, last=last, age=age)
        return answer

    def alive(self, *, repeats: Days, last: Days, age: Days) -> Days:
        """P(has not left yet); 1 for members with a single purchase day, as the model lets nobody leave before the second."""
        growth = (self.r + repeats) * np.log1p((age - last) / (self.alpha + last))
        log_odds = np.log(self.a / (self.b + np.maximum(repeats, 1) - 1)) + growth
        return np.asarray(np.where(repeats > 0, expit(-log_odds), 1.0), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class BgNbdPredictor:
    """P(no purchase in the next horizon days). Rows are `manifest.features`; three of them are read."""

    kind: ClassVar[str] = "bgnbd"

    manifest: BundleManifest
    model: BgNbd
    golden: Matrix = field(repr=False)

    @property
    def calibrator(self) -> Calibrator:
        """The calibrator that stands in the manifest."""
        return Calibrator.of(self.manifest.parameters["calibrator"])

    def score(self, matrix: Matrix) -> Scores:
        """Calibrated probability for each row, shape (rows,); a member without a purchase is answered as a newcomer."""
        days, span, age = (
            self._column(matrix, name) for name in ("purchase_days", "active_span_days", "days_since_first_purchase")
        )
        repeats, last = np.maximum(days - 1, 0), np.minimum(span, age)
        horizon = float(self.manifest.definition["horizon_days"])
        return self.calibrator.apply(self.model.no_purchase_within(horizon, repeats=repeats, last=last, age=age))

    def interval(self, matrix: Matrix) -> tuple[Scores, Scores]:
        """Low and high end of the interval of each row's probability, each of shape (rows,)."""
        return interval_of(self.manifest.parameters, self.score(matrix))

    def band(self, probability: float) -> str:
        """Name of the band a probability falls into."""
        bands: dict[str, float] = self.manifest.parameters["bands"]
        return max((edge, name) for name, edge in bands.items() if probability >= edge)[1]

    def save(self, folder: Path) -> str:
        """Write the bundle; returns the sha256 of its manifest."""
        files = {MODEL_FILE: json.dumps(asdict(self.model), indent=1).encode()}
        return write_bundle(folder, self.manifest, files, {"rows": self.golden, "scores": self.score(self.golden)})

    @classmethod
    def load(cls, folder: Path, manifest: BundleManifest) -> BgNbdPredictor:
        """The predictor in a bundle whose hashes are right, once its golden rows agree."""
        golden = read_arrays(folder / GOLDEN)
        predictor = cls(manifest, BgNbd(**json.loads((folder / MODEL_FILE).read_text())), golden["rows"])
        check_golden(manifest.name, golden["scores"], predictor.score(predictor.golden))
        return predictor

    def _column(self, matrix: Matrix, name: str) -> Days:
        values = np.ascontiguousarray(matrix[:, self.manifest.features.index(name)], dtype=np.float64)
        return np.clip(np.nan_to_num(values), 0, LONGEST_DAYS)
