"""Tier: which of three spending tiers a member will be in over the next 90 days; judged over periods, then trained.

The forecast of spend that `training.value` makes is also what tells tiers apart best; proportional odds make chances of it.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from features.build import FeatureRows
from features.errors import NotEnoughData
from features.facts import Facts
from training.artifacts import BundleManifest
from training.boosting import Recipe, gains
from training.datasets import Examples, Labelled, Snapshots, examples
from training.evaluation import paired_gain, quadratic_weighted_kappa, weighted
from training.evidence import Evidence, Judged, proved
from training.forecast import Forecast, fit_forecast_as_of, tuned_recipe
from training.labels import spend_within
from training.periods import Period
from training.predictors import Engine, TierOdds, TierPredictor
from training.predictors.tier import cut_at
from training.slice_labels import slice_labels
from training.spending import HORIZON_DAYS, past_spend, spending_periods, spending_today
from training.tier_odds import best_cuts, fit_odds
from training.trained import SEED, Trained, golden_rows, importance_plot, lineage
from training.tuning import Search, Tuned
from training.value import baselines_of

NAME = "tier"
TIERS = ("regular", "gold", "diamond")
SHARES = (0.6, 0.9)
"""Shares of members below gold and below diamond when the money thresholds are set."""


@dataclass(frozen=True, slots=True)
class TierDefinition:
    """Net spend in the next `horizon_days`, cut at two money thresholds in cents that are fixed at training."""

    horizon_days: int
    gold_from_cents: int
    diamond_from_cents: int
    tiers: tuple[str, ...] = TIERS

    def tier_of(self, cents: NDArray[np.integer | np.floating]) -> NDArray[np.int64]:
        """Position in `tiers` of each amount."""
        return np.asarray(np.digitize(cents, [self.gold_from_cents, self.diamond_from_cents]), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is trained."""

    recipe: Recipe
    tuned: Tuned
    horizon_days: int


@dataclass(frozen=True, slots=True)
class _Fitted:
    """A tier model as of one day."""

    forecast: Forecast
    definition: TierDefinition
    odds: TierOdds
    past_cuts: tuple[float, float]

    @property
    def examples(self) -> Examples:
        """The rows it was fitted on, labelled by tier."""
        rows = self.forecast.rows
        return Examples(rows.member_ids, rows.days, rows.matrix, self.definition.tier_of(rows.labels.astype(np.int64)))


def evidence(
    snapshots: Snapshots,
    *,
    engine: Engine = "xgboost",
    horizon_days: int = HORIZON_DAYS,
    search: Search | None = None,
    seed: int = SEED,
    done: Callable[[], None] = lambda: None,
) -> Evidence:
    """The recipe over all its test periods: refitted for each on what was known before, and judged once on its window.

    `done` is called after each period.

    Raises
    ------
    NotEnoughData
        The facts are too short, or members spend too much alike for three tiers.
    """
    return _evidence(snapshots, _plan(snapshots, engine, horizon_days, search, seed), done)


def train_tier(
    snapshots: Snapshots,
    *,
    engine: Engine = "xgboost",
    horizon_days: int = HORIZON_DAYS,
    search: Search | None = None,
    seed: int = SEED,
) -> Trained:
    """A tier model as of the end of the facts, by the very recipe that the test periods judged, with that evidence.

    Raises
    ------
    NotEnoughData
        The facts are too short, or members spend too much alike for three tiers.
    """
    plan = _plan(snapshots, engine, horizon_days, search, seed)
    proof = _evidence(snapshots, plan)
    today = spending_today(snapshots.facts, horizon_days=horizon_days)
    fitted = _fit(snapshots, plan, today)
    newest = proof.judged[-1]
    used = gains(fitted.forecast.model, snapshots.contract.model_features)
    return Trained(
        _predictor(snapshots, plan, fitted, today),
        metrics=_newest_figures(proof),
        baselines={name: tier_figures(_positions(newest.truth), _positions(said)) for name, said in newest.others.items()},
        parameters={
            "engine": engine,
            "seed": seed,
            "horizon_days": horizon_days,
            **fitted.forecast.notes,
            **plan.tuned.record(),
        },
        plots={"importance.png": importance_plot(used, title=f"{NAME}, {engine}")},
        examples=fitted.examples,
        evidence=proof,
    )


def tier_definition(spent: NDArray[np.integer], horizon_days: int) -> TierDefinition:
    """Money thresholds from what members spent in known windows: 60 % regular, 30 % gold, 10 % diamond.

    Where most members spend nothing, whoever spends anything is gold.

    Raises
    ------
    NotEnoughData
        Both thresholds are the same amount.
    """
    gold, diamond = np.quantile(spent, SHARES, method="inverted_cdf")
    if diamond <= max(gold, 1):
        raise NotEnoughData("members spend too much alike to be cut into three tiers")
    return TierDefinition(horizon_days, max(int(gold), 1), int(diamond))


def tier_label(facts: Facts, definition: TierDefinition) -> Labelled:
    """Tier by the definition, for every member of a matured snapshot."""

    def label(rows: FeatureRows) -> tuple[NDArray[np.bool_], NDArray[np.generic]]:
        members = rows.member_ids.tolist()
        spent = spend_within(facts, members, day=rows.day, horizon_days=definition.horizon_days)
        return np.ones(len(members), dtype=np.bool_), definition.tier_of(spent)

    return label


def by_rfm_quantiles(rfm_score: NDArray[np.float64]) -> NDArray[np.int64]:
    """Tiers by rank of the RFM score, in the shares of the definition: the lowest 60 % regular, the next 30 % gold."""
    order = np.argsort(np.nan_to_num(rfm_score), kind="stable")
    rank = np.empty(len(order))
    rank[order] = (np.arange(len(order)) + 0.5) / len(order)
    return np.asarray(np.digitize(rank, SHARES), dtype=np.int64)


def tier_figures(actual: NDArray[np.int64], said: NDArray[np.int64]) -> dict[str, float]:
    """Quadratic weighted kappa, and the share of members whose tier was right."""
    return {
        "qwk": quadratic_weighted_kappa(actual, said),
        "accuracy": float((actual == said).mean()),
        "rows": float(len(actual)),
    }


def _plan(snapshots: Snapshots, engine: Engine, horizon_days: int, search: Search | None, seed: int) -> _Plan:
    recipe, found = tuned_recipe(snapshots, engine, horizon_days=horizon_days, search=search or Search(), seed=seed)
    return _Plan(recipe, found, horizon_days)


def _fit(snapshots: Snapshots, plan: _Plan, period: Period) -> _Fitted:
    forecast = fit_forecast_as_of(snapshots, plan.recipe, period)
    rows = forecast.rows
    definition = tier_definition(rows.labels.astype(np.int64), plan.horizon_days)
    tiers = definition.tier_of(rows.labels.astype(np.int64))
    odds = fit_odds(forecast.held_out / forecast.unit_cents, tiers)
    before = rows.matrix[:, snapshots.contract.model_features.index("spend_cents_90d")].astype(np.float64)
    return _Fitted(forecast, definition, odds, best_cuts(before * (plan.horizon_days / 90), np.eye(len(TIERS))[tiers]))


def _predictor(snapshots: Snapshots, plan: _Plan, fitted: _Fitted, period: Period) -> TierPredictor:
    manifest = BundleManifest(
        name=NAME,
        kind=TierPredictor.kind,
        engine=plan.recipe.engine,
        contract_hash=snapshots.contract.hash,
        features=snapshots.contract.model_features,
        definition=asdict(fitted.definition),
        parameters={"odds": fitted.odds.numbers()},
        lineage=lineage(snapshots.facts, seed=plan.recipe.seed, days=asdict(period)),
    )
    return TierPredictor(manifest, fitted.forecast.model, golden_rows(fitted.forecast.rows.matrix, seed=plan.recipe.seed))


def _evidence(snapshots: Snapshots, plan: _Plan, done: Callable[[], None] = lambda: None) -> Evidence:
    definition = {"horizon_days": plan.horizon_days, "tiers": TIERS}
    recipe = Evidence(NAME, plan.recipe.engine, definition, parameters={"seed": plan.recipe.seed, **plan.tuned.record()})
    periods = spending_periods(snapshots.facts, horizon_days=plan.horizon_days)
    return proved(recipe, periods, lambda period: _judged(snapshots, plan, period), done=done)


def _judged(snapshots: Snapshots, plan: _Plan, period: Period) -> Judged:
    """The recipe fitted as of a period's test day, and what it and the baselines say of that day's members.

    Notes hold the cuts by which probabilities come down to a tier.
    """
    fitted = _fit(snapshots, plan, period)
    predictor = _predictor(snapshots, plan, fitted, period)
    test = examples(snapshots, [period.test], tier_label(snapshots.facts, fitted.definition))
    rows = snapshots.at(period.test)
    notes = {
        **fitted.forecast.notes,
        "cuts": list(fitted.odds.cuts),
        "gold_from_cents": fitted.definition.gold_from_cents,
        "diamond_from_cents": fitted.definition.diamond_from_cents,
    }
    everyone = np.ones(len(test), dtype=np.bool_)
    answer = predictor.score(test.matrix)
    others = _others(rows, fitted)
    return Judged(period, test.member_ids, test.labels, answer, others, slice_labels(rows, everyone), notes=notes)


def _others(rows: FeatureRows, fitted: _Fitted) -> dict[str, NDArray[np.float64]]:
    """Tiers that a spreadsheet names: staying put, the same at cuts fitted like ours, the RFM score, the formula's forecast."""
    horizon = fitted.definition.horizon_days
    past = past_spend(rows, horizon_days=horizon)
    found = {
        "persistence": fitted.definition.tier_of(past),
        "past_spend_cut": np.digitize(past, fitted.past_cuts),
        "rfm_quantiles": by_rfm_quantiles(rows.column("rfm_score").astype(np.float64)),
    }
    formula = baselines_of(rows, horizon_days=horizon).get("bgnbd_gamma_gamma")
    if formula is not None:
        found["bgnbd_gamma_gamma"] = fitted.definition.tier_of(formula)
    return {name: said.astype(np.float64) for name, said in found.items()}


def _said(one: Judged) -> NDArray[np.int64]:
    """Tiers named by the recipe in one period."""
    return cut_at(one.answer, tuple(one.notes["cuts"]))


def _positions(values: NDArray[np.generic]) -> NDArray[np.int64]:
    return values.astype(np.int64)


def _newest_figures(proof: Evidence) -> dict[str, float]:
    """Figures on the newest test window with the gain over persistence there, and the kappa of every period, oldest first."""
    newest = proof.judged[-1]
    truth = _positions(newest.truth)
    mine, theirs = (
        weighted.quadratic_weighted_kappa(truth, said) for said in (_said(newest), _positions(newest.others["persistence"]))
    )
    gain = paired_gain(mine, theirs, newest.member_ids, seed=SEED)
    found = tier_figures(truth, _said(newest)) | {"qwk_gain": gain.value, "qwk_gain_low": gain.low, "qwk_gain_high": gain.high}
    for number, one in enumerate(proof.judged, start=1):
        found[f"qwk_period_{number}"] = quadratic_weighted_kappa(_positions(one.truth), _said(one))
    return found
