"""The figures that a churn run is recorded with."""

from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from training.evaluation import binary_report, lift
from training.evidence import Evidence, Judged


def newest_figures(proof: Evidence) -> dict[str, float]:
    """Figures on the newest test window, and the AUC of every period, oldest first."""
    newest = proof.judged[-1]
    found = asdict(binary_report(newest.truth.astype(np.bool_), newest.answer))
    for number, one in enumerate(proof.judged, start=1):
        found[f"auc_period_{number}"] = binary_report(one.truth.astype(np.bool_), one.answer).auc
    if "interval_coverage" in newest.notes:
        found["interval_coverage"] = newest.notes["interval_coverage"]
    return found


def baseline_figures(newest: Judged) -> dict[str, dict[str, float]]:
    """Figures of every baseline on one test window; a ranking without probabilities has only ranking figures."""
    happened = newest.truth.astype(np.bool_)
    return {
        name: ranking_figures(happened, answer) if name == "recency" else asdict(binary_report(happened, answer))
        for name, answer in newest.others.items()
    }


def ranking_figures(happened: NDArray[np.bool_], score: NDArray[np.float64]) -> dict[str, float]:
    """The figures that a ranking without probabilities can have."""
    report = asdict(binary_report(happened, score / max(float(np.nanmax(score)), 1.0)))
    kept = {name: report[name] for name in ("auc", "average_precision")}
    return {**kept, "lift_top_tenth": lift(happened, score, share=0.1)}
