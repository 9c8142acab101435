"""Churn: P(no purchase in the next H days) for members who bought in the last A days; trained, calibrated, compared."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.build import FeatureRows
from features.errors import NotEnoughData
from features.facts import Facts
from training import baselines
from training.artifacts import BundleManifest
from training.boosting import fit_with_early_stopping, gains
from training.calibration import fit_calibrator
from training.datasets import Cutoffs, Examples, Labelled, Snapshots, cutoffs, examples
from training.evaluation import binary_report, lift
from training.labels import purchased_within
from training.predictors import ChurnPredictor, Engine, with_parameters
from training.trained import SEED, Trained, golden_rows, importance_plot, lineage, reliability_plot

NAME = "churn"
BANDS = {"low": 0.0, "medium": 0.2, "high": 0.5}
"""Lowest probability of each band."""
OBJECTIVES: Mapping[Engine, Mapping[str, Any]] = {
    "xgboost": {"objective": "binary:logistic", "eval_metric": "logloss"},
    "lightgbm": {"objective": "binary", "metric": "binary_logloss"},
}


@dataclass(frozen=True, slots=True)
class ChurnDefinition:
    """Eligible: bought within the last `active_days` before T. Churned: no purchase within `horizon_days` from T."""

    horizon_days: int = 28
    active_days: int = 84


@dataclass(frozen=True, slots=True)
class Windows:
    """Examples of the four windows, in time order."""

    train: Examples
    validation: Examples
    calibration: Examples
    test: Examples


def churn_label(facts: Facts, definition: ChurnDefinition) -> Labelled:
    """Labels by the definition, for the rows of any matured snapshot."""

    def label(rows: FeatureRows) -> tuple[NDArray[np.bool_], NDArray[np.generic]]:
        eligible = rows.column("days_since_last_purchase") <= definition.active_days
        members = rows.member_ids[eligible].tolist()
        bought = purchased_within(facts, members, day=rows.day, horizon_days=definition.horizon_days)
        return eligible, ~bought

    return label


def churn_windows(snapshots: Snapshots, cuts: Cutoffs, definition: ChurnDefinition) -> Windows:
    """Labelled examples of every window.

    Raises
    ------
    NotEnoughData
        A window has only members who stayed, or only members who left.
    """
    label = churn_label(snapshots.facts, definition)
    parts = {
        "train": examples(snapshots, cuts.train, label),
        "validation": examples(snapshots, [cuts.validation], label),
        "calibration": examples(snapshots, [cuts.calibration], label),
        "test": examples(snapshots, [cuts.test], label),
    }
    for name, part in parts.items():
        if len(set(part.labels.tolist())) < 2:
            raise NotEnoughData(f"the {name} window of churn has {len(part)} members and a single outcome")
    return Windows(**parts)


def train_churn(
    snapshots: Snapshots, *, engine: Engine, definition: ChurnDefinition | None = None, seed: int = SEED
) -> Trained:
    """A churn model with its evidence: the same trees that were tested are the ones returned.

    Fitted on the training window with early stopping on validation, refitted on both, calibrated on the calibration
    window where that helps, judged once on the test window beside recency, RFM logistic regression and BG/NBD.

    Raises
    ------
    NotEnoughData
        The facts are too short, or a window holds a single outcome.
    """
    definition = definition or ChurnDefinition()
    contract, facts = snapshots.contract, snapshots.facts
    cuts = cutoffs(facts, horizon_days=definition.horizon_days)
    windows = churn_windows(snapshots, cuts, definition)
    model, trees = fit_with_early_stopping(engine, windows.train, windows.validation, objective=OBJECTIVES[engine], seed=seed)
    calibrator = fit_calibrator(model.predict(windows.calibration.matrix), _happened(windows.calibration), seed=seed)
    manifest = BundleManifest(
        name=NAME,
        kind=ChurnPredictor.kind,
        engine=engine,
        contract_hash=contract.hash,
        features=contract.model_features,
        definition=asdict(definition),
        parameters={"bands": BANDS},
        lineage=lineage(facts, seed=seed, days=asdict(cuts)),
    )
    predictor = ChurnPredictor(
        with_parameters(manifest, calibrator=calibrator), model, golden_rows(windows.train.matrix, seed=seed)
    )
    probability = predictor.score(windows.test.matrix)
    return Trained(
        predictor,
        metrics=asdict(binary_report(_happened(windows.test), probability)),
        baselines=churn_baselines(snapshots, windows, definition),
        parameters={"engine": engine, "trees": trees, "seed": seed, **asdict(definition), **asdict(calibrator)},
        plots={
            "reliability.png": reliability_plot(_happened(windows.test), {str(engine): probability}),
            "importance.png": importance_plot(gains(model, contract.model_features), title=f"churn, {engine}"),
        },
        examples=windows.train,
    )


def churn_baselines(snapshots: Snapshots, windows: Windows, definition: ChurnDefinition) -> dict[str, dict[str, float]]:
    """Figures of the three baselines on the test window; a ranking without probabilities has only ranking figures."""
    happened, contract = _happened(windows.test), snapshots.contract
    by_recency = baselines.recency(windows.test, contract)
    found = {"recency": ranking_figures(happened, by_recency)}
    logistic = baselines.rfm_logistic(windows.train, windows.test, contract)
    found["rfm_logistic"] = asdict(binary_report(happened, logistic))
    rows = snapshots.at(int(windows.test.days[0]))
    eligible = churn_label(snapshots.facts, definition)(rows)[0]
    bgnbd = baselines.bgnbd_no_purchase(rows, eligible, horizon_days=definition.horizon_days)
    if bgnbd is not None:
        found["bgnbd"] = asdict(binary_report(happened, bgnbd))
    return found


def ranking_figures(happened: NDArray[np.bool_], score: NDArray[np.float64]) -> dict[str, float]:
    """The figures that a ranking without probabilities can have."""
    report = asdict(binary_report(happened, score / max(float(np.nanmax(score)), 1.0)))
    kept = {name: report[name] for name in ("auc", "average_precision")}
    return {**kept, "lift_top_tenth": lift(happened, score, share=0.1)}


def _happened(window: Examples) -> NDArray[np.bool_]:
    return window.labels.astype(np.bool_)
