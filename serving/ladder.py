"""The lower steps of the ladder: last night's score of a member, the mean of everyone's, and nothing. Each is labelled."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import accumulate
from math import isfinite
from typing import Any

from features.answers import AnswerEdition, AnsweringModel, NightlyAnswer
from serving.bundle import ModelSet
from serving.outputs import MODEL_OF, Cell
from serving.scoring import Row

EVERYONE = ""
Values = Mapping[str, float | int]


@dataclass(frozen=True)
class Priors:
    """Mean answers of the last nightly run by lifecycle stage, "" being everyone; kept in memory for when all else is away."""

    edition: AnswerEdition | None = None

    @cached_property
    def known(self) -> bool:
        """Whether there is anything to say."""
        return self.edition is not None and bool(self.edition.priors.get(EVERYONE))

    def of(self, stage: str | None) -> Values:
        """Means of the members of a stage; of everyone where the stage is not known or has nobody."""
        means = self.edition.priors if self.edition is not None else {}
        return {**means.get(EVERYONE, {}), **means.get(stage or EVERYONE, {})}


@dataclass(frozen=True, slots=True)
class Below:
    """What a row that is not scored live is answered with.

    Attributes
    ----------
    max_staleness_s
        Oldest nightly run that may answer, in seconds; None: any.
    """

    models: ModelSet
    priors: Priors
    moment: datetime
    max_staleness_s: float | None = None

    def row(self, outputs: Collection[str], reason: str, nightly: NightlyAnswer | None = None, stage: str | None = None) -> Row:
        """The best that is left: the member's nightly answer, else the prior, else nothing."""
        if nightly is not None and self._fresh_enough(nightly.edition):
            cells = self._cells(outputs, nightly.edition, nightly.values)
            if any(cells.values()):
                return self._labelled(cells, reason, "nightly", nightly.edition)
        return self.prior(outputs, reason, stage=stage)

    def prior(self, outputs: Collection[str], reason: str | None, *, stage: str | None = None, status: str = "FALLBACK") -> Row:
        """What is said of a member whom nothing is known of, or may be used of."""
        edition = self.priors.edition
        if edition is not None and self.priors.known:
            cells = self._cells(outputs, edition, self.priors.of(stage))
            if any(cells.values()):
                return {**self._labelled(cells, reason, "prior", edition), "status": status}
        return nothing(status, reason)

    def cold(self) -> Row:
        """The answer about somebody whom the store does not know."""
        return nothing("COLD", "unknown_member")

    def _fresh_enough(self, edition: AnswerEdition) -> bool:
        return self.max_staleness_s is None or self._age_s(edition) <= self.max_staleness_s

    def _age_s(self, edition: AnswerEdition) -> int:
        return max(0, int((self.moment - datetime.fromisoformat(edition.as_of)).total_seconds()))

    def _labelled(self, cells: Row, reason: str | None, fallback: str, edition: AnswerEdition) -> Row:
        return {
            **nothing("FALLBACK", reason),
            **cells,
            "fallback": fallback,
            "as_of": edition.as_of,
            "age_seconds": self._age_s(edition),
            "nightly_run": str(edition.run),
        }

    def _cells(self, outputs: Collection[str], edition: AnswerEdition, values: Values) -> Row:
        cells: Row = {}
        for output in outputs:
            model = next((known for known in edition.models if known.name == MODEL_OF[output]), None)
            cells[output] = _CELLS[output](self.models, model, values) if model is not None else None
        return cells


def nothing(status: str, reason: str | None) -> Row:
    """The lowest step."""
    empty = dict.fromkeys(("as_of", "age_seconds", "nightly_run", *MODEL_OF, "lifecycle_stage", "rfm_tier"))
    return {"status": status, "reason": reason, "fallback": "refused", **empty}


def run_passport(edition: AnswerEdition) -> dict[str, Any]:
    """How a nightly run stands in the passport."""
    models = {model.name: model.label for model in edition.models}
    return {"run": str(edition.run), "as_of": edition.as_of, "models": models}


def _number(values: Values, name: str) -> float | None:
    """A column of numbers, None where it is missing; packed as float32, so rounded to what that can tell."""
    value = float(values.get(name, float("nan")))
    return value if isfinite(value) else None


def _churn(models: ModelSet, model: AnsweringModel, values: Values) -> Cell | None:
    probability = _number(values, "churn.probability")
    if probability is None:
        return None
    served = models.served.get("churn")
    band = served.bands.of(probability) if served is not None else None
    return {"probability": min(1.0, max(0.0, probability)), "band": band, "low": None, "high": None, "reasons": None}


def _tier(models: ModelSet, model: AnsweringModel, values: Values) -> Cell | None:
    chances = {tier: _number(values, f"tier.{tier}") for tier in model.labels}
    if not chances or None in chances.values():
        return None
    sums = accumulate(chance or 0.0 for chance in chances.values())
    likely = next((tier for tier, total in zip(chances, sums, strict=True) if total >= 0.5), model.labels[-1])
    return {"likely": likely, "probabilities": chances, "reasons": None}


def _value(models: ModelSet, model: AnsweringModel, values: Values) -> Cell | None:
    cents = _number(values, "value.cents")
    if cents is None:
        return None
    return {"cents": cents, "low_cents": _number(values, "value.low_cents"), "high_cents": _number(values, "value.high_cents")}


def _segment(models: ModelSet, model: AnsweringModel, values: Values) -> Cell | None:
    place = int(values.get("segments.group", -1))
    return {"name": model.labels[place]} if 0 <= place < len(model.labels) else None


_CELLS = {"churn": _churn, "tier": _tier, "value": _value, "segment": _segment}
