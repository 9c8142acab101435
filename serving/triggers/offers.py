"""What a message brings beside its occasion: the member's scores with their passport, and items to recommend."""

import asyncio
import time
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np

from features.errors import RapportError
from features.online_reader import RedisReader, StoredLists
from features.online_store import JOB_TIMEOUT_S
from features.rules.shelf import Shelf
from features.settings import Settings
from serving.batch import Reply
from serving.bundle import ModelSet
from serving.list_reading import ListReader
from serving.list_routes import ListRoutes
from serving.passports import score_passport
from serving.problems import ApiError
from serving.scoring import Row, default_outputs, rows_of
from serving.triggers.evaluation import Batch
from serving.watch import ModelWatch

LOOK_S = 2.0
"""How often the registry is looked at for other champions."""


class Offers:
    """Models, lists and rules as a server has them, for work that blocks: it runs their asynchronous side by itself.

    It waits for the store as jobs do: with a server's patience of some hundredths of a second, a store that is busy for a
    moment would look away, and events that are fine would end among the dead letters.
    """

    def __init__(self, settings: Settings, url: str) -> None:
        settings = replace(settings, redis_url=url, redis_timeout_ms=int(JOB_TIMEOUT_S * 1000))
        self._runner = asyncio.Runner()
        self._watch = ModelWatch(settings.mlruns_dir)
        self._reader = RedisReader(settings.redis_url, prefix=settings.key_prefix, timeout_ms=settings.redis_timeout_ms)
        reader = ListReader(self._reader, _unguarded)
        self._lists = ListRoutes(settings, reader, lambda: self._watch.champions, lambda *_: {})
        self._looked = time.monotonic()

    def models(self) -> ModelSet:
        """The champions of now."""
        if time.monotonic() - self._looked >= LOOK_S:
            self._runner.run(self._watch.look())
            self._looked = time.monotonic()
        return self._watch.champions

    def shelf(self) -> Shelf | None:
        """The shop's items; None where nobody published them."""
        stock = self._runner.run(self._lists.rules.now()).stock
        return None if stock is None else stock.shelf

    def items(self, member_ids: Sequence[str], *, k: int, placement: str | None, moment: datetime) -> list[list[Any]]:
        """Recommended items of members, by the rules of a placement; none where there is no such placement."""
        try:
            rows = self._runner.run(self._lists.in_bulk(member_ids, k=k, moment=moment, placement=placement))
        except ApiError:
            return [[] for _ in member_ids]
        return [row["items"] for row in rows]

    def close(self) -> None:
        """Give the connections back."""
        self._runner.run(self._lists.close())
        self._runner.run(self._reader.close())
        self._runner.close()


async def _unguarded(question: Awaitable[StoredLists]) -> StoredLists:
    """The answer to a question: work that blocks may wait for the store, and needs no breaker."""
    return await question


def scores_of(batch: Batch, rows: Sequence[int], firings: Sequence[str]) -> list[tuple[Row | None, dict[str, Any] | None]]:
    """What the models say of some rows, as `/v1/score` answers, each with its passport; None where that cannot be told."""
    context, published = batch.now.context, batch.now.published
    outputs = default_outputs(context.models)
    chosen = np.array(rows, dtype=np.intp)
    try:
        scored = batch.now.scored(batch.now.matrix(chosen), chosen, outputs)
    except RapportError:
        return [(None, None)] * len(rows)
    found: list[tuple[Row | None, dict[str, Any] | None]] = []
    member_ids = [batch.member_ids[row] for row in rows]
    answers = rows_of(scored, range(len(rows)), member_ids, outputs, stale_after_s=context.stale_after_s)
    for told, firing in zip(answers, firings, strict=True):
        reply = Reply([told], context.moment, published, [], "none")
        found.append((told, score_passport(reply, context.models, outputs, request_id=firing)))
    return found
