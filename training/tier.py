"""Tier: which of three spending tiers a member will be in over the next 90 days; trained and compared with staying put."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from features.build import FeatureRows
from features.days import calendar_day
from features.errors import NotEnoughData
from features.facts import Facts
from training.artifacts import BundleManifest
from training.baselines import column
from training.boosting import fit_with_early_stopping, gains
from training.datasets import Examples, Labelled, Snapshots, examples
from training.evaluation import paired_interval, quadratic_weighted_kappa
from training.labels import spend_within
from training.periods import MIN_HISTORY_DAYS, STEP_DAYS
from training.predictors import TierPredictor
from training.trained import SEED, Trained, golden_rows, importance_plot, lineage

NAME = "tier"
TIERS = ("regular", "gold", "diamond")
SHARES = (0.6, 0.9)
"""Shares of members below gold and below diamond when the money thresholds are set."""
HELD_OUT_SHARE = 0.2
OBJECTIVE = {"objective": "multi:softprob", "eval_metric": "mlogloss", "num_class": len(TIERS)}


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
class TierCutoffs:
    """Local days of the snapshots: labels of `train` end before `test` begins."""

    train: tuple[int, ...]
    test: int

    @property
    def days(self) -> tuple[int, ...]:
        """All of them, ascending."""
        return (*self.train, self.test)


def tier_cutoffs(facts: Facts, *, horizon_days: int, step_days: int = STEP_DAYS) -> TierCutoffs:
    """The latest test window that has matured, and training cut-offs at least one horizon before it.

    Training cut-offs lie whole steps before the end of the facts, as those of churn do where the horizons allow, so
    that both models share snapshots.

    Raises
    ------
    NotEnoughData
        The facts are too short for one training snapshot.
    """
    test = facts.manifest.until_day - horizon_days
    first = facts.manifest.first_day + MIN_HISTORY_DAYS
    last = facts.manifest.until_day - -(-2 * horizon_days // step_days) * step_days
    if first > last:
        raise NotEnoughData(
            f"tiers over {horizon_days} days need {MIN_HISTORY_DAYS + facts.manifest.until_day - last} days of facts; "
            f"there are {facts.manifest.until_day - facts.manifest.first_day}, "
            f"from {calendar_day(facts.manifest.first_day)}",
            remedy="import a longer history, or choose a shorter horizon",
        )
    return TierCutoffs(tuple(range(last, first - 1, -step_days))[::-1], test)


def train_tier(snapshots: Snapshots, *, horizon_days: int = 90, seed: int = SEED) -> Trained:
    """A tier model with its evidence, judged once on the test window beside persistence (the tier of the last 90 days).

    Early stopping watches members held out of the training snapshots, as a later window would leave too little.

    Raises
    ------
    NotEnoughData
        The facts are too short, or all members fall into one tier.
    """
    facts, contract = snapshots.facts, snapshots.contract
    cuts = tier_cutoffs(facts, horizon_days=horizon_days)
    definition = tier_definition(snapshots, cuts.train, horizon_days)
    label = tier_label(facts, definition)
    whole, test = examples(snapshots, cuts.train, label), examples(snapshots, [cuts.test], label)
    fitted, held_out = split_members(whole, seed=seed)
    model, trees = fit_with_early_stopping("xgboost", fitted, held_out, objective=OBJECTIVE, seed=seed)
    manifest = BundleManifest(
        name=NAME,
        kind=TierPredictor.kind,
        engine="xgboost",
        contract_hash=contract.hash,
        features=contract.model_features,
        definition=asdict(definition),
        parameters={},
        lineage=lineage(facts, seed=seed, days=asdict(cuts)),
    )
    predictor = TierPredictor(manifest, model, golden_rows(whole.matrix, seed=seed))
    predicted = predictor.likely_tier(predictor.score(test.matrix))
    stays = definition.tier_of(column(test, contract, "spend_cents_90d"))
    actual = test.labels.astype(np.int64)
    low, high = paired_interval((np.abs(stays - actual) - np.abs(predicted - actual)).astype(np.float64), seed=seed)
    return Trained(
        predictor,
        metrics={**tier_figures(actual, predicted), "fewer_steps_off_low": low, "fewer_steps_off_high": high},
        baselines={
            "persistence": tier_figures(actual, stays),
            "rfm_quantiles": tier_figures(actual, by_rfm_quantiles(column(test, contract, "rfm_score"))),
        },
        parameters={"engine": "xgboost", "trees": trees, "seed": seed, "horizon_days": horizon_days},
        plots={"importance.png": importance_plot(gains(model, contract.model_features), title="tier, xgboost")},
        examples=whole,
    )


def tier_definition(snapshots: Snapshots, days: Sequence[int], horizon_days: int) -> TierDefinition:
    """Money thresholds from what members spent after the training cut-offs: 60 % regular, 30 % gold, 10 % diamond.

    Raises
    ------
    NotEnoughData
        Both thresholds are the same amount.
    """
    spent = [
        spend_within(snapshots.facts, snapshots.at(day).member_ids.tolist(), day=day, horizon_days=horizon_days) for day in days
    ]
    gold, diamond = np.quantile(np.concatenate(spent), SHARES, method="inverted_cdf")
    if diamond <= gold:
        raise NotEnoughData("members spend too much alike to be cut into three tiers")
    return TierDefinition(horizon_days, int(gold), int(diamond))


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


def split_members(data: Examples, *, seed: int) -> tuple[Examples, Examples]:
    """Examples of most members, and those of the members held out, whole members apart."""
    members = np.unique(data.member_ids)
    chosen = np.random.default_rng(seed).random(len(members)) < HELD_OUT_SHARE
    held_out = np.isin(data.member_ids, members[chosen])
    return _part(data, ~held_out), _part(data, held_out)


def tier_figures(actual: NDArray[np.int64], predicted: NDArray[np.int64]) -> dict[str, float]:
    """Quadratic weighted kappa, and the share of members whose tier was right."""
    return {
        "qwk": quadratic_weighted_kappa(actual, predicted),
        "accuracy": float((actual == predicted).mean()),
        "rows": float(len(actual)),
    }


def _part(data: Examples, kept: NDArray[np.bool_]) -> Examples:
    return Examples(data.member_ids[kept], data.days[kept], data.matrix[kept], data.labels[kept])
