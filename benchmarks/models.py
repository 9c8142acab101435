"""How good are the models? Each recipe over its three test periods beside its baselines, on every data set that is there.

python benchmarks/models.py --complete-journey data/facts --cdnow data-cdnow/facts [--trials 25] [--tuning data/tuning]

Adding a model is one function from a data set's snapshots to its figures, named in `MODELS`. Beside the models: `retrain`, a
whole `rapport retrain` into a registry of its own, timed, and `gate`, the six planted models. `--models` chooses among all.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).parents[1])

import numpy as np

from features.errors import NotEnoughData
from features.facts import Facts
from training import tier as tier_model
from training import value as value_model
from training.churn import ChurnDefinition, ChurnEngine, churn_days, evidence
from training.datasets import Snapshots
from training.evaluation import (
    expected_calibration_error,
    lift,
    paired_gain,
    quadratic_weighted_kappa,
    spearman,
    total_bias,
    weighted,
)
from training.evaluation.tasks import said_by, tier_calibration
from training.evidence import Evidence, Judged
from training.gate.comparison import beside_baseline, quality
from training.gate.measures import MEASURES
from training.kept_work import KeptWork
from training.pipeline import MODELS as KNOWN
from training.planted import gate_refused
from training.retraining import Purpose, Retraining
from training.spending import spending_days
from training.tracking import open_registry
from training.trained import SEED
from training.tuning import Search

DEFINITIONS = {"complete_journey": ChurnDefinition(28, 84), "cdnow": ChurnDefinition(90, 180)}
RETRAINED = ("churn", "tier", "value")
Figures = dict[str, Any]


def churn(snapshots: Snapshots, data_set: str, search: Search) -> Figures:
    """Churn by both engines, and BG/NBD calibrated as it would ship."""
    definition = DEFINITIONS[data_set]
    for _ in snapshots.prepare(churn_days(snapshots.facts, definition, tuning=search.trials > 0)):
        pass
    engines: tuple[ChurnEngine, ...] = ("xgboost", "lightgbm", "bgnbd")
    found: Figures = {}
    for engine in engines:
        began = time.perf_counter()
        proof = evidence(snapshots, engine=engine, definition=definition, search=search)
        figures = {**churn_figures(proof), "evidence_s": round(time.perf_counter() - began, 1), **tuning_figures(proof)}
        print(data_set, engine, json.dumps(figures), flush=True)
        found |= figures if engine == "xgboost" else {f"{name}_{engine}": value for name, value in figures.items()}
    return found


def churn_figures(proof: Evidence) -> Figures:
    """Figures of churn as lists over the periods, oldest first."""
    gains = [gain(one, "bgnbd") for one in proof.judged]
    return {
        "auc": [auc(one, one.answer) for one in proof.judged],
        "auc_bgnbd": [auc(one, one.others["bgnbd"]) for one in proof.judged if "bgnbd" in one.others],
        "auc_rfm_logistic": [auc(one, one.others["rfm_logistic"]) for one in proof.judged if "rfm_logistic" in one.others],
        "auc_recency": [auc(one, one.others["recency"]) for one in proof.judged],
        "gain": [round(middle, 4) for middle, _, _ in gains],
        "gain_low": [round(low, 4) for _, low, _ in gains],
        "gain_high": [round(high, 4) for _, _, high in gains],
        "ece": [round(expected_calibration_error(happened(one), one.answer), 4) for one in proof.judged],
        "lift10": [round(lift(happened(one), one.answer, share=0.1), 2) for one in proof.judged],
        "rate": [round(float(one.truth.mean()), 4) for one in proof.judged],
        "said": [round(float(one.answer.mean()), 4) for one in proof.judged],
        **{
            name: [one.notes.get(name) for one in proof.judged]
            for name in ("trees", "rows", "calibrator", "interval_coverage", "interval_width")
        },
    }


def tuning_figures(proof: Evidence) -> Figures:
    """What the search found."""
    return {name: value for name, value in proof.parameters.items() if name.startswith(("tuned_", "tuning_"))}


def happened(one: Judged) -> np.ndarray:
    """Whether each member left."""
    return one.truth.astype(np.bool_)


def auc(one: Judged, score: np.ndarray) -> float:
    """Area under the ROC curve on one test window."""
    return round(weighted.auc(happened(one), score)(np.ones(len(one))), 4)


def gain(one: Judged, baseline: str) -> tuple[float, float, float]:
    """Gain in AUC over a baseline with its paired 95 % interval over members; NaN where the baseline has no answer."""
    if baseline not in one.others:
        return (float("nan"),) * 3
    mine, theirs = weighted.auc(happened(one), one.answer), weighted.auc(happened(one), one.others[baseline])
    found = paired_gain(mine, theirs, one.member_ids, seed=SEED)
    return found.value, found.low, found.high


def tier(snapshots: Snapshots, data_set: str, search: Search) -> Figures:
    """Tier beside staying put and the other baselines; where money falls into no three tiers, why."""
    try:
        prepare_spending(snapshots)
        proof = tier_model.evidence(snapshots, search=search)
    except NotEnoughData as refused:
        return {"tier_refused": str(refused)}
    persistence = [kappa_gain(one, "persistence") for one in proof.judged]
    over_periods = quality(beside_baseline(proof, "persistence"), MEASURES["tier"], "persistence")
    found = {
        "qwk": [kappa(one, said_by("tiers", one)) for one in proof.judged],
        **{f"qwk_{name}": [kappa(one, one.others[name]) for one in proof.judged] for name in proof.baselines},
        "qwk_gain": [round(middle, 4) for middle, _, _ in persistence],
        "qwk_gain_low": [round(low, 4) for _, low, _ in persistence],
        "qwk_gain_high": [round(high, 4) for _, _, high in persistence],
        "qwk_gain_mean": [round(value, 4) for value in (over_periods.gain, over_periods.low, over_periods.high)],
        "ece_tiers": [[round(error, 4) for error in tier_calibration(one.truth, one.answer)] for one in proof.judged],
    }
    print(data_set, "tier", json.dumps(found), flush=True)
    return found


def value(snapshots: Snapshots, data_set: str, search: Search) -> Figures:
    """Value by both engines beside past spend and the formula."""
    found: Figures = {}
    try:
        prepare_spending(snapshots)
        for engine in ("xgboost", "lightgbm"):
            figures = value_figures(value_model.evidence(snapshots, engine=engine, search=search))
            print(data_set, engine, json.dumps(figures), flush=True)
            found |= figures if engine == "xgboost" else {f"{name}_{engine}": given for name, given in figures.items()}
    except NotEnoughData as refused:
        return {"value_refused": str(refused)}
    return found


def value_figures(proof: Evidence) -> Figures:
    """Figures of value as lists over the periods, oldest first."""
    found: Figures = {
        "spearman": [rank_correlation(one, one.answer) for one in proof.judged],
        "total_bias": [round(total_bias(one.truth.astype(np.float64), one.answer), 4) for one in proof.judged],
        "coverage": [round(one.notes["interval_coverage"], 4) for one in proof.judged],
        "value_trees": [one.notes["trees"] for one in proof.judged],
    }
    for name, short in (("past_spend", "past_spend"), ("bgnbd_gamma_gamma", "bgnbd")):
        beside = [one for one in proof.judged if name in one.others]
        found[f"spearman_{short}"] = [rank_correlation(one, one.others[name]) for one in beside]
        found[f"total_bias_{short}"] = [round(total_bias(one.truth.astype(np.float64), one.others[name]), 4) for one in beside]
    if "bgnbd_gamma_gamma" in proof.baselines:
        over = quality(beside_baseline(proof, "bgnbd_gamma_gamma"), MEASURES["value"], "bgnbd_gamma_gamma")
        found["spearman_gain_mean"] = [round(value, 4) for value in (over.gain, over.low, over.high)]
    return found


def prepare_spending(snapshots: Snapshots) -> None:
    """Build what tier and value both ask for, once."""
    for _ in snapshots.prepare(spending_days(snapshots.facts)):
        pass


def rank_correlation(one: Judged, answer: np.ndarray) -> float:
    """Spearman's rank correlation on one test window."""
    return round(spearman(one.truth.astype(np.float64), answer), 4)


def kappa(one: Judged, said: np.ndarray) -> float:
    """Quadratic weighted kappa on one test window."""
    return round(quadratic_weighted_kappa(one.truth.astype(np.int64), said.astype(np.int64)), 4)


def kappa_gain(one: Judged, baseline: str) -> tuple[float, float, float]:
    """Gain in kappa over a baseline with its paired 95 % interval over members."""
    truth = one.truth.astype(np.int64)
    mine, theirs = (
        weighted.quadratic_weighted_kappa(truth, said.astype(np.int64))
        for said in (said_by("tiers", one), one.others[baseline])
    )
    found = paired_gain(mine, theirs, one.member_ids, seed=SEED)
    return found.value, found.low, found.high


def retrain(snapshots: Snapshots, data_set: str, search: Search) -> Figures:
    """A retraining as `rapport retrain` does it, from facts to registry, of the models that answer for members."""
    models = tuple(model for model in RETRAINED if model in KNOWN)
    facts, churns = snapshots.facts, {"churn": DEFINITIONS[data_set]}
    purpose = Purpose(models, facts.manifest.until_day, facts.manifest.hash)
    with tempfile.TemporaryDirectory(prefix="rapport-") as folder:
        began, busy = time.perf_counter(), time.process_time()
        work = KeptWork(Path(folder) / "run")
        open_registry(Path(folder) / "mlruns")
        run = Retraining(
            facts, Path(folder) / "mlruns", work, purpose, "benchmark", lambda: datetime.now(UTC), churn=churns, search=search
        )
        became = run.run()
        return {
            "retrain_s": round(time.perf_counter() - began, 1),
            "retrain_cpu_s": round(time.process_time() - busy, 1),
            "retrain_became": became,
            "retrain_models": [f"{one.model} ({one.engine}): {one.became}" for one in run.judged],
            "retrain_steps_s": {step.name: step.seconds for step in run.record.steps},
            "retrain_peak_mb": max(step.peak_mb for step in run.record.steps),
        }


def gate(snapshots: Snapshots, data_set: str, search: Search) -> Figures:
    """How many of the six planted models the gate refuses, each for its own reason."""
    with tempfile.TemporaryDirectory(prefix="rapport-") as folder:
        return {"gate_refused": gate_refused(snapshots, Path(folder) / "mlruns", DEFINITIONS[data_set])}


MODELS: dict[str, Callable[[Snapshots, str, Search], Figures]] = {
    "churn": churn,
    "tier": tier,
    "value": value,
    "gate": gate,
    "retrain": retrain,
}


def main() -> None:
    """Judge every model on every data set given, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--complete-journey", type=Path)
    parser.add_argument("--cdnow", type=Path)
    parser.add_argument("--trials", type=int, default=0)
    parser.add_argument("--tuning", type=Path)
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    given = parser.parse_args()
    places = {"complete_journey": given.complete_journey, "cdnow": given.cdnow}
    found: Figures = {}
    for data_set, place in places.items():
        if place is not None:
            snapshots = Snapshots(Facts.open(place))
            search = Search(given.trials, given.tuning)
            found[data_set] = {}
            for model in given.models:
                found[data_set] |= MODELS[model](snapshots, data_set, search)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
