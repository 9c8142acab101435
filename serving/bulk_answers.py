"""What a bulk job asks of models and store: the same functions that answer requests, on versions fixed for the whole job."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from features.errors import BundleRefused, StoreUnavailable
from features.online_reader import RedisReader
from features.settings import Settings
from serving.bulk_lists import BulkLists
from serving.bundle import ModelSet
from serving.engine import Engine
from serving.job_plan import Plan
from serving.list_order import list_order
from serving.metrics import Meter
from serving.reading import GuardedReader
from serving.score_parsing import QuickScoreRequest
from serving.served import load_served
from training.registry import CHAMPION, version_of

AT_ONCE = 1000
STORE_TIMEOUT_MS = 10_000
RETRIES, FIRST_WAIT_S = 5, 0.5
"""How often a read is tried again while the store is away, waiting twice as long each time: about fifteen seconds in all."""
Row = dict[str, Any]
T = TypeVar("T")


class BulkAnswers:
    """Scores and lists of many members by one set of models, with an event loop of its own."""

    def __init__(self, settings: Settings, models: ModelSet) -> None:
        self._models = models
        self._stale_after_s = settings.max_staleness_h * 3600.0
        self._reader = RedisReader(settings.redis_url, prefix=settings.key_prefix, timeout_ms=STORE_TIMEOUT_MS)
        self._lists = BulkLists(settings, self._reader, models)
        self._loop = asyncio.Runner()

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

    @property
    def list_order(self) -> dict[str, Any] | None:
        """What puts lists in order, as `list_schemas.ListOrder`; None without a recommender."""
        return list_order(self._models.recommender)

    def scores(self, member_ids: Sequence[str], *, moment: datetime) -> Iterator[Row]:
        """A row a member, in order, as `score_schemas.ScoreRow`.

        Raises
        ------
        StoreUnavailable
            The store is away for longer than a job waits: what requests would be told then is no score to keep.
        """
        for ids in runs_of(member_ids, AT_ONCE):
            yield from patiently(partial(self._scored, ids, moment))

    def lists(self, member_ids: Sequence[str], *, k: int, moment: datetime) -> Iterator[Row]:
        """A row a member, in order, as `schemas.RecommendRow`."""
        for ids in runs_of(member_ids, AT_ONCE):
            yield from patiently(partial(self._listed, ids, k, moment))

    def close(self) -> None:
        """Give the connections and the loop back."""
        self._loop.run(self._lists.close())
        self._loop.run(self._reader.close())
        self._loop.close()

    def _scored(self, ids: list[str], moment: datetime) -> list[Row]:
        return required(self._loop.run(self._score(ids, moment)))

    async def _score(self, ids: list[str], moment: datetime) -> list[Row]:
        guarded = GuardedReader(self._reader)
        engine = Engine(guarded, lambda: moment, stale_after_s=self._stale_after_s, meter=Meter())
        try:
            return (await engine.score(QuickScoreRequest(ids), self._models)).rows
        finally:
            await engine.close()
            await guarded.close()

    def _listed(self, ids: list[str], k: int, moment: datetime) -> list[Row]:
        return required(self._loop.run(self._lists.rows(ids, k=k, moment=moment)))


def required(rows: list[Row]) -> list[Row]:
    """The rows; StoreUnavailable if they are what everybody is told while the store is away."""
    if any(row["reason"] == StoreUnavailable.code for row in rows):
        raise StoreUnavailable("the online store does not answer", remedy='see that Redis runs: "rapport status"')
    return rows


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
    found = {}
    for name, label in plan.models.items():
        model = version_of(mlruns, name, label.rpartition("@")[2])
        if model.sha256 != plan.sha256[name]:
            raise BundleRefused(f"{label} is not the one the job began with", remedy="ask for the job again")
        found[name] = load_served(mlruns, model)
    return ModelSet(found, dict.fromkeys(found, CHAMPION))
