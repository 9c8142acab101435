"""The gate for models whose evidence is one figure and no rows, such as lists: beside the best baseline, and the champion."""

import numpy as np

from training.gate.hearing import Hearing
from training.verdict import Reason, Verdict

CHANCE = {"recall20": 0.0, "auc": 0.5, "qwk": 0.0, "spearman": 0.0}
"""Figures that decide, the first that is there, and what each is for answers that know nothing."""
LEAST_SHARE = 0.9
"""Of the best baseline's distance from chance: without rows there is no interval, so that only what is clearly worse is."""


def by_figures(hearing: Hearing) -> Verdict:
    """The decision by recorded figures. A gain over a champion cannot be shown by them: only later facts replace it."""
    contender, champion = hearing.contender, hearing.champion
    hearing.notes.append("Judged by its recorded figures alone: this model's evidence is not kept row by row.")
    name = next((name for name in CHANCE if name in contender.metrics), None)
    if name is None or not np.isfinite(contender.metrics[name]):
        hearing.against(Reason.NO_EVIDENCE, "It has no figure that decides.")
        return hearing.verdict()
    value = contender.metrics[name]
    by_baseline = {baseline: figures[name] for baseline, figures in contender.baselines.items() if name in figures}
    beside = ""
    if by_baseline:
        best = max(by_baseline, key=lambda baseline: by_baseline[baseline])
        beside = f", {by_baseline[best]:.4f} of the best baseline ({best})"
        if value - CHANCE[name] < LEAST_SHARE * (by_baseline[best] - CHANCE[name]):
            hearing.against(Reason.WORSE_THAN_BASELINE, f"{name} {value:.4f}{beside}.")
    if champion is None:
        return hearing.verdict(f"The first champion: {name} {value:.4f}{beside}.")
    if champion.manifest.lineage.get("facts_hash") == contender.manifest.lineage.get("facts_hash"):
        hearing.against(Reason.NO_GAIN_SHOWN, f"{name} {value:.4f}, the champion's {champion.metrics.get(name, np.nan):.4f}.")
    return hearing.verdict(f"Trained on later facts: {name} {value:.4f}{beside}.")
