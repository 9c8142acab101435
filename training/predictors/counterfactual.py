"""What one visit would change: today's features with one more usual order in them, scored again by the same model.

The order is merged into the member's aggregates by the rule by which events of the day are merged in serving, so that what
moves is exactly what would move if the member came today; what waits for the night (items, categories) stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from features.contract import Contract
from features.days import calendar_day
from features.derive import derive, model_columns
from features.live import fold, merge
from features.sources.schema import ORDERS, SALE
from training.predictors.churn import ChurnPredictor
from training.predictors.tier import TierPredictor
from training.predictors.trees import Matrix, Scores

Records: TypeAlias = NDArray[np.void]
HOURS = {"night": 3, "morning": 8, "midday": 12, "afternoon": 15, "evening": 18, "late": 22}
"""An hour of each part of the day."""


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """Scores as they are and after one usual visit on the day asked about, each as `predictor.score` gives them.

    Rows of `after` are NaN where there is no such visit to speak of: the member never bought, or bought on that very day.
    """

    before: Scores
    after: Scores


def one_visit(
    predictor: ChurnPredictor | TierPredictor, contract: Contract, records: Records, *, day: int, edges: Mapping[str, float]
) -> Counterfactual:
    """Scores with and without one more order of the member's usual kind on `day`.

    Parameters
    ----------
    records
        Aggregates as `features.codec.record_dtype`, one row a member.
    day
        Local day of the moment asked about.
    edges
        Population edges and thresholds by name.
    """
    columns = model_columns(contract)
    features = derive(contract, records, day=day, edges=edges)
    possible = np.nan_to_num(features[:, contract.feature_names.index("days_since_last_purchase")], nan=0) > 0
    before = predictor.score(np.ascontiguousarray(features[:, columns]))
    after = np.full_like(before, np.nan)
    if possible.any():
        visited = with_one_order(contract, records[possible], features[possible], day=day)
        moved = derive(contract, visited, day=day, edges=edges)[:, columns]
        after[possible] = predictor.score(np.ascontiguousarray(moved))
    return Counterfactual(before, after)


def with_one_order(contract: Contract, records: Records, features: Matrix, *, day: int) -> Records:
    """The records after one order on `day` whose amount, lines, discount, hour and channel are the member's usual ones.

    Parameters
    ----------
    features
        Of the same members as of that day, columns as `contract.feature_names`.
    """
    members = [str(row) for row in range(len(records))]
    column = dict(zip(contract.feature_names, features.T.astype(np.float64), strict=True))
    order = {**_constant(len(members), day), **_usual(column), "member_id": np.array(members, dtype=object)}
    return merge(contract, records, fold(contract, members, {ORDERS.name: order}))


def _constant(members: int, day: int) -> dict[str, NDArray[np.generic]]:
    """What the order of everyone has in common. Nobody knows here whether the day is a holiday."""
    date = calendar_day(day)
    shared = {"kind": SALE, "local_day": day, "month_day": date.day, "coupon_cents": 0, "holiday": None}
    return {name: np.full(members, value, dtype=object) for name, value in shared.items()}


def _usual(column: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.generic]]:
    """Amount, lines, discount, hour and channel as each member's orders of 180 days have them, or of all time."""
    ever = column["spend_cents_ever"] / np.maximum(column["purchases_ever"], 1)
    amount = np.maximum(np.nan_to_num(_first_known(column["cents_per_purchase_180d"], ever)), 0)
    off = np.clip(np.nan_to_num(column["discount_share_180d"]), 0, 0.9)
    hour = _most_used({f"{part}_share_180d": hour for part, hour in HOURS.items()}, column, otherwise=12)
    channels = {name: name.removesuffix("_channel_share_180d") for name in column if name.endswith("_channel_share_180d")}
    return {
        "net_cents": np.round(amount),
        "discount_cents": np.round(amount * off / (1 - off)),
        "lines": np.maximum(np.round(np.nan_to_num(column["lines_per_purchase_180d"], nan=1)), 1),
        "local_hour": hour,
        "channel": _most_used(channels, column, otherwise="store"),
        "store_id": np.full(len(amount), None, dtype=object),
    }


def _first_known(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isnan(first), second, first)


def _most_used(
    choices: Mapping[str, object], column: Mapping[str, NDArray[np.float64]], *, otherwise: object
) -> NDArray[np.generic]:
    """Of each row the choice whose feature is largest, or `otherwise` where none is known."""
    shares = np.array([np.nan_to_num(column[name], nan=-1) for name in choices])
    chosen = np.array(list(choices.values()), dtype=object)[shares.argmax(axis=0)]
    return np.where(shares.max(axis=0) > 0, chosen, np.array(otherwise, dtype=object))
