"""Scores for many members from what the store holds about them. Pure: no HTTP, no clock, no store."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from features.codec import decode, is_readable
from features.contract import Contract
from features.days import day_of
from features.derive import derive, label_of, model_columns
from features.errors import ContractMismatch
from features.online_store import Stamp
from serving.bundle import ModelSet

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ScoringContext:
    """What one request is answered with: features, models, the moment, and from what age on features are stale."""

    contract: Contract
    models: ModelSet
    moment: datetime
    stale_after_s: float


def score_members(
    context: ScoringContext, member_ids: Sequence[str], stamp: Stamp, values: Sequence[bytes | None]
) -> list[Row]:
    """One row per member, in the order asked for, as `schemas.ScoreRow`.

    Parameters
    ----------
    values
        Packed aggregates of each member; None for those the store does not know.

    Raises
    ------
    ContractMismatch
        The published features are not those of this process: nothing can be scored.
    """
    if stamp.contract != context.contract.hash:
        raise ContractMismatch(
            f"the store was published with contract {stamp.contract[:8]}…, this process derives {context.contract.hash[:8]}…",
            remedy='publish with this version ("rapport publish"), or serve with the version that published',
        )
    readable = [value is not None and is_readable(context.contract, value) for value in values]
    scored = iter(_score_known(context, stamp, [v for v, ok in zip(values, readable, strict=True) if v is not None and ok]))
    rows = []
    for member, value, ok in zip(member_ids, values, readable, strict=True):
        answer = next(scored) if ok else _nothing("unknown_member" if value is None else "record_unreadable")
        rows.append({"member_id": member, **answer})
    return rows


def feature_matrix(context: ScoringContext, stamp: Stamp, records: NDArray[np.void]) -> NDArray[np.float32]:
    """Features of the records as of the context's moment, columns as `Contract.feature_names`."""
    edges = {name: float("nan") if value is None else value for name, value in stamp.edges.items()}
    day = day_of(context.moment, ZoneInfo(stamp.time_zone))
    return derive(context.contract, records, day=day, edges=edges)


def _score_known(context: ScoringContext, stamp: Stamp, values: list[bytes]) -> list[Row]:
    if not values:
        return []
    stored = decode(context.contract, values)
    matrix = feature_matrix(context, stamp, stored.records)
    model_matrix = np.ascontiguousarray(matrix[:, model_columns(context.contract)])
    churn, tier = context.models.churn, context.models.tier
    probability = churn.score(model_matrix) if churn is not None else None
    tiers = tier.score(model_matrix) if tier is not None else None
    columns = {
        name: matrix[:, context.contract.feature_names.index(name)]
        for name in ("days_since_last_purchase", "lifecycle_stage", "rfm_tier")
    }
    rows = []
    for i in range(len(values)):
        as_of = moment_of(stored.as_of[i])
        active = churn is not None and columns["days_since_last_purchase"][i] <= churn.manifest.definition["active_days"]
        row: Row = {
            **_age(context, as_of),
            "churn": _churn(context.models, probability[i]) if probability is not None and active else None,
            "tier": _tier(context.models, tiers[i]) if tiers is not None else None,
            "lifecycle_stage": label_of(context.contract, "lifecycle_stage", columns["lifecycle_stage"][i]),
            "rfm_tier": label_of(context.contract, "rfm_tier", columns["rfm_tier"][i]),
        }
        rows.append({**_standing(context, row, active=active), **row})
    return rows


def _standing(context: ScoringContext, row: Row, *, active: bool) -> Row:
    if context.models.churn is None or context.models.tier is None:
        return {"status": "PARTIAL", "reason": "model_missing", "fallback": "none"}
    if not active:
        return {"status": "PARTIAL", "reason": "not_active", "fallback": "none"}
    stale = row["age_seconds"] > context.stale_after_s
    return {"status": "STALE" if stale else "OK", "reason": None, "fallback": "none"}


def _nothing(reason: str) -> Row:
    status = "COLD" if reason == "unknown_member" else "FALLBACK"
    empty = dict.fromkeys(("as_of", "age_seconds", "churn", "tier", "lifecycle_stage", "rfm_tier"))
    return {"status": status, "reason": reason, "fallback": "refused", **empty}


def _age(context: ScoringContext, as_of: datetime) -> Row:
    return {"as_of": as_of.isoformat(), "age_seconds": max(0, int((context.moment - as_of).total_seconds()))}


def _churn(models: ModelSet, probability: np.float64) -> Row:
    band = models.churn.band(float(probability)) if models.churn is not None else ""
    return {"probability": float(probability), "band": band}


def _tier(models: ModelSet, scores: NDArray[np.float64]) -> Row | None:
    if models.tier is None:
        return None
    likely = models.tier.likely_tier(scores.reshape(1, -1))[0]
    return {
        "likely": models.tier.tiers[likely],
        "probabilities": {name: float(p) for name, p in zip(models.tier.tiers, scores, strict=True)},
    }
