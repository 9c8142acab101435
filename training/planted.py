"""Six bad models, trained for real on real facts, that the gate must refuse, each for its own reason; and an honest one.

Benchmarks and tests send them through the real registry and the real gate. Each does wrong what goes wrong in practice:
labels joined to the wrong members, a feature from after the fact, the class turned around, nothing learned, yesterday's
features, a calibrator that diverged.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import xgboost
from numpy.typing import NDArray

from features.build import FeatureRows
from training import baselines
from training.artifacts import BundleManifest
from training.candidacy import contender_of
from training.churn import BANDS, ChurnDefinition, churn_label
from training.datasets import Examples, Labelled, Snapshots, examples
from training.evidence import Evidence, Judged, slices_of
from training.gate.contender import Ground
from training.periods import Period, periods
from training.predictors import Calibrator, ChurnPredictor, TreeModel, with_parameters
from training.promotion import decide
from training.registry import RegisteredModel
from training.tracking import record
from training.trained import SEED, Trained, golden_rows, lineage
from training.verdict import Reason, Verdict

TREES = 60
LATE_DAYS = 28
LEAKING = "purchases_90d"
PARAMETERS = {
    "objective": "binary:logistic",
    "eta": 0.08,
    "max_depth": 2,
    "min_child_weight": 20,
    "lambda": 10.0,
    "colsample_bytree": 0.3,
    "subsample": 0.7,
    "tree_method": "hist",
    "nthread": 1,
    "seed": SEED,
}
Change = Callable[[Examples], Examples]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model of this file is made.

    Attributes
    ----------
    reason
        Why the gate has to refuse it; None for the honest one.
    rows
        What is done to rows before fitting and before judging.
    fitted
        What is done only to what is fitted on, behind the record's back.
    late_days
        By how many days its features are late.
    gamma
        Least gain of a split.
    calibrator
        Stands in place of no change.
    """

    name: str
    reason: Reason | None
    rows: Change = lambda rows: rows
    fitted: Change = lambda rows: rows
    late_days: int = 0
    gamma: float = 0.0
    calibrator: Calibrator = Calibrator()  # noqa: RUF009 # frozen


def _shuffled(rows: Examples) -> Examples:
    return replace(rows, labels=np.random.default_rng(SEED).permutation(rows.labels))


def _turned(rows: Examples) -> Examples:
    return replace(rows, labels=~rows.labels.astype(np.bool_))


def _leaking(features: tuple[str, ...]) -> Change:
    """A feature that knows: with some noise, it is high for those who will come back."""

    def change(rows: Examples) -> Examples:
        matrix, noise = rows.matrix.copy(), np.random.default_rng(SEED).normal(0, 0.3, len(rows))
        matrix[:, features.index(LEAKING)] = np.float32(~rows.labels.astype(np.bool_)) + noise.astype(np.float32)
        return replace(rows, matrix=matrix)

    return change


def recipes(features: tuple[str, ...]) -> tuple[Recipe, ...]:
    """The honest recipe, then the six bad ones."""
    return (
        Recipe("honest", None),
        Recipe("shuffled labels", Reason.NO_SKILL, fitted=_shuffled),
        Recipe("leaking feature", Reason.LEAKAGE_SUSPECTED, rows=_leaking(features)),
        Recipe("inverted", Reason.INVERTED, fitted=_turned),
        Recipe("constant", Reason.CONSTANT, gamma=1e9),
        Recipe("stale features", Reason.STALE_FEATURES, late_days=LATE_DAYS),
        Recipe("not a number", Reason.NOT_A_NUMBER, calibrator=Calibrator(slope=float("nan"))),
    )


class _Late(Snapshots):
    """Snapshots that hand out rows of an earlier day under the day asked for, but labels of that day."""

    def __init__(self, snapshots: Snapshots, days: int) -> None:
        super().__init__(snapshots.facts, snapshots.contract)
        self._true, self._late = snapshots, days

    def at(self, day: int) -> FeatureRows:
        return replace(self._true.at(day - self._late), day=day)


def train_planted(snapshots: Snapshots, recipe: Recipe, definition: ChurnDefinition | None = None) -> Trained:
    """A churn model made by a recipe of this file, with evidence over the test periods: bad, but trained for real."""
    definition = definition or ChurnDefinition()
    source = _Late(snapshots, recipe.late_days) if recipe.late_days else snapshots
    label = churn_label(snapshots.facts, definition)
    judged = tuple(
        _judge(source, recipe, period, label)
        for period in periods(snapshots.facts, horizon_days=definition.horizon_days, history_days=84 + LATE_DAYS)
    )
    newest = periods(snapshots.facts, horizon_days=definition.horizon_days, history_days=84 + LATE_DAYS)[-1]
    whole = recipe.rows(examples(source, newest.train, label))
    predictor = _fit(snapshots, recipe, whole, definition, newest)
    evidence = Evidence("churn", "xgboost", asdict(definition), judged, {"recipe": recipe.name})
    return Trained(predictor, {"auc": 0.0}, {}, {"engine": "xgboost", "recipe": recipe.name}, examples=whole, evidence=evidence)


def verdicts(
    snapshots: Snapshots, mlruns: Path, definition: ChurnDefinition | None = None
) -> Iterator[tuple[Recipe, RegisteredModel, Verdict]]:
    """Every recipe trained, registered, and brought before the gate of a registry without a champion."""
    definition = definition or ChurnDefinition()
    ground = Ground(snapshots, churn_label(snapshots.facts, definition))
    for recipe in recipes(snapshots.contract.model_features):
        trained = train_planted(snapshots, recipe, definition)
        registered = record(mlruns, trained)
        yield recipe, registered, decide(contender_of(registered, trained), None, ground=ground)


def gate_refused(snapshots: Snapshots, mlruns: Path, definition: ChurnDefinition | None = None) -> int:
    """How many of the six bad models the gate refuses for the right reason; 0 if it refuses the honest one as well."""
    found = [(recipe, verdict) for recipe, _, verdict in verdicts(snapshots, mlruns, definition)]
    honest = all(verdict.promote for recipe, verdict in found if recipe.reason is None)
    return sum(recipe.reason is not None and verdict.code == recipe.reason.name for recipe, verdict in found) if honest else 0


def _judge(source: Snapshots, recipe: Recipe, period: Period, label: Labelled) -> Judged:
    train = recipe.rows(examples(source, period.train, label))
    test = recipe.rows(examples(source, [period.test], label))
    answer = recipe.calibrator.apply(_trees(recipe.fitted(train), recipe.gamma).predict(test.matrix))
    return Judged(
        period,
        test.member_ids,
        test.labels.astype(np.bool_),
        answer,
        {
            "recency": baselines.recency(test, source.contract),
            "rfm_logistic": baselines.rfm_logistic(train, test, source.contract),
        },
        slices_of(len(test), tenure=_tenure(test, source.contract.model_features)),
    )


def _tenure(rows: Examples, features: tuple[str, ...]) -> NDArray[np.str_]:
    known = rows.matrix[:, features.index("days_since_first_purchase")] >= 180
    return np.where(known, "half a year and more", "less than half a year")


def _fit(snapshots: Snapshots, recipe: Recipe, whole: Examples, definition: ChurnDefinition, period: Period) -> ChurnPredictor:
    manifest = BundleManifest(
        name="churn",
        kind=ChurnPredictor.kind,
        engine="xgboost",
        contract_hash=snapshots.contract.hash,
        features=snapshots.contract.model_features,
        definition=asdict(definition),
        parameters={"bands": BANDS},
        lineage=lineage(snapshots.facts, seed=SEED, days=asdict(period)),
    )
    model = _trees(recipe.fitted(whole), recipe.gamma)
    return ChurnPredictor(with_parameters(manifest, calibrator=recipe.calibrator), model, golden_rows(whole.matrix, seed=SEED))


def _trees(rows: Examples, gamma: float) -> TreeModel:
    data = xgboost.DMatrix(rows.matrix, label=rows.labels.astype(np.float32), nthread=1)
    booster = xgboost.train({**PARAMETERS, "gamma": gamma}, data, TREES)
    return TreeModel.from_bytes("xgboost", bytes(booster.save_raw(raw_format="json")))
