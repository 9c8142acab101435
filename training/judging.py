"""Evidence of the recipes there are: each is refitted for every test period on what was known before, and judged on it once."""

from collections.abc import Callable, Mapping

from features.errors import ConfigurationError
from training import churn, recommender, tier, value
from training.churn import ChurnDefinition, ChurnEngine, churn_days, churn_periods
from training.datasets import Snapshots
from training.evidence import Evidence
from training.lists.settings import ListPeriod, list_horizon, list_periods
from training.periods import Period
from training.spending import spending_days, spending_periods
from training.tuning import Search

ENGINES: Mapping[str, tuple[ChurnEngine, ...]] = {
    "churn": ("xgboost", "lightgbm", "bgnbd"),
    "tier": ("xgboost", "lightgbm"),
    "value": ("xgboost", "lightgbm"),
    "recommender": ("xgboost", "lightgbm"),
}

SPENDING: Mapping[str, Callable[..., Evidence]] = {"tier": tier.evidence, "value": value.evidence}


def test_periods(snapshots: Snapshots, model: str) -> tuple[Period | ListPeriod, ...]:
    """The test periods of a model, oldest first."""
    if model == "recommender":
        return list_periods(snapshots.facts, horizon_days=list_horizon(snapshots.facts))
    if model == "churn":
        return churn_periods(snapshots.facts, ChurnDefinition())
    return spending_periods(snapshots.facts)


def snapshot_days(snapshots: Snapshots, model: str, *, tuning: bool) -> tuple[int, ...]:
    """Local days of every snapshot that the evidence asks for, ascending, those of a search with them; lists need none.

    Raises
    ------
    NotEnoughData
        The facts do not reach for one test period.
    """
    if model == "recommender":
        return ()
    if model == "churn":
        return churn_days(snapshots.facts, ChurnDefinition(), tuning=tuning)
    return spending_days(snapshots.facts)


def recipe(model: str, engine: str) -> ChurnEngine:
    """The engine of that name, if the model has a recipe with it.

    Raises
    ------
    ConfigurationError
        There is no such recipe.
    """
    chosen = next((known for known in ENGINES.get(model, ()) if known == engine), None)
    if chosen is None:
        known = ", ".join(f"{name} ({', '.join(engines)})" for name, engines in ENGINES.items())
        raise ConfigurationError(f"there is no recipe {model} with {engine}", remedy=f"choose from {known}")
    return chosen


def evidence_of(
    snapshots: Snapshots, model: str, engine: str, *, search: Search, done: Callable[[], None] = lambda: None
) -> Evidence:
    """Evidence of one recipe over all its test periods; `done` is called after each.

    The parameters are those that training ships: of the search kept in its folder, or of a new one.

    Raises
    ------
    ConfigurationError
        There is no such recipe.
    NotEnoughData
        The facts do not reach for one test period.
    """
    chosen = recipe(model, engine)
    if model == "recommender" and chosen != "bgnbd":
        return recommender.evidence(snapshots.facts, engine=chosen, search=search, done=done)
    if model in SPENDING and chosen != "bgnbd":
        return SPENDING[model](snapshots, engine=chosen, search=search, done=done)
    return churn.evidence(snapshots, engine=chosen, search=search, done=done)
