"""The passport of an answer: all that it takes to make the answer again."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from features.contract import CONTRACT_HASH
from serving.batch import Reply
from serving.bundle import ModelSet
from serving.outputs import MODEL_OF


def score_passport(reply: Reply, models: ModelSet, outputs: Iterable[str], *, request_id: str) -> dict[str, Any]:
    """The passport of scores, as `score_schemas.ScorePassport`, ready to be written as JSON."""
    stamp = reply.published.stamp if reply.published is not None else None
    passport = base_passport(reply.moment.isoformat(), request_id)
    if stamp is not None:
        used = [MODEL_OF[output] for output in outputs if MODEL_OF[output] in models.served]
        passport["models"] = {name: models.passports[name] for name in used}
        passport["features_as_of"] = stamp.as_of
        passport["features_age_seconds"] = max(0, int((reply.moment - stamp.as_of_moment).total_seconds()))
    generation = stamp.generation if stamp is not None else None
    return {**passport, "features_generation": generation, "nightly": reply.runs, "reasons": reply.reasons}


def list_passport(request_id: str, models: ModelSet, moment: datetime) -> dict[str, Any]:
    """The passport of lists as far as models and moment go, as `list_schemas.ListPassport`, ready to be written as JSON."""
    passport = base_passport(moment.isoformat(), request_id)
    if "recommender" in models.served:
        passport["models"] = {"recommender": models.passports["recommender"]}
    return passport


def base_passport(moment: str, request_id: str) -> dict[str, Any]:
    """What every passport holds, as `schemas.Passport`, before models and features are named."""
    return {
        "decision_id": request_id,
        "moment": moment,
        "contract_hash": CONTRACT_HASH,
        "models": {},
        "features_as_of": None,
        "features_age_seconds": None,
    }
