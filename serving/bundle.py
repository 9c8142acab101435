"""The immutable set of models that one request sees, loaded from the registry's files and checked before use."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from features.errors import ModelMissing
from serving.list_order import list_order
from serving.served import KINDS, ServedModel, load_served
from training.predictors import Recommender
from training.registry import CHAMPION, RegisteredModel, resolve

EXPECTED = ("churn", "tier", "recommender")
"""Models that readiness asks for; others are served where they stand."""


@dataclass(frozen=True)
class ModelSet:
    """Models by name, those that stand under an alias at some moment. Nothing of it ever changes: a request keeps its own.

    Attributes
    ----------
    aliases
        Under which alias each was found; empty for a version that was asked for by its number.
    """

    served: Mapping[str, ServedModel]
    aliases: Mapping[str, str]

    @classmethod
    def of_champions(cls, served: Mapping[str, ServedModel]) -> "ModelSet":
        """The set in which every model is its champion."""
        return cls(served, dict.fromkeys(served, CHAMPION))

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
        found = {}
        for name in KINDS:
            try:
                model = resolve(mlruns, name, CHAMPION)
            except ModelMissing:
                continue
            found[name] = load_served(mlruns, model)
        return cls.of_champions(found)

    def with_models(self, others: Mapping[str, ServedModel], alias: str) -> "ModelSet":
        """The set with some models in place of those of the same name, found under another alias."""
        return ModelSet({**self.served, **others}, {**self.aliases, **dict.fromkeys(others, alias)})

    @property
    def registered(self) -> dict[str, RegisteredModel]:
        """Which version of each model it is, by model."""
        return {name: model.registered for name, model in self.served.items()}

    @property
    def churn(self) -> Any:
        """What answers the risk of leaving; None without such a model."""
        return self._predictor("churn")

    @property
    def tier(self) -> Any:
        """What answers the tier to come; None without such a model."""
        return self._predictor("tier")

    @cached_property
    def recommender(self) -> Recommender | None:
        """What makes lists; None without such a model."""
        found = self._predictor("recommender")
        return found if isinstance(found, Recommender) else None

    @cached_property
    def missing(self) -> tuple[str, ...]:
        """Names of the models that are expected and have no champion."""
        return tuple(name for name in EXPECTED if name not in self.served)

    @cached_property
    def passports(self) -> dict[str, msgspec.Raw]:
        """What answers say of each model, as JSON, by model."""
        return {name: model.passport_as(self.aliases[name]) for name, model in self.served.items()}

    @cached_property
    def list_order(self) -> msgspec.Raw:
        """What answers say of what puts lists in order, as `list_schemas.ListOrder` in JSON; null without a recommender."""
        return msgspec.Raw(msgspec.json.encode(list_order(self.recommender)))

    def _predictor(self, name: str) -> Any:
        model = self.served.get(name)
        return model.predictor if model is not None else None
