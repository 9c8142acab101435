"""One model as a worker holds it: the predictor, and all that its answers need, worked out once when it is loaded."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.errors import ModelMissing
from serving.light_imports import load_library_of
from serving.trials import Tried
from training.predictors import ChurnPredictor, IntervalTable, TierPredictor
from training.predictors.reasons import prepare, take_tables
from training.registry import RegisteredModel, load, require_contract

KINDS = {
    "churn": ("churn", "bgnbd"),
    "tier": ("tier",),
    "value": ("value",),
    "segments": ("segments",),
    "recommender": ("recommender",),
}
"""Names of the models that are served, and the kinds of predictor that may stand under each."""


@dataclass(frozen=True, slots=True)
class Bands:
    """Names of bands from the lowest on, and the edges between them."""

    names: tuple[str, ...] = ()
    edges: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    def of(self, probability: float) -> str | None:
        """The band that a probability falls into; None where there are no bands."""
        return self.names[int(np.searchsorted(self.edges, probability, side="right"))] if self.names else None


@dataclass(frozen=True)
class ServedModel:
    """A registered version with its predictor, found right.

    Attributes
    ----------
    explained
        Whether its scores can come with reasons at the price of a few scores.
    """

    registered: RegisteredModel
    predictor: Any  # of its kind: what a kind can do stands in `outputs`, one function each
    bands: Bands
    intervals: IntervalTable | None
    explained: bool

    @cached_property
    def passport(self) -> dict[str, Any]:
        """What every answer says of the model, its alias left out."""
        manifest = self.predictor.manifest
        interval = None
        if self.intervals is not None:
            interval = {"level": self.intervals.level, "group": float(self.intervals.group)}
        return {
            "name": self.registered.name,
            "version": self.registered.version,
            "sha256": self.registered.sha256,
            "engine": manifest.engine,
            "definition": manifest.definition,
            "interval": interval,
        }

    def passport_as(self, alias: str) -> msgspec.Raw:
        """The passport as JSON, for a model that was found under an alias."""
        return msgspec.Raw(msgspec.json.encode({**self.passport, "alias": alias}))


def load_served(mlruns: Path, model: RegisteredModel, *, tried: Tried | None = None) -> ServedModel:
    """A registered version, loaded and found right.

    Parameters
    ----------
    tried
        Its trial, whose tables of reasons are taken; without it they are worked out.

    Raises
    ------
    BundleRefused
        A file was altered, or golden rows disagree.
    ContractMismatch
        It was trained on other features than this process derives.
    ModelMissing
        It is of a kind that cannot answer under its name.
    """
    load_library_of(model.bundle)
    predictor = load(model)
    if predictor.kind not in KINDS[model.name]:
        raise ModelMissing(f"{model.label} is a {predictor.kind} model", remedy="register it under its own name")
    require_contract(predictor)
    parameters = predictor.manifest.parameters
    bands = sorted(parameters.get("bands", {}).items(), key=lambda band: band[1])
    return ServedModel(
        registered=model,
        predictor=predictor,
        bands=Bands(tuple(name for name, _ in bands), np.array([edge for _, edge in bands[1:]])),
        intervals=_intervals(predictor),
        explained=isinstance(predictor, ChurnPredictor | TierPredictor) and _explained(predictor, tried),
    )


def _explained(predictor: ChurnPredictor | TierPredictor, tried: Tried | None) -> bool:
    """Have the tables of reasons at hand; False where only the library can explain, at twenty times the price."""
    if tried is not None and tried.tables is not None and take_tables(predictor, tried.tables, tried.digest):
        return tried.digest is not None
    return prepare(predictor)


def _intervals(predictor: Any) -> IntervalTable | None:
    """The table around probabilities; that around amounts is behind `ValuePredictor.interval_of`."""
    numbers = predictor.manifest.parameters.get("interval")
    return IntervalTable.of(numbers) if numbers is not None and predictor.kind in KINDS["churn"] else None
