"""What a bulk job asks of models and store: the same functions that answer requests, on versions fixed for the whole job."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from features.contract import CONTRACT
from features.errors import BundleRefused, NothingPublished, StoreUnavailable
from features.member_store import MemberStore
from features.settings import Settings
from features.stamp import Stamp
from serving.bundle import ModelSet
from serving.job_plan import Plan
from serving.recommending import popular_items, recommend_members
from serving.scoring import ScoringContext, score_members
from training.registry import load, require_contract, version_of

AT_ONCE = 1000
RETRIES, FIRST_WAIT_S = 5, 0.5
"""How often a read is tried again while the store is away, waiting twice as long each time: about fifteen seconds in all."""
Row = dict[str, Any]
T = TypeVar("T")


class BulkAnswers:
    """Scores and lists of many members by one set of models."""

    def __init__(self, settings: Settings, store: MemberStore, models: ModelSet) -> None:
        self._store, self._models = store, models
        self._popular = popular_items(models)
        self._stale_after_s = settings.max_staleness_h * 3600.0

    @property
    def versions(self) -> Mapping[str, str]:
        """Name and version of each model, by its name."""
        return {name: model.label for name, model in self._models.registered.items()}

    @property
    def hashes(self) -> Mapping[str, str]:
        """Hash of the bundle of each model, by its name."""
        return {name: model.sha256 for name, model in self._models.registered.items()}

    @property
    def tiers(self) -> tuple[str, ...]:
        """Names of the tiers, lowest first; none without such a model."""
        return tuple(self._models.tier.tiers) if self._models.tier is not None else ()

    def scores(self, member_ids: Sequence[str], *, moment: datetime) -> Iterator[Row]:
        """A row a member, in order, as `schemas.ScoreRow`."""
        context = ScoringContext(CONTRACT, self._models, moment, self._stale_after_s)
        for ids in runs_of(member_ids, AT_ONCE):
            stamp, values = patiently(partial(self._read, ids))
            if stamp is None:
                raise NothingPublished("no features were published to the online store", remedy='run "rapport publish"')
            yield from score_members(context, ids, stamp, values)

    def lists(self, member_ids: Sequence[str], *, k: int, moment: datetime) -> Iterator[Row]:
        """A row a member, in order, as `schemas.RecommendRow`."""
        for ids in runs_of(member_ids, AT_ONCE):
            lists = patiently(partial(self._store.read_lists, ids))
            yield from recommend_members(
                ids,
                lists,
                popular=self._popular,
                k=k,
                exclude=frozenset(),
                moment=moment,
                stale_after_s=self._stale_after_s,
            )

    def _read(self, ids: Sequence[str]) -> tuple[Stamp | None, list[bytes | None]]:
        return self._store.read_stamp(), self._store.read_aggregates(ids)


def patiently(read: Callable[[], T]) -> T:
    """What a read gives, tried again for some seconds while the store is away: a job may wait, a request may not."""
    wait = FIRST_WAIT_S
    for _ in range(RETRIES):
        try:
            return read()
        except StoreUnavailable:
            time.sleep(wait)
            wait *= 2
    return read()


def runs_of(ids: Sequence[str], size: int) -> Iterator[list[str]]:
    """The ids in runs of at most so many."""
    for start in range(0, len(ids), size):
        yield list(ids[start : start + size])


def models_for(mlruns: Path, plan: Plan | None) -> ModelSet:
    """The champions of now, or the very versions that a plan fixes.

    Raises
    ------
    ModelMissing, BundleRefused
        A version of the plan was deleted, or is not what it was: the job cannot go on as it began.
    """
    if plan is None:
        return ModelSet.load(mlruns)
    registered = {name: version_of(mlruns, name, label.rpartition("@")[2]) for name, label in plan.models.items()}
    for name, model in registered.items():
        if model.sha256 != plan.sha256[name]:
            raise BundleRefused(f"{model.label} is not the one the job began with", remedy="ask for the job again")
    loaded: dict[str, Any] = {name: load(model) for name, model in registered.items()}
    for predictor in loaded.values():
        require_contract(predictor)
    return ModelSet(loaded.get("churn"), loaded.get("tier"), loaded.get("recommender"), registered)
