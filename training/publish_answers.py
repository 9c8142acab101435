"""The models' answers for every member into the online store: scores into profiles, recommendation lists with their sources."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from features.build import FeatureRows
from features.bulk_load import utf8
from features.derive import model_columns
from features.errors import ModelMissing
from features.facts import Facts
from features.online_store import OnlineStore, RecommendationList, RecommendedItem
from features.publish import BATCH, Progress
from training.interactions import PurchaseDays, purchase_days
from training.predictors import CHURN_KINDS, SOURCES, Recommender, TierPredictor
from training.registry import RegisteredModel, load, require_contract, resolve

LIST_LENGTH = 50


def publish_answers(
    rows: FeatureRows, facts: Facts, mlruns: Path, store: OnlineStore, *, progress: Progress = lambda done: None
) -> dict[str, str]:
    """Score every member with each champion there is and write the answers.

    Returns
    -------
    Name and version of each champion used, by model; a model without a champion is not among them.

    Raises
    ------
    BundleRefused, ContractMismatch
        A champion's files are not right, or it was trained on other features.
    """
    used: dict[str, str] = {}
    for name, write in (("churn", _write_churn), ("tier", _write_tier)):
        champion = _champion(mlruns, name)
        if champion is not None:
            write(rows, champion, store)
            used[name] = champion.label
    champion = _champion(mlruns, "recommender")
    if champion is not None:
        _write_lists(rows, facts, champion, store, progress)
        used["recommender"] = champion.label
    return used


def member_weights(bought: PurchaseDays, recommender: Recommender, members: Sequence[str], *, day: int) -> sparse.csr_matrix:
    """What each member bought of the catalogue before `day`, purchases fading with age; shape (members, items)."""
    half_life: float = recommender.manifest.definition["half_life_days"]
    row_of = _positions(bought.member_ids, np.asarray(members, dtype=np.str_))
    column_of = _positions(bought.item_ids, recommender.item_ids)
    row, column = row_of[bought.members], column_of[bought.items]
    kept = (row >= 0) & (column >= 0) & (bought.days < day)
    weight = np.exp2(-(day - bought.days[kept]).astype(np.float64) / half_life).astype(np.float32)
    shape = (len(members), len(recommender.item_ids))
    weights = sparse.csr_matrix((weight, (row[kept], column[kept])), shape=shape)
    weights.sort_indices()
    return weights


def lists_of(
    recommender: Recommender, weights: sparse.csr_matrix, *, model: str, as_of: str, k: int = LIST_LENGTH
) -> Iterator[RecommendationList]:
    """One list a row of weights. The score of an item is 1 / its place in the list, so that a Sorted Set keeps the order."""
    ranked = recommender.rank(weights, k=k)
    for items, sources in zip(ranked.items, ranked.sources, strict=True):
        yield RecommendationList(
            model,
            as_of,
            tuple(
                RecommendedItem(str(recommender.item_ids[item]), 1 / place, SOURCES[source])
                for place, (item, source) in enumerate(zip(items, sources, strict=True), start=1)
                if item >= 0
            ),
        )


def _champion(mlruns: Path, name: str) -> RegisteredModel | None:
    try:
        return resolve(mlruns, name)
    except ModelMissing:
        return None


def _write_churn(rows: FeatureRows, champion: RegisteredModel, store: OnlineStore) -> None:
    predictor = load(champion)
    if isinstance(predictor, CHURN_KINDS):
        require_contract(predictor)
        probability = predictor.score(rows.matrix[:, model_columns(rows.contract)])
        active = rows.column("days_since_last_purchase") <= predictor.manifest.definition["active_days"]
        texts = {
            "churn_probability": [f"{p:.6f}" if known else "" for p, known in zip(probability, active, strict=True)],
            "churn_band": [predictor.band(p) if known else "lapsed" for p, known in zip(probability, active, strict=True)],
            "churn_model": [champion.label] * len(active),
        }
        store.load_profiles(utf8(rows.member_ids), _fields(texts))


def _write_tier(rows: FeatureRows, champion: RegisteredModel, store: OnlineStore) -> None:
    predictor = load(champion)
    if isinstance(predictor, TierPredictor):
        require_contract(predictor)
        likely = predictor.likely_tier(predictor.score(rows.matrix[:, model_columns(rows.contract)]))
        texts = {"next_tier": [predictor.tiers[tier] for tier in likely.tolist()], "tier_model": [champion.label] * len(likely)}
        store.load_profiles(utf8(rows.member_ids), _fields(texts))


def _write_lists(rows: FeatureRows, facts: Facts, champion: RegisteredModel, store: OnlineStore, progress: Progress) -> None:
    recommender = load(champion)
    if not isinstance(recommender, Recommender):
        return
    bought = purchase_days(facts)
    members = rows.member_ids.tolist()
    for start in range(0, len(members), BATCH):
        batch = members[start : start + BATCH]
        weights = member_weights(bought, recommender, batch, day=rows.day)
        store.write_lists(batch, list(lists_of(recommender, weights, model=champion.label, as_of=rows.as_of.isoformat())))
        progress(len(batch))


def _fields(texts: Mapping[str, Sequence[str]]) -> NDArray[np.void]:
    """Columns of text as one structured array, row by row."""
    columns = {name: utf8(np.array(column, dtype=np.str_)) for name, column in texts.items()}
    fields = np.empty(len(next(iter(columns.values()))), dtype=[(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        fields[name] = column
    return fields


def _positions(all_ids: NDArray[np.str_], chosen: NDArray[np.str_]) -> NDArray[np.int64]:
    """For each of all ids its position among the chosen ones, -1 if it is not there."""
    position = {identifier: place for place, identifier in enumerate(chosen.tolist())}
    return np.array([position.get(identifier, -1) for identifier in all_ids.tolist()], dtype=np.int64)
