"""What a trained model can do: score or rank, save and load. The same code runs in evaluation, nightly jobs and serving."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from features.errors import BundleRefused
from training.artifacts import read_manifest
from training.predictors.bgnbd import BgNbd, BgNbdPredictor
from training.predictors.churn import ChurnPredictor
from training.predictors.histories import Histories
from training.predictors.list_sources import SOURCES, Candidates
from training.predictors.lists import RankedLists, Recommender
from training.predictors.tier import TierPredictor
from training.predictors.trees import GOLDEN_ROWS, Calibrator, Engine, Matrix, Predictor, Scores, TreeModel, with_parameters
from training.predictors.uncertainty import IntervalTable

__all__ = [
    "CHURN_KINDS",
    "GOLDEN_ROWS",
    "SOURCES",
    "AnyPredictor",
    "BgNbd",
    "BgNbdPredictor",
    "Calibrator",
    "Candidates",
    "ChurnAnswers",
    "ChurnPredictor",
    "Engine",
    "Histories",
    "IntervalTable",
    "Matrix",
    "Predictor",
    "RankedLists",
    "Recommender",
    "Scores",
    "TierPredictor",
    "TreeModel",
    "load_bundle",
    "with_parameters",
]

ChurnAnswers: TypeAlias = ChurnPredictor | BgNbdPredictor
"""What may stand in the registry under the name churn."""
CHURN_KINDS: tuple[type[ChurnPredictor] | type[BgNbdPredictor], ...] = (ChurnPredictor, BgNbdPredictor)
AnyPredictor: TypeAlias = ChurnPredictor | BgNbdPredictor | TierPredictor | Recommender
KINDS: Mapping[str, type[ChurnPredictor] | type[BgNbdPredictor] | type[TierPredictor] | type[Recommender]] = {
    predictor.kind: predictor for predictor in (ChurnPredictor, BgNbdPredictor, TierPredictor, Recommender)
}


def load_bundle(folder: Path, *, sha256: str | None = None) -> AnyPredictor:
    """The predictor kept in a folder, after hashes and golden rows were found right.

    Raises
    ------
    BundleRefused
        A file was altered or is missing, golden rows disagree, or the kind is unknown.
    """
    manifest = read_manifest(folder, sha256=sha256)
    if manifest.kind not in KINDS:
        raise BundleRefused(f"{manifest.name} is of kind {manifest.kind}, unknown here", remedy="update Rapport")
    return KINDS[manifest.kind].load(folder, manifest)
