"""What churn means: the horizon, who is asked about, the name of the model, the label and what trees must respect."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.build import FeatureRows
from features.contract import Contract
from features.facts import Facts
from training.datasets import Labelled
from training.labels import purchased_within

NAME = "churn"
MORE_IS_WORSE = frozenset({"days_since_last_purchase", "silence_of_mean_gap", "silence_of_longest_gap", "overdue_deviations"})
"""Features of silence: as they grow, all else equal, a member is never likelier to come back."""
MORE_IS_BETTER = frozenset(
    {
        *(f"{counted}_{days}d" for counted in ("purchases", "purchase_days") for days in (7, 30, 90, 180, 365)),
        *(f"purchases_h{days}d" for days in (7, 30, 90)),
    }
)
"""Counts of purchases: as they grow, all else equal, a member is never likelier to leave."""


@dataclass(frozen=True, slots=True)
class ChurnDefinition:
    """Eligible: bought within the last `active_days` before T. Churned: no purchase within `horizon_days` from T."""

    horizon_days: int = 28
    active_days: int = 84

    @classmethod
    def parse(cls, text: str) -> "ChurnDefinition":
        """The definition written as horizon/active, as in the settings."""
        horizon, _, active = text.partition("/")
        return cls(int(horizon), int(active))

    @property
    def own_name(self) -> str:
        """The name of a model of this definition where it is not the first: churn_h60_a180."""
        return f"{NAME}_h{self.horizon_days}_a{self.active_days}"


def definitions(texts: tuple[str, ...]) -> dict[str, ChurnDefinition]:
    """Model name and definition of each churn in the settings; the first is the one called churn."""
    found = [ChurnDefinition.parse(text) for text in texts]
    return {NAME if place == 0 else one.own_name: one for place, one in enumerate(found)}


def eligible_rows(rows: FeatureRows, definition: ChurnDefinition) -> NDArray[np.bool_]:
    """Who is asked about: members whose last purchase is no longer ago than the definition says."""
    return rows.column("days_since_last_purchase") <= definition.active_days


def churn_label(facts: Facts, definition: ChurnDefinition) -> Labelled:
    """Labels by the definition, for the rows of any matured snapshot."""

    def label(rows: FeatureRows) -> tuple[NDArray[np.bool_], NDArray[np.generic]]:
        eligible = eligible_rows(rows, definition)
        members = rows.member_ids[eligible].tolist()
        bought = purchased_within(facts, members, day=rows.day, horizon_days=definition.horizon_days)
        return eligible, ~bought

    return label


def monotone(contract: Contract) -> tuple[int, ...]:
    """The sign that the field knows of each model feature: 1 raises churn, -1 lowers it, 0 is left to the data."""
    return tuple((name in MORE_IS_WORSE) - (name in MORE_IS_BETTER) for name in contract.model_features)
