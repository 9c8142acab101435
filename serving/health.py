"""Whether the server is alive, and whether it can answer: models loaded, store reachable, features published and fresh."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from features.contract import CONTRACT_HASH
from features.errors import RapportError
from features.online_reader import OnlineReader
from serving.bundle import ModelSet


@dataclass(frozen=True, slots=True)
class Readiness:
    """`ready` is what a load balancer acts on; `checks` says why, one line each."""

    ready: bool
    checks: dict[str, Any]


async def readiness(
    models: ModelSet, reader: OnlineReader, *, moment: datetime, stale_after_s: float, refused: Collection[str] = ()
) -> Readiness:
    """Ready when a champion is loaded and the store holds features of this contract. Stale ones are served, flagged.

    Parameters
    ----------
    refused
        Versions that should serve and do not: the log says why.
    """
    checks: dict[str, Any] = {name: model.label for name, model in models.registered.items()}
    checks.update(dict.fromkeys(models.missing, "no champion"))
    if refused:
        checks["refused"] = sorted(refused)
    try:
        stamp, _ = await reader.read([])
    except RapportError as error:
        return Readiness(False, {**checks, "store": error.code})
    if stamp is None:
        return Readiness(False, {**checks, "store": "nothing_published"})
    if stamp.contract != CONTRACT_HASH:
        return Readiness(False, {**checks, "store": "contract_mismatch"})
    age = max(0.0, (moment - stamp.as_of_moment).total_seconds())
    freshness = {"features_as_of": stamp.as_of, "features_age_seconds": int(age), "features_stale": age > stale_after_s}
    return Readiness(bool(models.registered), {**checks, "store": "ok", **freshness})
