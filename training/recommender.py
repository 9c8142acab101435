"""Lists: ALS fitted with a small search on a validation window, mixed with what members bought before, and compared."""

import itertools
import math
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from implicit.nearest_neighbours import BM25Recommender
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from features.contract import CONTRACT_HASH
from features.days import calendar_day
from features.errors import NotEnoughData
from features.facts import Facts
from training.artifacts import BundleManifest
from training.evaluation import recall_at
from training.interactions import Interactions, PurchaseDays, bought_after, interactions, purchase_days
from training.periods import MIN_HISTORY_DAYS
from training.predictors import GOLDEN_ROWS, Matrix, Recommender, with_parameters
from training.trained import SEED, Trained, lineage

NAME = "recommender"
K = 20
HORIZON_DAYS = 28
ITERATIONS = 12
NEIGHBOURS = 50
REPEAT_SHARES = (0.25, 0.5, 0.75)
"""Shares tried of each list for items bought before. At least one place in four shows something new: decision 0007."""
SMALLEST_RANK_SHARE = 0.5
"""Share of its columns that the factor matrix's effective rank must reach; below that the factors have collapsed."""


@dataclass(frozen=True, slots=True)
class AlsSettings:
    """How ALS weighs purchases. Confidence in a pair is 1 + alpha * weight."""

    factors: int
    alpha: float
    regularization: float
    half_life_days: float


SEARCH = tuple(
    AlsSettings(128, alpha, 20.0, half_life_days) for alpha, half_life_days in itertools.product((0.5, 2.0), (45.0, 90.0))
)


def train_recommender(facts: Facts, *, seed: int = SEED) -> Trained:
    """A recommender with its evidence: settings and mix chosen on one window, judged once on the next.

    Raises
    ------
    NotEnoughData
        The history is too short, no item has enough buyers, or the factors collapse at every setting.
    """
    test = facts.manifest.until_day - HORIZON_DAYS
    validation = test - HORIZON_DAYS
    if validation - facts.manifest.first_day < MIN_HISTORY_DAYS:
        raise NotEnoughData(
            f"lists need {MIN_HISTORY_DAYS + 2 * HORIZON_DAYS} days of purchases; "
            f"there are {facts.manifest.until_day - facts.manifest.first_day}, "
            f"from {calendar_day(facts.manifest.first_day)}",
            remedy="import a longer history",
        )
    bought = purchase_days(facts)
    settings, share = choose(bought, facts, day=validation, seed=seed)
    judged = with_share(fit(interactions_for(bought, settings, day=test), settings, facts=facts, seed=seed), share)
    recalls = judge(judged, bought, day=test)
    whole = interactions_for(bought, settings, day=facts.manifest.until_day)
    shipped = with_share(fit(whole, settings, facts=facts, seed=seed), share)
    return Trained(
        shipped,
        metrics={"recall20": recalls.pop("list")},
        baselines={name: {"recall20": recall} for name, recall in recalls.items()},
        parameters={
            "engine": "implicit",
            "repeat_share": share,
            "seed": seed,
            "trials": len(SEARCH),
            **asdict(settings),
        },
    )


def choose(bought: PurchaseDays, facts: Facts, *, day: int, seed: int) -> tuple[AlsSettings, float]:
    """The ALS setting with the best recall of its own on the window after `day`, and then the best share of repeats.

    Raises
    ------
    NotEnoughData
        Every setting's factors collapse.
    """
    trials = []
    for settings in SEARCH:
        fitted = fit(interactions_for(bought, settings, day=day), settings, facts=facts, seed=seed)
        if not has_collapsed(fitted.factors):
            trials.append((judge(fitted, bought, day=day, only=("als",))["als"], settings, fitted))
    if not trials:
        raise NotEnoughData("the factors of ALS collapse at every setting tried: purchases are too few or too much alike")
    _, settings, fitted = max(trials, key=lambda trial: trial[0])
    recalls = {share: judge(with_share(fitted, share), bought, day=day, only=("list",))["list"] for share in REPEAT_SHARES}
    return settings, max(recalls, key=lambda share: recalls[share])


def interactions_for(bought: PurchaseDays, settings: AlsSettings, *, day: int) -> Interactions:
    """Purchases before `day`, weighted by the settings."""
    return interactions(bought, day=day, half_life_days=settings.half_life_days)


def with_share(fitted: Recommender, share: float) -> Recommender:
    """The same recommender, with this share of each list kept for items bought before."""
    return replace(fitted, manifest=with_parameters(fitted.manifest, repeat_share=share))


def fit(window: Interactions, settings: AlsSettings, *, facts: Facts, seed: int) -> Recommender:
    """ALS item factors for one window of purchases, as a recommender that mixes nothing in yet."""
    confidence = window.weights.copy()
    confidence.data = (1 + settings.alpha * confidence.data).astype(np.float32)
    with threadpool_limits(limits=1, user_api="blas"):
        model = AlternatingLeastSquares(
            factors=settings.factors,
            alpha=1.0,
            regularization=settings.regularization,
            iterations=ITERATIONS,
            random_state=seed,
            num_threads=2,
        )
        model.fit(confidence, show_progress=False)
    manifest = BundleManifest(
        name=NAME,
        kind=Recommender.kind,
        engine="implicit",
        contract_hash=CONTRACT_HASH,
        features=(),
        definition={"horizon_days": HORIZON_DAYS, "half_life_days": settings.half_life_days},
        parameters={"alpha": settings.alpha, "regularization": settings.regularization, "repeat_share": 0.0},
        lineage=lineage(facts, seed=seed, days={"items": len(window.item_ids)}),
    )
    factors = np.ascontiguousarray(model.item_factors, dtype=np.float32)
    return Recommender(manifest, window.item_ids, factors, window.recent_buyers, _golden(window.weights))


def has_collapsed(factors: NDArray[np.float32]) -> bool:
    """Whether the factor matrix carries far fewer directions than columns (effective rank, Roy and Vetterli 2007)."""
    energy = np.linalg.svd(factors.astype(np.float64), compute_uv=False)
    if not np.isfinite(energy).all() or energy.sum() == 0:
        return True
    share = energy / energy.sum()
    rank = float(np.exp(-(share * np.log(np.maximum(share, 1e-300))).sum()))
    return bool(rank < SMALLEST_RANK_SHARE * factors.shape[1])


def judge(
    fitted: Recommender,
    bought: PurchaseDays,
    *,
    day: int,
    only: tuple[str, ...] = ("list", "als", "own_frequency_decayed", "own_frequency", "item_item_bm25", "popularity"),
) -> dict[str, float]:
    """Recall@20 on the 28 days after `day` of the recommender's list, of ALS alone, and of the baselines.

    Baselines: what a member bought most often, with and without decay; item-item similarity on BM25 weights; and what most
    members bought lately. Over members who bought something of the catalogue then; full catalogue, repeats allowed.
    """
    window = interactions(bought, day=day, half_life_days=fitted.manifest.definition["half_life_days"])
    truth = bought_after(bought, window, day=day, days=HORIZON_DAYS)
    rows = np.flatnonzero([bool(items) for items in truth])
    weights = window.weights[rows]
    popular = np.argsort(-fitted.popularity, kind="stable")[:K]
    lists: dict[str, Callable[[], NDArray[np.integer[Any]]]] = {
        "list": lambda: fitted.rank(weights, k=K).items,
        "als": lambda: top(fitted.taste(weights), K),
        "own_frequency_decayed": lambda: _own(weights, K),
        "own_frequency": lambda: _own(interactions(bought, day=day, half_life_days=math.inf).weights[rows], K),
        "item_item_bm25": lambda: _item_item(interactions(bought, day=day, half_life_days=math.inf).weights, rows, K),
        "popularity": lambda: np.tile(popular, (len(rows), 1)),
    }
    return {name: recall_at(lists[name](), [truth[row] for row in rows]) for name in only}


def top(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Positions of the k highest scores of each row, best first; of all where there are fewer."""
    k = min(k, scores.shape[1])
    best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
    return np.take_along_axis(best, order, axis=1)


def _item_item(counts: sparse.csr_matrix, rows: NDArray[np.intp], k: int) -> NDArray[np.int64]:
    """Lists by similarity to the items a member bought, on BM25-weighted counts (Robertson and Walker 1994)."""
    model = BM25Recommender(K=NEIGHBOURS, num_threads=2)
    with warnings.catch_warnings():
        # implicit 0.7 weighs into a COO matrix and then warns of its own conversion.
        warnings.filterwarnings("ignore", message="Method expects CSR input")
        model.fit(counts, show_progress=False)
    items, scores = model.recommend(rows, counts[rows], N=k, filter_already_liked_items=False)
    return np.where(scores > 0, items, -1).astype(np.int64)  # where there are fewer, implicit fills up with item 0


def _own(weights: sparse.csr_matrix, k: int) -> NDArray[np.int64]:
    lists = np.full((weights.shape[0], k), -1, dtype=np.int64)
    for row in range(weights.shape[0]):
        part = slice(weights.indptr[row], weights.indptr[row + 1])
        best = weights.indices[part][np.argsort(-weights.data[part], kind="stable")][:k]
        lists[row, : len(best)] = best
    return lists


def _golden(weights: sparse.csr_matrix) -> Matrix:
    """Weights of a few made-up members to check a loaded recommender by: each bought every n-th item once."""
    rows = np.zeros((min(GOLDEN_ROWS, 4), weights.shape[1]), dtype=np.float32)
    for step, row in enumerate(rows, start=2):
        row[:: step * 50] = 1.0
    return rows
