"""The immutable set of models that one request sees, loaded from the registry's files and checked before use."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from features.errors import ModelMissing
from training.predictors import CHURN_KINDS, ChurnAnswers, Recommender, TierPredictor
from training.registry import CHAMPION, RegisteredModel, load, require_contract, resolve

P = TypeVar("P", bound=ChurnAnswers | TierPredictor | Recommender)


@dataclass(frozen=True, slots=True)
class ModelSet:
    """The champions as of loading; None where the registry has none. `registered` is by model name."""

    churn: ChurnAnswers | None
    tier: TierPredictor | None
    recommender: Recommender | None
    registered: dict[str, RegisteredModel]

    @classmethod
    def load(cls, mlruns: Path) -> "ModelSet":
        """Every champion in the registry.

        Raises
        ------
        BundleRefused
            A file was altered, or golden rows disagree.
        ContractMismatch
            A model was trained on other features than this process derives.
        """
        registered: dict[str, RegisteredModel] = {}
        churn = _champion(mlruns, "churn", CHURN_KINDS, registered)
        tier = _champion(mlruns, "tier", (TierPredictor,), registered)
        recommender = _champion(mlruns, "recommender", (Recommender,), registered)
        return cls(churn, tier, recommender, registered)

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the models that have no champion."""
        return tuple(name for name in ("churn", "tier", "recommender") if name not in self.registered)


def _champion(mlruns: Path, name: str, kinds: tuple[type[P], ...], registered: dict[str, RegisteredModel]) -> P | None:
    try:
        model = resolve(mlruns, name, CHAMPION)
    except ModelMissing:
        return None
    predictor = load(model)
    if not isinstance(predictor, kinds):
        raise ModelMissing(f"{model.label} is a {predictor.kind} model", remedy="register it under its own name")
    require_contract(predictor)
    registered[name] = model
    return predictor
