"""Scores for many members from what the store holds about them. Pure: no HTTP, no clock, no store."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from features.codec import Decoded, decode, is_readable
from features.contract import Contract
from features.days import day_of, microseconds, moment_of
from features.derive import derive, label_of, model_columns
from features.errors import ContractMismatch
from features.stamp import Edition, Stamp
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


def feature_matrix(
    context: ScoringContext, stamp: Stamp, records: NDArray[np.void], editions: NDArray[np.intp] | None = None
) -> NDArray[np.float32]:
    """Features of the records as of the context's moment, columns as `Contract.feature_names`.

    Parameters
    ----------
    editions
        Of each record, which of the stamp's editions its population edges are from; None: all from the one that ended.
    """
    day = day_of(context.moment, ZoneInfo(stamp.time_zone))
    if editions is None or not editions.any():
        return derive(context.contract, records, day=day, edges=_edges(stamp.edition))
    matrix = np.empty((len(records), len(context.contract.features)), dtype=np.float32)
    for position, edition in enumerate((stamp.edition, *stamp.pending)):
        of_it = editions == position
        if of_it.any():
            matrix[of_it] = derive(context.contract, records[of_it], day=day, edges=_edges(edition))
    return matrix


def editions_of(stamp: Stamp, written_at: NDArray[np.int64]) -> NDArray[np.intp]:
    """Which publish wrote each row: 0 for one that ended, from 1 on the pending ones, in the stamp's order."""
    editions = np.zeros(len(written_at), dtype=np.intp)
    for position, edition in enumerate(stamp.pending, start=1):
        editions[written_at == microseconds(edition.published_moment)] = position
    return editions


def _edges(edition: Edition) -> dict[str, float]:
    return {name: float("nan") if value is None else value for name, value in edition.edges.items()}


def _moments(stamp: Stamp, stored: Decoded, editions: NDArray[np.intp]) -> list[datetime]:
    """The moment each row is right as of: a row that a publish left as it was had not changed by then."""
    known = [microseconds(edition.as_of_moment) for edition in (stamp.edition, *stamp.pending)]
    return [moment_of(value) for value in np.maximum(stored.as_of, np.array(known)[editions]).tolist()]


def _score_known(context: ScoringContext, stamp: Stamp, values: list[bytes]) -> list[Row]:
    if not values:
        return []
    stored = decode(context.contract, values)
    editions = editions_of(stamp, stored.written_at)
    moments = _moments(stamp, stored, editions)
    matrix = feature_matrix(context, stamp, stored.records, editions)
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
        active = churn is not None and columns["days_since_last_purchase"][i] <= churn.manifest.definition["active_days"]
        row: Row = {
            **_age(context, moments[i]),
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
