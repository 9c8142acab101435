"""The data doctor's second half: what each model requires of the facts, with the evidence, and what serves instead."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import ibis
import numpy as np

from features.days import calendar_day
from features.errors import NotEnoughData
from features.facts import Facts
from features.sources.schema import SALE
from training import bgnbd
from training.churn import THIN_HISTORY_DAYS, ChurnDefinition, engines_for
from training.churn_definition import NAME
from training.interactions import MIN_BUYERS
from training.lists.behaviour import LOOKS
from training.lists.settings import list_horizon
from training.periods import MIN_HISTORY_DAYS
from training.segments import segment_days
from training.spending import HORIZON_DAYS, spending_periods

FEWEST_MEMBERS = 100
FEWEST_OF_A_KIND = 15
FEWEST_ITEMS = 20
FEWEST_IN_GROUPS = 200
GROUP_DAYS = 180
INSTEAD = {
    "churn": "no churn score; lifecycle_stage and silence_of_mean_gap of the profile say who is overdue",
    "tier": "no forecast; rfm_tier of the profile is the tier as of now",
    "value": "no forecast; what a member spent lately (spend_cents_90d) says how much, without an interval",
    "segments": "no groups; lifecycle_stage and rfm_tier of the profile, and tags, tell members apart",
    "recommender": "no lists",
}


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing that a model requires, whether it holds, and how one sees that."""

    name: str
    holds: bool
    evidence: str


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """Everything that one model requires, and what serves where it cannot be trained."""

    model: str
    requirements: tuple[Requirement, ...]
    instead: str

    @property
    def ready(self) -> bool:
        """Whether every requirement holds."""
        return all(requirement.holds for requirement in self.requirements)

    def refusal(self) -> str:
        """Why the model cannot be trained, in a sentence; empty if it can."""
        return "; ".join(f"{r.name}: {r.evidence}" for r in self.requirements if not r.holds)


def check_model(facts: Facts, model: str, definition: ChurnDefinition | None = None) -> ModelCheck:
    """What one model requires of these facts.

    Parameters
    ----------
    definition
        What a churn model asks, whatever its name; the usual question if None. Other models have none.

    Raises
    ------
    KeyError
        No model has that name.
    """
    if definition is not None or model == NAME:
        return ModelCheck(model, tuple(_churn(facts, definition or ChurnDefinition())), INSTEAD[NAME])
    return ModelCheck(model, tuple(_CHECKS[model](facts)), INSTEAD[model])


def check_models(facts: Facts, churn: Mapping[str, ChurnDefinition] | None = None) -> list[ModelCheck]:
    """What every model requires of these facts.

    Parameters
    ----------
    churn
        Name and definition of every churn model; the usual one alone if None.
    """
    asked = [check_model(facts, name, definition) for name, definition in (churn or {NAME: ChurnDefinition()}).items()]
    return [*asked, *(check_model(facts, model) for model in _CHECKS)]


def _churn(facts: Facts, definition: ChurnDefinition) -> list[Requirement]:
    history = _history(lambda: engines_for(facts, definition), facts)
    if not history.holds:
        return [
            Requirement(history.name, False, f"{history.evidence}; BG/NBD alone {THIN_HISTORY_DAYS + definition.horizon_days}")
        ]
    day = facts.manifest.until_day - definition.horizon_days
    active = _buyers(facts, day - definition.active_days, day)
    stayed = active & _buyers(facts, day, facts.manifest.until_day)
    left = len(active) - len(stayed)
    window = f"{definition.active_days} days before {calendar_day(day)}"
    counts = [
        Requirement(
            f"at least {FEWEST_MEMBERS} members who bought lately",
            len(active) >= FEWEST_MEMBERS,
            f"{len(active):,} bought in the {window}",
        ),
        Requirement(
            f"at least {FEWEST_OF_A_KIND} who stayed and {FEWEST_OF_A_KIND} who left",
            min(len(stayed), left) >= FEWEST_OF_A_KIND,
            f"of these {len(stayed):,} bought again within {definition.horizon_days} days, {left:,} did not",
        ),
    ]
    if engines_for(facts, definition) != ("bgnbd",):
        return [history, *counts]
    return [
        Requirement(history.name, True, f"{history.evidence}; {_trees_need(facts, definition)}"),
        *counts,
        _bgnbd_fits(facts, day),
    ]


def _trees_need(facts: Facts, definition: ChurnDefinition) -> str:
    """Why BG/NBD is alone, and the longest horizon of whole weeks that trees would have room for."""
    needed = MIN_HISTORY_DAYS + 2 * definition.horizon_days
    weeks = (facts.manifest.until_day - facts.manifest.first_day - MIN_HISTORY_DAYS) // 14
    shorter = f", or a shorter horizon: RAPPORT_CHURN={7 * weeks}/{definition.active_days}" if weeks > 0 else ""
    return f"BG/NBD alone, as trees need {needed} days{shorter}"


def _bgnbd_fits(facts: Facts, test_day: int) -> Requirement:
    """Whether the formula that is all there is can be fitted, at the test day and at the end of the facts."""
    for day in (test_day, facts.manifest.until_day):
        try:
            bgnbd.fit(**_purchase_days(facts, day))
        except NotEnoughData as error:
            return Requirement("purchases that BG/NBD fits", False, str(error))
    return Requirement("purchases that BG/NBD fits", True, "its likelihood has a finite peak")


def _purchase_days(facts: Facts, until: int) -> dict[str, bgnbd.Days]:
    """What BG/NBD reads of every buyer before a local day: repeat purchase days, days to the last of them, age in days."""
    orders = facts.tables["orders"]
    before = orders.filter((orders.local_day < until) & (orders.kind == SALE))
    by_member = before.group_by("member_id").agg(
        days=before.local_day.nunique(), first=before.local_day.min(), latest=before.local_day.max()
    )
    found = by_member.order_by("member_id").to_pyarrow()
    days, first, latest = (found[name].to_numpy().astype(np.float64) for name in ("days", "first", "latest"))
    return {"repeats": days - 1, "last": latest - first, "age": until - first}


def _spending(facts: Facts) -> list[Requirement]:
    amounts = Requirement(
        "amounts",
        "amounts" in facts.manifest.since,
        "what was paid is known" if "amounts" in facts.manifest.since else "every amount is 0",
    )
    history = _history(lambda: spending_periods(facts), facts)
    day = facts.manifest.until_day
    members = len(_buyers(facts, day - HORIZON_DAYS, day))
    return [
        amounts,
        history,
        Requirement(
            f"at least {FEWEST_MEMBERS} members who bought in {HORIZON_DAYS} days",
            members >= FEWEST_MEMBERS,
            f"{members:,} bought in the last {HORIZON_DAYS} days",
        ),
    ]


def _segments(facts: Facts) -> list[Requirement]:
    day = facts.manifest.until_day
    members = len(_buyers(facts, day - GROUP_DAYS, day))
    return [
        _history(lambda: segment_days(facts), facts),
        Requirement(
            f"at least {FEWEST_IN_GROUPS} members who bought in {GROUP_DAYS} days",
            members >= FEWEST_IN_GROUPS,
            f"{members:,} bought in the last {GROUP_DAYS} days",
        ),
    ]


def _recommender(facts: Facts) -> list[Requirement]:
    items = "items" in facts.manifest.since
    purchases, events = facts.tables["purchases"], facts.tables["events"]
    bought = purchases.filter(purchases.kind == SALE).select("member_id", "item_id")
    looked = events.filter(events.event_type.isin(list(LOOKS))).select("member_id", "item_id")
    met = bought.union(looked).filter(ibis._.member_id.notnull() & ibis._.item_id.notnull()).distinct()
    members = met.group_by("item_id").agg(members=ibis._.count())
    listed = int(members.filter(members.members >= MIN_BUYERS).count().to_pyarrow().as_py()) if items else 0
    return [
        Requirement("items", items, "purchases say what was bought" if items else "no purchase says what was bought"),
        _history(lambda: list_horizon(facts), facts),
        Requirement(
            f"at least {FEWEST_ITEMS} items that {MIN_BUYERS} members bought or looked at",
            listed >= FEWEST_ITEMS,
            f"there are {listed:,}",
        ),
    ]


def _history(cut: Callable[[], object], facts: Facts) -> Requirement:
    days = facts.manifest.until_day - facts.manifest.first_day
    try:
        cut()
    except NotEnoughData as error:
        return Requirement("history", False, str(error))
    return Requirement("history", True, f"{days:,} days from {calendar_day(facts.manifest.first_day)}")


def _buyers(facts: Facts, first: int, until: int) -> set[str]:
    """Members with a sale on the local days [first, until)."""
    orders = facts.tables["orders"]
    inside = orders.filter(orders.local_day.between(first, until - 1) & (orders.kind == SALE))
    return set(inside.member_id.to_pyarrow().to_pylist())


_CHECKS: dict[str, Callable[[Facts], list[Requirement]]] = {
    "tier": _spending,
    "value": _spending,
    "segments": _segments,
    "recommender": _recommender,
}
