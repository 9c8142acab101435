"""What training hands to the registry: a predictor with the evidence for it."""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from features.facts import Facts
from training.datasets import Examples
from training.evidence import Evidence
from training.predictors import GOLDEN_ROWS, AnyPredictor, Matrix

matplotlib.use("Agg")
SEED = 7


@dataclass(frozen=True, slots=True)
class Trained:
    """One trained model.

    Attributes
    ----------
    metrics
        Figures of the model on the test window, by name.
    baselines
        The same figures of each baseline.
    parameters
        How it was trained.
    plots
        PNG files by name.
    examples
        The rows it was fitted on, for the record of the data set and for the gate.
    evidence
        Answers of its recipe on every test period; None for a model whose evidence is figures alone.
    files
        Further files for the record, by name: the report.
    """

    predictor: AnyPredictor
    metrics: Mapping[str, float]
    baselines: Mapping[str, Mapping[str, float]]
    parameters: Mapping[str, Any]
    plots: Mapping[str, bytes] = field(default_factory=dict)
    examples: Examples | None = None
    evidence: Evidence | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)


def lineage(facts: Facts, *, seed: int, days: Mapping[str, Any]) -> dict[str, Any]:
    """Where a model came from: facts, code, seed and cut-offs. Equal lineage and contract make an equal model."""
    return {
        "facts_hash": facts.manifest.hash,
        "facts_source": facts.manifest.source,
        "rapport": version("rapport"),
        "code": code_hash(),
        "seed": seed,
        "cutoffs": json.loads(json.dumps(days)),
    }


@cache
def code_hash() -> str:
    """One hash over the source of this package, so that a changed setting or method shows in the lineage."""
    sources = sorted(Path(__file__).parent.rglob("*.py"))
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()


def golden_rows(matrix: Matrix, *, seed: int) -> Matrix:
    """A few rows to check a loaded model by, one of them with every feature missing."""
    picks = np.random.default_rng(seed).choice(len(matrix), size=min(GOLDEN_ROWS, len(matrix)), replace=False)
    rows = matrix[np.sort(picks)].copy()
    rows[0] = np.nan
    return rows


def reliability_plot(happened: NDArray[np.bool_], probabilities: Mapping[str, NDArray[np.float64]]) -> bytes:
    """Reliability curves as PNG: predicted share against observed share in ten groups of equal size."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for name, probability in probabilities.items():
        groups = np.array_split(np.argsort(probability, kind="stable"), 10)
        axes.plot([probability[g].mean() for g in groups], [happened[g].mean() for g in groups], marker="o", label=name)
    axes.set(xlabel="predicted probability", ylabel="share that really left", title="Reliability on the test window")
    axes.legend()
    return _png(figure)


def importance_plot(gains: Mapping[str, float], *, title: str) -> bytes:
    """The twenty features with the highest gain, as PNG."""
    top = sorted(gains.items(), key=lambda item: item[1])[-20:]
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    axes.barh([name for name, _ in top], [gain for _, gain in top])
    axes.set(xlabel="gain", title=title)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
